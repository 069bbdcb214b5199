import fc from 'fast-check';
import t from 'tap';
import { ErrorCode } from '../../../src/base/errors.js';
import type { Consumer } from '../../../src/client/consumer/consumer.js';
import type { ConsumerOptions } from '../../../src/client/consumer/consumer-options.js';
import type { ConsumerRecord } from '../../../src/client/consumer/consumer-record.js';
import { Marks, markHeader, markOf, writeMark } from '../../../src/client/dead-mark.js';
import { parseDeadId } from '../../../src/client/dead-record.js';
import { ConsumerRig } from './rig.js';

const group = 'billing';

interface Seen {
  readonly text: string;
  readonly attempt: number;
  readonly replayOf: string | undefined;
}

/** A consumer to which values with "bad" are poison until it is told otherwise; without waits between tries. */
function consume(rig: ConsumerRig, options: Partial<ConsumerOptions> = {}) {
  const seen: Seen[] = [];
  const state = { isCured: false };
  const consumer: Consumer = rig.consumer({ group, retry: { delaysMs: [] }, commitIntervalMs: 20, ...options });
  void consumer.run((record) => {
    seen.push({ text: record.text(), attempt: record.attempt, replayOf: record.failure?.replayOf });
    rig.changed();
    if (record.text().includes('bad') && !state.isCured) throw new Error(`can't do ${record.text()}`);
  });
  return { consumer, seen, state };
}

/** Until so many dead letters are listed. */
async function letters(rig: ConsumerRig, count: number) {
  for (;;) {
    const list = await rig.dead.list(group);
    if (list.length === count) return list;
  }
}

t.test('poison becomes a dead letter with all that is known of it, and holds up nothing', async (t) => {
  const rig = await ConsumerRig.start(t, 2);
  const { seen } = consume(rig);
  await rig.send({ key: 'k', value: 'bad', headers: { trace: 'x' }, partition: 1 }, { value: 'good', partition: 1 });
  await rig.until(() => seen.some(({ text }) => text === 'good'));
  const [letter] = await letters(rig, 1);
  const { offset } = letter!;
  t.match(letter, {
    id: /^dlq\.billing\.orders\/1:\d+$/,
    group,
    topic: 'orders',
    partition: 1,
    attempts: 1,
    firstError: "Error: can't do bad",
    lastError: "Error: can't do bad",
  });
  t.equal(letter!.key?.toString(), 'k');
  t.equal(letter!.value?.toString(), 'bad');
  t.same(Object.keys(letter!.headers), ['trace']);
  t.match(await rig.dead.get(letter!.id), { id: letter!.id, topic: 'orders', offset });
  await t.rejects(rig.dead.get('dlq.billing.orders/1:9999'), { code: ErrorCode.NOT_FOUND });
  await t.rejects(rig.dead.get('dlq.billing.absent/0:1'), { code: ErrorCode.NOT_FOUND });
  await t.rejects(rig.dead.get('orders/0:1'), { code: ErrorCode.INVALID });
  t.equal(seen.length, 2, 'no further try');
  t.same(await rig.dead.list('others'), []);
});

t.test('a replay gives them back to the group once, by filter', async (t) => {
  const rig = await ConsumerRig.start(t);
  const { seen, state } = consume(rig);
  await rig.send('bad 1', 'bad 2', 'bad 3');
  const list = await letters(rig, 3);
  t.match(
    list.map(({ lastError }) => lastError),
    ["Error: can't do bad 1", "Error: can't do bad 2", "Error: can't do bad 3"],
  );
  state.isCured = true;
  const planned = await rig.dead.replay(group, { error: 'bad 2' }, { dryRun: true });
  t.same(planned, { replayed: [list[1]!.id], skipped: [] });
  t.equal((await rig.dead.list(group)).length, 3);
  t.same(await rig.dead.replay(group, { error: 'bad 2' }), planned);
  await rig.until(() => seen.some(({ replayOf }) => replayOf === list[1]!.id));
  t.match(seen.at(-1), { text: 'bad 2', attempt: 1 }, 'it begins anew');
  t.same(
    (await rig.dead.list(group)).map(({ id }) => id),
    [list[0]!.id, list[2]!.id],
  );
  const rest = await rig.dead.replay(group, {}, { perSecond: 1_000 });
  t.same(rest, { replayed: [list[0]!.id, list[2]!.id], skipped: [] });
  await rig.until(() => seen.length === 6);
  t.same(await rig.dead.replay(group, { ids: [list[0]!.id] }), { replayed: [], skipped: [] });
  t.same(await rig.dead.list(group), []);
  await t.rejects(rig.dead.replay('others', { ids: [list[0]!.id] }), { code: ErrorCode.INVALID });
});

t.test('a replayed letter that fails again is a new dead letter', async (t) => {
  const rig = await ConsumerRig.start(t);
  const { seen } = consume(rig);
  await rig.send('bad');
  const [first] = await letters(rig, 1);
  await rig.dead.replay(group);
  await rig.until(() => seen.length === 2);
  for (;;) {
    const [again] = await rig.dead.list(group);
    if (again === undefined) continue;
    t.not(again.id, first!.id);
    t.match(again, { topic: 'orders', offset: first!.offset, attempts: 1 });
    break;
  }
});

t.test('a replay that was cut short is neither lost nor done twice', async (t) => {
  const rig = await ConsumerRig.start(t);
  const { seen, state } = consume(rig);
  await rig.send('bad 1', 'bad 2');
  const list = await letters(rig, 2);
  state.isCured = true;
  await rig.dead.replay(group, { ids: [list[0]!.id] });
  await rig.until(() => seen.length === 3);
  // As if somebody had sent both, of which only the first was stored, long ago, and had not said so.
  const offsets = list.map(({ id }) => parseDeadId(id).offset);
  const marks = new Marks();
  const said = (atMs: number, offset: number) =>
    marks.apply({
      offset,
      timestampMs: atMs,
      headers: { [markHeader]: Buffer.from(writeMark({ kind: 'replaying', offsets, partition: 0, from: 0 })) },
    });
  said(1_000, 10);
  said(500_000, 11);
  said(500_500, 12);
  t.equal(marks.holder(offsets[0]!, 500_600), 11, 'the first that is not too old');
  t.equal(marks.holder(offsets[0]!, 1_500), 10);
  t.equal(marks.holder(99, 1_500), undefined);
  // A mark of somebody who is at it now keeps others away.
  await rig.producer.send('dlq.billing.orders', {
    partition: 0,
    headers: { [markHeader]: writeMark({ kind: 'replaying', offsets, partition: 0, from: 0 }) },
  });
  const kept = await rig.dead.replay(group);
  t.match(kept, { replayed: [], skipped: [{ id: list[1]!.id, why: /another replay/ }] });
  t.equal(seen.length, 3);
});

t.test('purged letters are gone from the list', async (t) => {
  const rig = await ConsumerRig.start(t);
  consume(rig);
  await rig.send('bad 1', 'bad 2');
  const list = await letters(rig, 2);
  t.equal((await rig.dead.purge(group, {}, { dryRun: true })).length, 2);
  t.same(await rig.dead.purge(group, { error: 'bad 1' }), [list[0]!.id]);
  t.same(
    (await rig.dead.list(group)).map(({ id }) => id),
    [list[1]!.id],
  );
  t.same(await rig.dead.purge(group), [list[1]!.id]);
  t.same(await rig.dead.list(group), []);
});

t.test('a handler can say what to do with a record, also in batches', async (t) => {
  const rig = await ConsumerRig.start(t);
  const consumer = rig.consumer({ group, retry: { delaysMs: [1_000] }, commitIntervalMs: 20 });
  let batches = 0;
  void consumer.runBatch((records, context) => {
    batches++;
    for (const record of records) if (record.text() === 'hopeless') context.deadLetter(record, 'no such customer');
    rig.changed();
  });
  await rig.send('fine', 'hopeless', 'fine too');
  t.match(await letters(rig, 1), [{ lastError: 'no such customer', attempts: 1 }]);
  t.ok(batches > 0);
  t.equal(consumer.stats.failed, 1);
});

t.test('a record as large as may be still leaves a dead letter, and its partition goes on', async (t) => {
  const rig = await ConsumerRig.start(t);
  const headers = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`h${i}`, 'bad']));
  const seen: ConsumerRecord[] = [];
  void rig.consumer({ group, retry: { delaysMs: [] }, commitIntervalMs: 20 }).run((record) => {
    seen.push(record);
    rig.changed();
    if (record.headers['h0'] !== undefined) throw new Error('no');
  });
  await rig.send({ value: 'x', headers, partition: 0 }, 'after');
  await rig.until(() => seen.length === 2);
  const [letter] = await letters(rig, 1);
  t.match(letter, { isValueLeftOut: true, topic: 'orders', offset: seen[0]!.offset, value: undefined });
  t.match(await rig.dead.replay(group), { replayed: [], skipped: [{ why: /too large/ }] });
});

t.test('whatever the bytes, a mark is a mark or none', async (t) => {
  const mark = { kind: 'replaying' as const, offsets: [1, 2], partition: 3, from: 4 };
  t.same(markOf({ headers: { [markHeader]: Buffer.from(writeMark(mark)) } }), mark);
  t.equal(markOf({ headers: {} }), undefined);
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        fc.json().map((text) => Buffer.from(text)),
      ),
      (bytes) => {
        markOf({ headers: { [markHeader]: Buffer.from(bytes) } });
      },
    ),
  );
});
