import t from 'tap';
import { ErrorCode, Retry, TaskdError } from '../../src/base/errors.js';
import { partitionProducersMax } from '../../src/base/limits.js';
import { ProducerIdShares } from '../../src/broker/producer-ids.js';

const dayMs = 24 * 3_600_000;

/** Ids that a host gets which asks for one every `everyMs` from `fromMs` to `toMs`, and the last refusal. */
function takeAll(shares: ProducerIdShares, host: string, fromMs: number, toMs: number, everyMs: number) {
  let ids = 0;
  let refusal: TaskdError | undefined;
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += everyMs) {
    try {
      shares.take(host, nowMs);
      ids++;
    } catch (error) {
      if (!(error instanceof TaskdError)) throw error;
      refusal = error;
    }
  }
  return { ids, refusal };
}

t.test('no host gets as many ids within a day as a partition takes producers', async (t) => {
  const shares = new ProducerIdShares();
  const { ids, refusal } = takeAll(shares, 'greedy', 0, dayMs, 250);
  t.ok(ids > 50_000 && ids < partitionProducersMax, `${ids} ids`);
  t.match(refusal, { code: ErrorCode.BUSY, retry: Retry.AFTER, message: /greedy has had .* fewer, longer-lived/ });
  t.ok(refusal!.retryAfterMs > 0 && refusal!.retryAfterMs <= 1_000);
  shares.take('another', dayMs);
});

t.test('what comes to a host while it asks for nothing is bounded, and so are the hosts', async (t) => {
  const shares = new ProducerIdShares();
  t.equal(takeAll(shares, 'a', 0, 0, 1).ids, 1);
  let ids = 0;
  for (; ids < 20_000; ids++) if (takeAll(shares, 'a', 100 * dayMs, 100 * dayMs, 1).ids === 0) break;
  t.equal(ids, 10_000);
  for (let i = 0; i < 10_001; i++) shares.take(`host-${i}`, 100 * dayMs);
  t.equal(takeAll(shares, 'a', 100 * dayMs, 100 * dayMs, 1).ids, 1, 'it was forgotten');
});
