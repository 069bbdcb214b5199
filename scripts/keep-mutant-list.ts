import type { Mutant } from './sim-mutant-list.js';

const world = 'keep';

/** The safety rules of what a log keeps, each taken out in turn; the keep world must notice. */
export const keepMutants: readonly Mutant[] = [
  {
    name: 'keep: a snapshot is named before it is synced',
    world,
    file: 'src/log/snapshot-file.js',
    find: 'await handle.dataSync();',
    replace: '',
    seeds: 300,
  },
  {
    name: 'keep: files go before the state record',
    world,
    file: 'src/log/log-keeper.js',
    find: `        await this.#journal.flush();
        if (offset > this.#logStart)`,
    replace: '        if (offset > this.#logStart)',
    seeds: 300,
  },
  {
    name: 'keep: a snapshot holds what is not committed',
    world,
    file: 'src/broker/producer-table.js',
    find: 'producers: this.#committed, movers',
    replace: 'producers: new Map([...this.#committed, ...this.#overlay]), movers',
    seeds: 300,
  },
  {
    name: 'keep: no snapshot before a trim',
    world,
    file: 'src/broker/partition-state.js',
    find: `        await this.#saveNow();
        await this.#log.trimTo(offset);`,
    replace: '        await this.#log.trimTo(offset);',
    seeds: 300,
  },
  {
    name: 'keep: a trim is not in the state record',
    world,
    file: 'src/log/log-keeper.js',
    find: `            state.logStart = offset;
            if (state.recoveryPoint`,
    replace: `            this.#logStart = offset;
            if (state.recoveryPoint`,
    seeds: 300,
  },
];
