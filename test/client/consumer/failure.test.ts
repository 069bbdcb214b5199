import fc from 'fast-check';
import t from 'tap';
import { failedAgain, readFailure, writeFailure } from '../../../src/client/consumer/failure.js';
import {
  checkRetryNames,
  deadTopicName,
  retryDelayMs,
  retryTopicName,
} from '../../../src/client/consumer/retry-ladder.js';

t.test('a failure grows from try to try and survives its header', async (t) => {
  const place = { topic: 'orders', partition: 2, offset: 40 };
  const first = failedAgain(undefined, 'billing', place, 'Error: one', 1_000);
  const second = failedAgain(first, 'billing', { topic: 'orders', partition: 2, offset: 40 }, 'x'.repeat(2_000), 2_000);
  t.match(second, { attempts: 2, firstError: 'Error: one', firstFailedAtMs: 1_000, lastFailedAtMs: 2_000 });
  t.equal(second.lastError.length, 500);
  t.same(readFailure(writeFailure(second)), second);
  const note = { ...second, isValueLeftOut: true as const };
  t.same(readFailure(writeFailure(note)), note);
});

t.test('whatever the bytes, a header is a failure or none', async (t) => {
  for (const text of ['', '{', 'null', '[]', '{}', '{"group":"g","topic":"t","firstError":"","lastError":""}']) {
    t.equal(readFailure(Buffer.from(text)), undefined, text);
  }
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        fc.json().map((text) => Buffer.from(text)),
      ),
      (bytes) => {
        readFailure(bytes);
      },
    ),
  );
  const good = JSON.parse(
    Buffer.from(writeFailure(failedAgain(undefined, 'g', { topic: 't', partition: 0, offset: 0 }, 'e', 1))).toString(),
  ) as Record<string, unknown>;
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.keys(good)),
      fc.oneof(fc.constant(null), fc.constant(-1)),
      (name, value) => readFailure(Buffer.from(JSON.stringify({ ...good, [name]: value }))) === undefined,
    ),
  );
});

t.test('the ladder ends, and names that would be illegal are refused', async (t) => {
  t.same(
    [1, 2, 3].map((attempts) => retryDelayMs([10, 20], attempts)),
    [10, 20, undefined],
  );
  t.equal(retryDelayMs([], 1), undefined);
  t.throws(() => checkRetryNames('g'.repeat(100), 't'.repeat(100)), { message: /characters/ });
  t.throws(() => checkRetryNames('a b', 't'), { message: /retry: false/ });
  checkRetryNames('a.b', 'c_d-1');
});

t.test('no two groups share a topic, and a group without dots has its plain name in it', (t) => {
  t.equal(retryTopicName('billing', 'eu.orders'), 'retry.billing.eu.orders');
  t.equal(deadTopicName('eu.billing', 'orders'), 'dlq..1.eu.billing.orders');
  const name = fc.stringMatching(/^[a.1-]{1,5}$/);
  fc.assert(
    fc.property(name, name, name, name, (group, topic, otherGroup, otherTopic) => {
      const isSame = group === otherGroup && topic === otherTopic;
      const prefix = deadTopicName(group, '');
      return (
        (retryTopicName(group, topic) === retryTopicName(otherGroup, otherTopic)) === isSame &&
        (group === otherGroup || !deadTopicName(otherGroup, otherTopic).startsWith(prefix))
      );
    }),
    { numRuns: 5_000 },
  );
  t.end();
});
