import { runConsumeSeed } from './consume-scenario.js';
import { runDelayedSeed } from './delayed-scenario.js';
import { runGroupSeed } from './group-scenario.js';
import { runKeepSeed } from './keep-scenario.js';
import { runQueueSeed } from './queue-scenario.js';
import { runRegistrySeed } from './registry-scenario.js';
import { runSeed } from './scenario.js';
import type { ScenarioOptions, WorldResult } from './world-result.js';

/** One kind of simulated world; `npm run sim` runs each seed in all of them. */
export interface World {
  readonly name: string;
  run(seed: number, options?: ScenarioOptions): Promise<WorldResult>;
}

export const worlds: readonly World[] = [
  { name: 'jobs', run: runSeed },
  { name: 'queue', run: runQueueSeed },
  { name: 'delay', run: runDelayedSeed },
  { name: 'groups', run: runGroupSeed },
  { name: 'consume', run: runConsumeSeed },
  { name: 'keep', run: runKeepSeed },
  { name: 'registry', run: runRegistrySeed },
];
