import t from 'tap';
import { OneRunEach } from './one-run-each.js';

await t.test('attempts and replays are fine, a second run is not', async (t) => {
  const problems: string[] = [];
  const checker = new OneRunEach((error) => problems.push(error.message));
  checker.started('a', '0:1');
  checker.started('a', '0:1');
  checker.started('b', '0:2');
  checker.replaying('a', '0:1');
  checker.replaying('a', '0:1');
  checker.started('a', '0:7');
  t.same(problems, []);
  checker.started('a', '0:9');
  t.same(problems, ['submit a became 3 runs, 2 allowed: 0:1, 0:7, 0:9']);
});
