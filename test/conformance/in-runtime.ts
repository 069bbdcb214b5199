import { silentLogger } from '../../src/base/logger.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';

/** Runs a piece of test code as a process of one of the implementations, and returns when it is through. */
export type InRuntime = (body: (runtime: Runtime) => Promise<void>) => Promise<void>;

export const inNode: InRuntime = async (body) => {
  await body(nodeRuntime(silentLogger));
};

/** A new world for each call, under that seed. */
export function inSim(seed: number): InRuntime {
  return async (body) => {
    const world = new SimWorld(seed);
    let isDone = false;
    world.process('tested').start(async (runtime) => {
      await body(runtime);
      isDone = true;
    });
    if (!(await world.run({ until: () => isDone }))) throw new Error(`seed ${seed}: the test waits for nothing`);
  };
}
