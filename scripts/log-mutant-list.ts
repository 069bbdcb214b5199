import type { Mutant } from './sim-mutant-list.js';

const world = 'queue';

/**
 * The safety rules of the log, each taken out in turn; the queue world must notice.
 *
 * Not in the list, since two rare faults must meet: that a start writes the found state journal back (seed 136 showed it
 * once; test/log/crash.test.ts does).
 */
export const logMutants: readonly Mutant[] = [
  {
    name: 'log: acknowledged before the sync',
    world,
    file: 'src/log/group-writer.js',
    find: `segment.handle = await this.#files.open(segment.path, this.#isThrough ? 'through' : 'write');`,
    replace: `segment.handle = await this.#files.open(segment.path, 'write');`,
    seeds: 100,
  },
  {
    name: 'log: a recovered tail is not written back',
    world,
    file: 'src/log/recovery.js',
    find: `        for (const stretch of stretches)
            await this.#rewrite(stretch);`,
    replace: '',
    seeds: 800,
  },
  {
    name: 'log: no body CRC in recovery',
    world,
    file: 'src/log/segment-scan.js',
    find: `        if (!skipsBody && !bodyIsIntact(window, at, header))
            return stop('bodyCrc');`,
    replace: '',
    seeds: 300,
  },
  {
    name: 'log: no look-ahead',
    world,
    file: 'src/log/recovery.js',
    find: 'if (later === undefined)',
    replace: 'if (true)',
    seeds: 800,
  },
  {
    name: 'log: any whole batch after a bad one is taken for proof, whatever its group',
    world,
    file: 'src/log/look-ahead.js',
    find: 'if (batch.position - batch.header.groupStart > bad)',
    replace: 'if (batch.position > bad)',
    seeds: 300,
  },
  {
    name: 'log: the folder of a new segment is not synced',
    world,
    file: 'src/log/group-writer.js',
    find: '            await this.#files.syncFolder(this.#folder);',
    replace: '',
    seeds: 300,
  },
  {
    name: 'broker: a repeat is answered before its batch is on disk',
    world,
    file: 'src/broker/produce-service.js',
    find: `        else
            partition.whenCommitted(waiter);`,
    replace: `        else if (appended.duplicate)
            waiter.committed();
        else
            partition.whenCommitted(waiter);`,
    seeds: 300,
  },
  {
    // Either guard alone is enough: a log that was appended to no longer has the size that a clean end names.
    name: 'log: a clean end is neither forgotten before an append nor compared with the files',
    world,
    file: 'src/log/log-store.js',
    find: '            state.clean = undefined;',
    replace: '',
    also: {
      file: 'src/log/recovery.js',
      find: `        if (last.base !== clean.segmentBase || last.size !== clean.segmentBytes)
            return false;`,
      replace: `        if (last.base !== clean.segmentBase)
            return false;
        last.size = last.end = last.synced = clean.segmentBytes;`,
    },
    seeds: 300,
  },
  {
    name: 'log: the recovery point runs ahead of the sync',
    world,
    file: 'src/log/partition-log.js',
    find: 'const point = Math.min(this.#syncedEnd, this.#cutEnd);',
    replace: 'const point = Math.min(this.#logEnd, this.#cutEnd);',
    seeds: 800,
  },
];
