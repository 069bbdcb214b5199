import type { Mutant } from './sim-mutant-list.js';

/** The rules by which a producer sends each record once and in order, taken out one at a time. */
export const producerMutants: readonly Mutant[] = [
  {
    name: 'sequences used again after OUTCOME_UNKNOWN',
    file: 'src/client/lane.js',
    find: `        else
            this.#epoch++;`,
    replace: '',
    world: 'queue',
    seeds: 60,
  },
  {
    name: 'retry out of order',
    file: 'src/client/lane.js',
    find: 'this.#ready = [...again, ...this.#ready];',
    replace: 'this.#ready = [...this.#ready, ...again];',
    world: 'queue',
    seeds: 60,
  },
  {
    name: 'what may be stored is sent again under the next epoch',
    file: 'src/client/lane.js',
    find: "const isOpen = batch.state === 'inFlight' || batch.maybeAppended;",
    replace: "const isOpen = batch.state === 'inFlight';",
    world: 'queue',
    seeds: 60,
  },
  {
    name: 'a lost connection means not stored',
    file: 'src/client/lane-outcome.js',
    find: '        case ErrorCode.CONNECTION_LOST:\n',
    replace: '',
    world: 'queue',
    seeds: 400,
  },
];
