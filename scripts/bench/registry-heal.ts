import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NameServers } from '../name-servers.js';
import { sleep } from './closed-loop.js';
import { RegistryProcesses } from './registry-measure.js';
import { type RegistryShape, sharedUs } from './registry-shape.js';

/** Registrations a second meanwhile, at all nodes. */
const perSec = 1_000;
/** Between a heal and the next cut. */
const restMs = 3_000;

/**
 * Cuts one of three name servers from the two others for so many seconds, in turn, while instances are registered at
 * all of them. Milliseconds from each heal until all watchers, of whichever node, see every instance as it was
 * registered last before the heal, or later, and up.
 */
export async function healTimes(shape: Omit<RegistryShape, 'servers'>, cuts: readonly number[]): Promise<number[]> {
  const names = await NameServers.start(3, { isCuttable: true });
  try {
    const script = join(dirname(fileURLToPath(import.meta.url)), 'registry-client.js');
    const processes = await RegistryProcesses.start(script, { ...shape, servers: names.listens });
    try {
      await processes.watch({ count: 0 });
      await processes.begin(perSec);
      const times: number[] = [];
      for (const [round, seconds] of cuts.entries()) {
        await sleep(restMs);
        names.cut(round % 3, true);
        await sleep(seconds * 1_000);
        const expected = (await processes.load<[instance: number, number: number][]>('mark')).flat();
        const healedUs = sharedUs();
        names.cut(round % 3, false);
        const met = await processes.watch<{ atUs: number }>({ expected });
        times.push((Math.max(...met.map(({ atUs }) => atUs)) - healedUs) / 1e3);
      }
      await processes.end();
      return times;
    } finally {
      processes.stop();
    }
  } finally {
    await names.close();
  }
}
