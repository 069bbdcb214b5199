import type { Test } from 'tap';
import { BatchClass } from '../../src/batch/header.js';
import type { StoredRecord } from '../../src/batch/record.js';
import type { CommittedBatch, LogSubscription, TaskLog } from '../../src/coordinator/task-log.js';

/** What the suite needs of an implementation: a fresh, empty log and the end of it. */
export interface TaskLogFixture {
  /** `offset` of the first record that an append will get; control batches may have come before. */
  readonly log: TaskLog;
  readonly monotonicMs: () => number;
  close(): Promise<void>;
}

const value = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (record: StoredRecord | undefined): string => new TextDecoder().decode(record?.value);

/** Gathers what a reader is told, and lets a test wait for it. */
class Gatherer {
  readonly batches: CommittedBatch[] = [];
  readonly looks: { nextOffset: number; beganMs: number; records: number }[] = [];
  readonly subscription: LogSubscription;
  #waiting: { isDone: () => boolean; resolve: () => void }[] = [];

  constructor(log: TaskLog, offset: number) {
    this.subscription = log.read(offset, {
      batch: (batch) => {
        this.batches.push(batch);
        this.#settle();
      },
      caughtUp: (nextOffset, beganMs) => {
        this.looks.push({ nextOffset, beganMs, records: this.records.length });
        this.#settle();
      },
      lost: () => {},
    });
  }

  get records(): StoredRecord[] {
    return this.batches.flatMap((batch) => [...batch.records]);
  }

  until(isDone: () => boolean): Promise<void> {
    if (isDone()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ isDone, resolve }));
  }

  #settle(): void {
    const done = this.#waiting.filter((each) => each.isDone());
    this.#waiting = this.#waiting.filter((each) => !done.includes(each));
    for (const each of done) each.resolve();
  }
}

/** The contract of `TaskLog`, for every implementation. */
export function taskLogConformance(t: Test, name: string, open: () => Promise<TaskLogFixture>): void {
  t.test(`${name}: what is appended is read, in order, by readers early and late`, async (t) => {
    const { log, close } = await open();
    const early = new Gatherer(log, 0);
    const first = await log.append(
      [
        { type: 1, value: value('a') },
        { type: 2, value: value('b') },
      ],
      BatchClass.CLIENT,
    );
    const second = await log.append([{ type: 3, value: value('c') }], BatchClass.OWNER);
    t.equal(first.length, 2);
    t.equal(first[1], first[0]! + 1);
    t.ok(second[0]! > first[1]!);
    await early.until(() => early.records.length >= 3);
    const late = new Gatherer(log, 0);
    await late.until(() => late.records.length >= 3);
    for (const reader of [early, late]) {
      t.strictSame(reader.records.map(text), ['a', 'b', 'c']);
      t.strictSame(
        reader.records.map(({ offset }) => offset),
        [...first, ...second],
      );
      t.strictSame(
        reader.records.map(({ type }) => type),
        [1, 2, 3],
      );
      const owner = reader.batches.find((batch) => batch.batchClass === BatchClass.OWNER);
      t.equal(text(owner?.records[0]), 'c');
      let stamp = 0;
      for (const { appendTimestampMs } of reader.batches) {
        t.ok(appendTimestampMs >= stamp, 'append times never fall');
        stamp = appendTimestampMs;
      }
      reader.subscription.close();
    }
    await close();
  });

  t.test(`${name}: appends of one object land in the order of the calls`, async (t) => {
    const { log, close } = await open();
    const appends: Promise<readonly number[]>[] = [];
    for (let i = 0; i < 50; i++) appends.push(log.append([{ type: 1, value: value(`${i}`) }], BatchClass.CLIENT));
    const offsets = (await Promise.all(appends)).map(([offset]) => offset!);
    t.ok(offsets.every((offset, i) => i === 0 || offset > offsets[i - 1]!));
    const reader = new Gatherer(log, offsets[10]!);
    await reader.until(() => reader.records.length >= 40);
    t.equal(text(reader.records[0]), '10', 'reading begins in the middle of a batch if asked');
    reader.subscription.close();
    await close();
  });

  t.test(`${name}: a look that began after an append was answered has told it`, async (t) => {
    const { log, monotonicMs, close } = await open();
    const reader = new Gatherer(log, 0);
    for (let i = 1; i <= 5; i++) {
      const [offset] = await log.append([{ type: 1, value: value(`${i}`) }], BatchClass.CLIENT);
      const afterMs = monotonicMs();
      reader.subscription.poke();
      await reader.until(() => reader.looks.some((look) => look.beganMs >= afterMs));
      const look = reader.looks.find(({ beganMs }) => beganMs >= afterMs)!;
      t.ok(look.nextOffset > offset!, 'it covers the append');
      t.equal(look.records, i, 'and came after the batch');
    }
    reader.subscription.close();
    await close();
  });

  t.test(`${name}: one record can be read again, and one that is not there is undefined`, async (t) => {
    const { log, close } = await open();
    const offsets = await log.append(
      [
        { type: 7, value: value('x') },
        { type: 8, value: value('y') },
      ],
      BatchClass.WORKER,
    );
    const record = await log.recordAt(offsets[1]!);
    t.equal(text(record), 'y');
    t.equal(record?.type, 8);
    t.equal(record?.offset, offsets[1]);
    t.equal(await log.recordAt(offsets[1]! + 1_000), undefined);
    await close();
  });

  t.test(`${name}: a closed reader is told nothing more`, async (t) => {
    const { log, close } = await open();
    const open1 = new Gatherer(log, 0);
    const closed = new Gatherer(log, 0);
    await log.append([{ type: 1, value: value('1') }], BatchClass.CLIENT);
    await closed.until(() => closed.records.length === 1);
    closed.subscription.close();
    await log.append([{ type: 1, value: value('2') }], BatchClass.CLIENT);
    await open1.until(() => open1.records.length === 2);
    t.equal(closed.records.length, 1);
    open1.subscription.close();
    await close();
  });

  t.test(`${name}: more records than one batch can hold are split and stay in order`, async (t) => {
    const { log, close } = await open();
    const records = Array.from({ length: 70_000 }, (_, i) => ({ type: 1 + (i % 100) }));
    const offsets = await log.append(records, BatchClass.CLIENT);
    t.equal(offsets.length, records.length);
    t.ok(offsets.every((offset, i) => i === 0 || offset > offsets[i - 1]!));
    const reader = new Gatherer(log, offsets[0]!);
    await reader.until(() => reader.records.length >= records.length);
    t.ok(reader.records.every(({ type }, i) => type === 1 + (i % 100)));
    reader.subscription.close();
    await close();
  });
}
