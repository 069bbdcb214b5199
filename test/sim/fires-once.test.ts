import t from 'tap';
import { FiresOnce } from './fires-once.js';

await t.test('attempts of one run are one fire; a second run is not', async (t) => {
  const problems: string[] = [];
  const checker = new FiresOnce((error) => problems.push(error.message));
  checker.fired('a', 1_000, '0:1');
  checker.fired('a', 1_000, '0:1');
  checker.fired('b', 1_000, '0:2');
  checker.fired('a', 2_000, '0:3');
  t.same(problems, []);
  t.equal(checker.count, 3);
  checker.fired('a', 2_000, '0:4');
  t.same(problems, ['fire a@2000 became two runs: 0:3 and 0:4']);
});
