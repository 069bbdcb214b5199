/**
 * `npm run fuzz -- [--what frames|produce] [--buffers 1000000] [--seed N]`: random bytes through the frame decoder, both
 * as they are and as damaged frames, in random pieces; or damaged produce requests through the broker's gate. Ends with
 * code 1 when anything but a clean refusal comes out.
 */
import { parseArgs } from 'node:util';
import { SeededRandom } from '../src/runtime/sim/seeded-random.js';
import { DecoderFuzz } from '../test/support/decoder-fuzz.js';
import { ProduceFuzz } from '../test/support/produce-fuzz.js';

const { values } = parseArgs({
  options: { what: { type: 'string' }, buffers: { type: 'string' }, seed: { type: 'string' } },
});
const buffers = Number(values.buffers ?? 1_000_000);
const seed = Number(values.seed ?? Date.now() % 0x1_0000_0000);
const random = new SeededRandom(seed);
if (values.what === 'produce') {
  const fuzz = new ProduceFuzz(random);
  for (let i = 0; i < buffers; i++) fuzz.step();
  process.stdout.write(`seed ${seed}: ${buffers} payloads, ${fuzz.passed} passed, ${fuzz.refusals} refusals\n`);
} else {
  const fuzz = new DecoderFuzz(random);
  const before = process.memoryUsage().rss;
  for (let i = 0; i < buffers; i++) fuzz.step();
  const grownMib = (process.memoryUsage().rss - before) / 1024 / 1024;
  process.stdout.write(
    `seed ${seed}: ${buffers} buffers, ${fuzz.frames} frames, ${fuzz.refusals} refusals, ` +
      `at most ${fuzz.capacityMax} bytes gathered, resident memory grew by ${grownMib.toFixed(1)} MiB\n`,
  );
}
