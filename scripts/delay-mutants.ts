import type { Mutant } from './sim-mutant-list.js';

/**
 * The safety rules of delay, each caught by the world of that name. Not in the list, since a Fire is open for a moment
 * only: that a trim of the last level stops at a Fire that is not done (test/broker/delay/last-level-core.test.ts). That
 * the last level waits until its log was read back is no safety rule: what it decides before is void when it is read.
 */
export const delayMutants: readonly Mutant[] = [
  {
    name: 'mover overlap taken for done',
    world: 'delay',
    file: 'src/broker/delay/level-mover.js',
    find: 'queues.moved(level, overlap ?? lastSequence);',
    replace: 'queues.moved(level, lastSequence);',
    seeds: 60,
  },
  {
    name: 'mover dedupe off',
    world: 'delay',
    file: 'src/broker/mover-table.js',
    find: 'if (state === undefined || baseSequence > state.lastSequence)',
    replace: 'if (state === undefined || baseSequence >= 0)',
    seeds: 20,
  },
  {
    name: 'Moved passes records that are not there yet',
    world: 'delay',
    file: 'src/broker/delay/level-mover.js',
    find: 'const place = { express: express.queues.low, due: due.queues.low };',
    replace: 'const place = { express: express.queues.position, due: due.queues.position };',
    seeds: 60,
  },
  {
    name: 'no express cursor',
    world: 'delay',
    file: 'src/broker/delay/level-mover.js',
    find: 'if (dueMs < appendTimestamp + this.#spanMs && delayed.record.type !== parkedType)',
    replace: 'if (false)',
    also: {
      file: 'src/broker/delay/level-mover.js',
      find: `                if (dueMs < expiryMs && delayed.record.type !== parkedType)
                    return;`,
      replace: '',
    },
    seeds: 10,
  },
  {
    name: 'levels trimmed by one cursor',
    world: 'delay',
    file: 'src/broker/delay/level-mover.js',
    find: 'this.#trimmer.trim(Math.min(place.express, place.due));',
    replace: 'this.#trimmer.trim(place.express);',
    seeds: 40,
  },
  {
    name: 'Fire produced before it is committed',
    world: 'delay',
    file: 'src/broker/delay/last-level.js',
    find: `        this.#append([fireRecord(fire)], () => {
            this.core.notAppended(fire);
            this.#pump.wakeIn(againMs);
        });`,
    replace: `        const offset = this.#append([fireRecord(fire)], () => {
            this.core.notAppended(fire);
            this.#pump.wakeIn(againMs);
        });
        if (offset !== undefined) this.core.fired(offset, fire, Number.MAX_SAFE_INTEGER);`,
    seeds: 120,
  },
  {
    name: 'a Fire that its target may have got is parked',
    world: 'delay',
    file: 'src/broker/delay/last-level.js',
    find: `            this.#tellStuck(topicId, partition, destination);
            this.#pump.wakeIn(againMs);`,
    replace: `            const through = this.#partition.partition;
            const level = destination.kind === 'away' ? this.#host.parking(1, through) : undefined;
            if (level !== undefined) {
                fire.isBusy = true;
                const instead = { topicId: level, partition: through, offsets: [], insteadOf: fire.offset };
                this.#append([fireRecord(instead)], () => this.#again(fire));
            }
            this.#pump.wakeIn(againMs);`,
    seeds: 120,
  },
  {
    name: 'parked records do not wait',
    world: 'delay',
    file: 'src/broker/delay/level-mover.js',
    find: 'if (dueMs < expiryMs && delayed.record.type !== parkedType)',
    replace: 'if (dueMs < expiryMs)',
    seeds: 60,
  },
  {
    name: 'cancel of a record that has not come is forgotten',
    world: 'delay',
    file: 'src/broker/delay/last-level-core.js',
    find: 'this.#cancels.set(origin, { offset, dueMs });',
    replace: '',
    seeds: 10,
  },
  {
    name: 'last level trimmed between a cancel and what it struck',
    world: 'delay',
    file: 'src/broker/delay/last-level-core.js',
    find: 'if (from < low && low <= to)',
    replace: 'if (false)',
    seeds: 120,
  },
  {
    name: 'what was trimmed is read back',
    world: 'delay',
    file: 'src/broker/delay/last-level.js',
    find: 'eachDelayed(batch, this.#from, (delayed)',
    replace: 'eachDelayed(batch, 0, (delayed)',
    seeds: 320,
  },
];
