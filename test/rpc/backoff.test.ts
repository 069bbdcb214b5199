import t from 'tap';
import { Backoff } from '../../src/rpc/backoff.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';

t.test('waits grow to their bound, are spread over it, and begin anew after a success', (t) => {
  const random = new SeededRandom(3);
  const waits = Array.from({ length: 400 }, () => {
    const backoff = new Backoff(random, 50, 5_000);
    return Array.from({ length: 12 }, () => backoff.failed());
  });
  for (let failure = 0; failure < 12; failure++) {
    const bound = Math.min(5_000, 50 * 2 ** failure);
    const column = waits.map((row) => row[failure]!);
    t.ok(
      column.every((wait) => wait >= 0 && wait < bound),
      `failure ${failure} below ${bound}`,
    );
    const mean = column.reduce((sum, wait) => sum + wait, 0) / column.length;
    t.ok(mean > bound * 0.4 && mean < bound * 0.6, 'all of it is used');
  }
  const backoff = new Backoff(random, 50, 5_000);
  for (let i = 0; i < 100; i++) backoff.failed();
  t.equal(backoff.failures, 100);
  backoff.succeeded();
  t.ok(backoff.failed() < 50);
  t.end();
});
