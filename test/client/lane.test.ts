import fc from 'fast-check';
import t from 'tap';
import { ErrorCode, errorCodeName, Retry, TaskdError } from '../../src/base/errors.js';
import { Codec } from '../../src/batch/body.js';
import { BatchClass, type BatchHeader, headerBytes, readBatch } from '../../src/batch/header.js';
import { readRecords } from '../../src/batch/record.js';
import { ProducerTable } from '../../src/broker/producer-table.js';
import { Lane, type LaneBatch } from '../../src/client/lane.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';

const options = { batchBytes: 400, lingerMs: 5, deliveryTimeoutMs: 10_000, codec: Codec.NONE };
const error = (code: ErrorCode, retry: Retry = Retry.NEVER) => new TaskdError(code, 'as told', { retry });

function lane(): Lane<string> {
  const it = new Lane<string>(new SeededRandom(1), options);
  it.identify(9, 0);
  return it;
}

const put = (it: Lane<string>, name: string, nowMs: number, batchClass: BatchClass = BatchClass.CLIENT) =>
  it.add({ value: Buffer.from(name) }, batchClass, name, nowMs, 1_000);

function header(batch: LaneBatch<string>): BatchHeader {
  const read = readBatch(batch.bytes, 0);
  if (typeof read === 'string') throw new Error(read);
  return read;
}

const owners = (batch: LaneBatch<string>): string[] => batch.parts.map((part) => part.owner);

t.test('the first goes at once; what comes meanwhile gathers until an answer or the linger', (t) => {
  const it = lane();
  put(it, 'a', 0);
  const first = it.next(0)!;
  t.same(owners(first), ['a']);
  put(it, 'b', 1);
  put(it, 'c', 2);
  t.equal(it.next(2), undefined);
  t.equal(it.dueMs(), 6);
  t.ok(it.acknowledged(first, 3));
  const second = it.next(3)!;
  t.same(owners(second), ['b', 'c']);
  t.match(header(second), { baseSequence: 1, lastSequence: 2, producerId: 9 });
  put(it, 'd', 4);
  t.equal(it.next(8), undefined);
  t.same(owners(it.next(9)!), ['d'], 'the linger is over');
  t.end();
});

t.test('at most five are unacknowledged, counted from the oldest', (t) => {
  const it = lane();
  const sent: LaneBatch<string>[] = [];
  for (let i = 0; i < 5; i++) {
    put(it, `r${i}`, i * 10);
    const batch = it.next(i * 10 + 5);
    if (batch !== undefined) sent.push(batch);
  }
  t.equal(sent.length, 5);
  put(it, 'more', 60);
  t.equal(it.next(100), undefined);
  it.acknowledged(sent[2]!, 100);
  t.equal(it.next(100), undefined, 'the oldest is still open');
  it.acknowledged(sent[0]!, 100);
  t.same(owners(it.next(100)!), ['more']);
  t.end();
});

t.test('a retry keeps sequences and order, and nothing new passes it', (t) => {
  const it = lane();
  put(it, 'a', 0);
  const a = it.next(0)!;
  put(it, 'b', 0);
  const b = it.next(5)!;
  t.same(it.refused(a, error(ErrorCode.CONNECTION_LOST), 6), []);
  t.same(it.refused(b, error(ErrorCode.OUT_OF_ORDER_SEQUENCE), 6), [], 'a lower one is open');
  put(it, 'c', 6);
  t.equal(it.next(6), undefined);
  const due = it.dueMs()!;
  t.equal(it.next(due), a);
  t.equal(header(a).baseSequence, 0);
  t.equal(it.next(due + 10), b);
  t.equal(it.next(due + 10)?.parts[0]?.owner, 'c');
  t.end();
});

t.test('a change of class closes the batch', (t) => {
  const it = lane();
  put(it, 'a', 0, BatchClass.CLIENT);
  put(it, 'b', 0, BatchClass.OWNER);
  t.equal(it.next(0)!.batchClass, BatchClass.CLIENT);
  t.equal(it.next(5)!.batchClass, BatchClass.OWNER);
  t.end();
});

t.test('what runs into the delivery timeout says what it was last refused with', (t) => {
  const full = () =>
    new TaskdError(ErrorCode.STORAGE_FULL, 'the disk is full', { retry: Retry.AFTER, retryAfterMs: 9 });
  const it = lane();
  put(it, 'a', 0);
  const a = it.next(0)!;
  it.refused(a, full(), 1);
  put(it, 'b', 2);
  const said = {
    code: ErrorCode.STORAGE_FULL,
    retry: Retry.AFTER,
    retryAfterMs: 9,
    message: /10000 ms: the disk is full/,
  };
  t.match(it.expire(10_002), [{ error: said }, { error: said }], 'also of one that waited behind it');
  put(it, 'c', 20_000);
  const c = it.next(20_000)!;
  it.refused(c, error(ErrorCode.CONNECTION_LOST), 20_001);
  t.equal(it.next(21_000), c);
  it.refused(c, full(), 21_001);
  const unknown = { code: ErrorCode.OUTCOME_UNKNOWN, message: /the disk is full/ };
  t.match(it.expire(30_000), [{ error: unknown }], 'an earlier attempt may have come through');
  put(it, 'd', 40_000);
  t.match(it.expire(50_000, full()), [{ error: said }], 'never sent: what held it up');
  put(it, 'e', 60_000);
  const open = { code: ErrorCode.DEADLINE, message: /as told/ };
  t.match(it.expire(70_000, error(ErrorCode.CONNECTION_LOST)), [{ error: open }]);
  t.end();
});

t.test('a batch refused for good fails alone; the ones after it go on under the next epoch', (t) => {
  const it = lane();
  put(it, 'a', 0);
  const a = it.next(0)!;
  put(it, 'b', 0);
  const b = it.next(5)!;
  const failures = it.refused(a, error(ErrorCode.MALFORMED), 6);
  t.match(failures, [{ batch: a, error: { code: ErrorCode.MALFORMED } }]);
  t.equal(it.next(6), undefined, 'b is in flight');
  t.same(it.refused(b, error(ErrorCode.OUT_OF_ORDER_SEQUENCE), 7), []);
  t.equal(it.next(7), b);
  t.match(header(b), { producerEpoch: 1, baseSequence: 0 });
  t.end();
});

t.test('a reset that only an acknowledgement lets go on is not forgotten', (t) => {
  const it = lane();
  put(it, 'a', 0);
  const a = it.next(0)!;
  put(it, 'b', 0);
  const b = it.next(5)!;
  t.match(it.refused(a, error(ErrorCode.FORBIDDEN), 6), [{ batch: a }]);
  t.ok(it.acknowledged(b, 7), 'the broker had both: an earlier attempt came through');
  put(it, 'c', 8);
  t.same(it.expire(8), []);
  const c = it.next(8);
  t.same(c && owners(c), ['c']);
  t.match(header(c!), { producerEpoch: 1, baseSequence: 0 });
  t.end();
});

t.test('the delivery timeout takes what may have been appended with it, and nothing else', (t) => {
  const it = lane();
  put(it, 'a', 0);
  const a = it.next(0)!;
  put(it, 'b', 4_000);
  const b = it.next(4_005)!;
  put(it, 'c', 4_010);
  const c = it.next(4_015)!;
  t.same(it.refused(b, error(ErrorCode.BUSY, Retry.AFTER), 4_020), [], 'surely not appended');
  const failures = it.expire(10_000);
  t.match(failures, [
    { batch: a, error: { code: ErrorCode.OUTCOME_UNKNOWN } },
    { batch: c, error: { code: ErrorCode.OUTCOME_UNKNOWN } },
  ]);
  t.notOk(it.acknowledged(a, 10_001), 'a late answer changes nothing');
  t.equal(it.next(10_001), b);
  t.match(header(b), { producerEpoch: 1, baseSequence: 0 });
  t.end();
});

t.test('records that end with others say why, and name the delivery timeout only where one passed', (t) => {
  const unknown = (message: RegExp) => ({ error: { code: ErrorCode.OUTCOME_UNKNOWN, message } });
  const sentTwo = (): [Lane<string>, LaneBatch<string>, LaneBatch<string>] => {
    const it = lane();
    put(it, 'a', 0);
    const a = it.next(0)!;
    put(it, 'b', 4_000);
    return [it, a, it.next(4_005)!];
  };
  let [it, a, b] = sentTwo();
  it.refused(b, error(ErrorCode.CONNECTION_LOST), 4_006);
  const [, refusedBefore] = it.refused(a, error(ErrorCode.MALFORMED), 4_007);
  t.match(refusedBefore, unknown(/records sent before them were refused for good: as told/));
  t.notMatch(refusedBefore!.error.message, /timeout/);

  [it, a, b] = sentTwo();
  it.refused(b, error(ErrorCode.CONNECTION_LOST), 4_006);
  const [lost] = it.refused(a, error(ErrorCode.CONNECTION_LOST), 4_007);
  t.equal(lost, undefined);
  it.next(5_000);
  const forgotten = it.refused(a, error(ErrorCode.UNKNOWN_PRODUCER), 5_001);
  t.match(forgotten, [unknown(/no longer knows which records/), unknown(/no longer knows which records/)]);
  for (const { error } of forgotten) t.notMatch(error.message, /timeout/);

  [it, a, b] = sentTwo();
  it.refused(b, error(ErrorCode.CONNECTION_LOST), 4_006);
  const [own, followed] = it.expire(10_000);
  t.match(own, unknown(/did not take the records within the delivery timeout of 10000 ms/));
  t.match(followed, unknown(/records sent before them ran into the delivery timeout of 10000 ms/));
  t.end();
});

t.test('a broker that is held up by its full disk is told so, with the code where nothing was stored', (t) => {
  const held = new TaskdError(ErrorCode.OUTCOME_UNKNOWN, 'the disk is full; free some space', {
    retry: Retry.AFTER,
    retryAfterMs: 1_000,
    hint: 'STORAGE_FULL',
  });
  const it = lane();
  put(it, 'a', 0);
  const a = it.next(0)!;
  it.refused(a, held, 1);
  put(it, 'b', 2);
  t.equal(it.next(500), undefined, 'it waits as long as it was asked to');
  t.match(it.expire(10_002), [
    { error: { code: ErrorCode.OUTCOME_UNKNOWN, message: /free some space/ } },
    { error: { code: ErrorCode.STORAGE_FULL, retry: Retry.AFTER, message: /free some space/ } },
  ]);
  t.end();
});

t.test('what was never sent fails as surely not stored', (t) => {
  const it = new Lane<string>(new SeededRandom(1), options);
  put(it, 'a', 0);
  t.equal(it.next(0), undefined, 'no producer id yet');
  t.equal(it.dueMs(), 10_000);
  t.match(it.expire(10_000), [{ error: { code: ErrorCode.DEADLINE } }]);
  t.ok(it.isEmpty);
  t.equal(it.bytes, 0);
  t.end();
});

t.test('a fenced lane fails all and wants a new id', (t) => {
  const it = lane();
  put(it, 'a', 0);
  const a = it.next(0)!;
  put(it, 'b', 1);
  t.equal(it.refused(a, error(ErrorCode.PRODUCER_FENCED), 2).length, 2);
  t.notOk(it.isIdentified);
  t.ok(it.isEmpty);
  t.end();
});

t.test('a lane that rested begins a new epoch, since the broker may have forgotten it', (t) => {
  const it = lane();
  put(it, 'a', 0);
  it.acknowledged(it.next(0)!, 1);
  put(it, 'b', 400_000);
  t.match(header(it.next(400_000)!), { producerEpoch: 1, baseSequence: 0 });
  t.end();
});

/** A broker with the real table of producers, behind a network that loses, delays and answers late. */
class Broker {
  readonly log: string[] = [];
  readonly #table = new ProducerTable();

  produce(bytes: Uint8Array): TaskdError | undefined {
    const read = readBatch(bytes, 0);
    if (typeof read === 'string') throw new Error(read);
    const verdict = this.#table.check(read);
    if (verdict.kind === 'refuse') return verdict.error;
    if (verdict.kind !== 'append') return undefined;
    this.#table.appended({ ...read, baseOffset: this.log.length, appendTimestamp: 1 });
    readRecords(bytes.subarray(headerBytes), 0, read.recordCount, (record) => {
      this.log.push(Buffer.from(record.value!).toString());
    });
    this.#table.committed(this.log.length);
    return undefined;
  }
}

t.test(
  'over a bad network: acknowledged once and in order, a sure failure never stored, a doubtful one at most once',
  (t) => {
    fc.assert(
      fc.property(fc.integer(), fc.array(fc.nat(99), { minLength: 50, maxLength: 300 }), (seed, dice) => {
        const it = new Lane<string>(new SeededRandom(seed), { ...options, deliveryTimeoutMs: 300 });
        it.identify(9, 0);
        const broker = new Broker();
        const outcome = new Map<string, string>();
        /** Bytes on their way; `batch` is unset when nobody waits for the answer any more. */
        let wire: { bytes: Uint8Array; batch: LaneBatch<string> | undefined }[] = [];
        let now = 0;
        let name = 0;
        const fail = (failures: readonly { batch: LaneBatch<string>; error: TaskdError }[]) => {
          for (const each of failures)
            for (const who of owners(each.batch)) outcome.set(who, errorCodeName(each.error.code));
        };
        const pump = () => {
          fail(it.expire(now));
          for (let batch = it.next(now); batch; batch = it.next(now)) wire.push({ bytes: batch.bytes.slice(), batch });
        };
        const answer = (message: { bytes: Uint8Array; batch: LaneBatch<string> | undefined }, heard: boolean) => {
          const refusal = broker.produce(message.bytes);
          if (message.batch === undefined) return;
          if (!heard) fail(it.refused(message.batch, error(ErrorCode.CONNECTION_LOST), now));
          else if (refusal !== undefined) fail(it.refused(message.batch, refusal, now));
          else if (it.acknowledged(message.batch, now)) for (const who of owners(message.batch)) outcome.set(who, 'ok');
        };
        for (const die of dice) {
          now += die % 7;
          if (die < 40) put(it, `${name++}`, now);
          else if (die < 75) {
            const message = wire.shift();
            if (message !== undefined) answer(message, die < 68);
          } else if (die < 80) {
            // The connection breaks: what is on its way arrives much later, or never.
            for (const message of wire) {
              if (message.batch !== undefined) fail(it.refused(message.batch, error(ErrorCode.CONNECTION_LOST), now));
              message.batch = undefined;
            }
            if (die < 78) wire = [];
          } else if (die < 84) {
            const message = wire.shift();
            if (message?.batch !== undefined) fail(it.refused(message.batch, error(ErrorCode.BUSY, Retry.AFTER), now));
          } else if (die < 86) {
            const message = wire.shift();
            if (message?.batch !== undefined) fail(it.refused(message.batch, error(ErrorCode.INVALID), now));
          } else if (die < 88) now += 250;
          pump();
        }
        for (let i = 0; i < 10_000 && !it.isEmpty; i++) {
          now += 5;
          pump();
          for (const message of wire.splice(0)) answer(message, true);
        }
        if (!it.isEmpty || it.bytes !== 0 || outcome.size !== name) return false;
        const times = new Map<string, number>();
        for (const who of broker.log) times.set(who, (times.get(who) ?? 0) + 1);
        for (const [who, how] of outcome) {
          const stored = times.get(who) ?? 0;
          if (how === 'ok' ? stored !== 1 : how === 'OUTCOME_UNKNOWN' ? stored > 1 : stored !== 0) return false;
        }
        const acknowledged = broker.log.filter((who) => outcome.get(who) === 'ok').map(Number);
        return acknowledged.every((who, i) => i === 0 || acknowledged[i - 1]! < who);
      }),
      { numRuns: 250 },
    );
    t.end();
  },
);

t.test('memory of a batch serves again once it is acknowledged, but not if it was sent twice', (t) => {
  const it = new Lane<string>(new SeededRandom(1), { ...options, batchBytes: 100_000 });
  it.identify(9, 0);
  const value = Buffer.alloc(90_000, 1);
  const send = (nowMs: number): LaneBatch<string> => {
    it.add({ value }, BatchClass.CLIENT, 'x', nowMs, 1_000);
    return it.next(nowMs)!;
  };
  const first = send(0);
  it.acknowledged(first, 1);
  const second = send(2);
  t.equal(second.bytes.buffer, first.bytes.buffer);
  it.refused(second, error(ErrorCode.CONNECTION_LOST, Retry.SAME), 3);
  t.equal(it.next(1_000), second);
  it.acknowledged(second, 1_001);
  const third = send(1_002);
  t.not(third.bytes.buffer, second.bytes.buffer, 'the first attempt may wait in a socket still');
  t.equal(header(third).recordCount, 1);
  t.end();
});
