import t from 'tap';
import { killRounds } from '../../scripts/kill-rounds.js';

t.test('kill -9 of standalone under load, three times', async (t) => {
  const seed = Date.now() % 1_000_000;
  t.comment(`seed ${seed}`);
  const account = await killRounds(3, seed, (text) => t.comment(text));
  t.strictSame(account.lost, []);
  t.strictSame(account.startedAfterSuccess, []);
  t.equal(account.succeeded, account.acknowledged);
  t.comment(`${account.acknowledged} acknowledged, ${account.notAcknowledged} not, ${account.starts} starts`);
});
