import { delayMutants } from './delay-mutants.js';
import { groupMutants } from './group-mutants.js';

/** A text that is once in build/`file` and becomes another one. */
export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** One safety rule that is taken out. */
export interface Mutant extends Edit {
  readonly name: string;
  /** Where it has to be caught. Default `jobs`. */
  readonly world?: string;
  /** Where one rule stands in two files. */
  readonly also?: Edit;
  /** It has to be caught by one of the seeds from 1 to this. */
  readonly seeds: number;
}

/**
 * Not in the list, since another guard hides them as long as one process is broker and scheduler in one:
 * - a decision of an old epoch counts: a decision reaches the log after a later Acquire only from a second scheduler or
 *   over the wire; in one process all appends of an epoch come before the next Acquire, or die with the process;
 * - LeaseLost, LeaseReturned, AttemptTimedOut with a token that is over: within an epoch the overlay (`Mark.PENDING`)
 *   lets no lease be given while another decision on the run is on its way, and across epochs the fence voids them;
 * - LeaseLost after the report of the same lease: a report comes by the session first, and `Mark.REPORTED` holds the
 *   expiry back. Only a worker that can't reach the owner, but can reach the broker, gets its report into the log
 *   unseen just before the lease is given up.
 *
 * Not in the list either, since the scenario does not catch it yet (it survived 60 seeds):
 * - a worker's session that outlives its validity: the worker's tick comes within 250 ms and gives the session up, so a
 *   dispatch has to arrive in the moment before a pause of more than a lease's time.
 */
export const mutants: readonly Mutant[] = [
  {
    name: 'answer before sync',
    file: 'src/log/group-writer.js',
    find: 'await this.#device.sync(this.isUrgent, () => handle.write(chunks, part.position));',
    replace: 'this.#events.synced(group); await handle.write(chunks, part.position);',
    seeds: 60,
  },
  {
    name: 'committed when appended',
    file: 'src/log/partition-log.js',
    find: `        this.#unsyncedBytes += length;
        return baseOffset;`,
    replace: `        this.#unsyncedBytes += length;
        this.#runtime.clock.defer(() => {
            if (this.#syncedEnd >= end) return;
            this.#syncedEnd = end;
            this.#tail.synced(end);
            this.onSynced(end);
        });
        return baseOffset;`,
    seeds: 60,
  },
  {
    name: 'lease sent before commit',
    file: 'src/scheduler/shard-driver.js',
    find: `            if (records.length > 0)
                this.#append(records);`,
    replace: `            if (records.length > 0) {
                this.#append(records);
                const baseOffset = this.core.nextOffset;
                const guessed = records.map((record, i) => ({ ...record, offset: baseOffset + i }));
                this.core.replay({ baseOffset, appendTimestampMs: clock.wallMs(), batchClass: BatchClass.OWNER, records: guessed }, clock.monotonicMs());
            }`,
    seeds: 60,
  },
  {
    name: 'RunLeased: state not checked',
    file: 'src/scheduler/core/run-machine.js',
    find: `            !runs.isWaiting(slot) ||
            runs.attempts`,
    replace: '            runs.attempts',
    seeds: 60,
  },
  {
    name: 'report matched by run',
    file: 'src/scheduler/core/run-machine.js',
    find: 'if (slot === 0 || runs.lease.get(slot) !== fields.token)',
    replace: 'if (slot === 0)',
    seeds: 60,
  },
  {
    name: 'folder of a new segment not synced',
    file: 'src/log/group-writer.js',
    find: '        await this.#files.syncFolder(this.#folder);',
    replace: '',
    seeds: 60,
  },
  {
    name: 'term not durable before use',
    file: 'src/log/partition-log.js',
    find: `        await this.#host.journal.flush();
        this.#term =`,
    replace: '        this.#term =',
    seeds: 60,
  },
  {
    name: 'no dedupe',
    file: 'src/broker/producer-table.js',
    find: 'if (batch.baseSequence === last.lastSequence + 1)',
    replace: 'if (batch.baseSequence >= 0)',
    seeds: 60,
  },
  ...groupMutants,
  ...delayMutants,
];
