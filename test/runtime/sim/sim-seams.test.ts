import t from 'tap';
import { clockConformance } from '../../conformance/clock.js';
import { filesConformance } from '../../conformance/files.js';
import { inSim } from '../../conformance/in-runtime.js';
import { netConformance } from '../../conformance/net.js';
import { processConformance } from '../../conformance/process.js';
import { randomConformance } from '../../conformance/random.js';
import { regionConformance } from '../../conformance/regions.js';

for (const seed of [1, 2, 3]) {
  await t.test(`seed ${seed}`, async (t) => {
    await t.test('clock', (t) => clockConformance(t, inSim(seed)));
    await t.test('random', (t) => randomConformance(t, inSim(seed)));
    await t.test('files', (t) => filesConformance(t, inSim(seed), '/new/deep'));
    await t.test('net', (t) => netConformance(t, inSim(seed)));
    await t.test('regions', (t) => regionConformance(t, inSim(seed), '/regions'));
    await t.test('process', (t) => processConformance(t, inSim(seed)));
  });
}
