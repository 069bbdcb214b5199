import fc from 'fast-check';
import t from 'tap';
import { ErrorCode, TaskdError } from '../../src/base/errors.js';
import { BatchClass } from '../../src/batch/header.js';
import { MemoryTaskLog } from '../../src/coordinator/memory-task-log.js';
import type { LogReader, LogSubscription, TaskLog } from '../../src/coordinator/task-log.js';
import { RecordReader, wantedMax } from '../../src/scheduler/record-reader.js';
import { ManualClock } from '../support/manual-clock.js';

/** Counts the passes over a log. */
class CountingLog implements TaskLog {
  readonly #log: MemoryTaskLog;
  passes = 0;
  readonly append: TaskLog['append'];
  readonly recordAt: TaskLog['recordAt'];

  constructor(log: MemoryTaskLog) {
    this.#log = log;
    this.append = (records, batchClass) => log.append(records, batchClass);
    this.recordAt = (offset) => log.recordAt(offset);
  }

  read(offset: number, reader: LogReader): LogSubscription {
    this.passes++;
    return this.#log.read(offset, reader);
  }
}

async function filled(batches: readonly number[]): Promise<{ clock: ManualClock; log: CountingLog; end: number }> {
  const clock = new ManualClock();
  const memory = new MemoryTaskLog(clock);
  let end = 0;
  for (const count of batches) {
    const records = Array.from({ length: count }, () => ({ type: 20, value: Buffer.from(String(end++)) }));
    void memory.append(records, BatchClass.CLIENT);
  }
  await clock.settle();
  return { clock, log: new CountingLog(memory), end };
}

t.test('what is wanted in one turn is read in one pass', async (t) => {
  const { clock, log, end } = await filled(new Array(50).fill(20));
  const reader = new RecordReader(log, clock);
  const offsets = Array.from({ length: 300 }, (_, i) => (i * 7) % end).reverse();
  const asked = offsets.map((offset) => reader.at(offset));
  await clock.settle();
  const records = await Promise.all(asked);
  t.ok(records.every((record, i) => Buffer.from(record!.value!).toString() === String(offsets[i])));
  t.equal(log.passes, 1);
  t.equal(reader.wantedCount, 0);
  reader.close();
});

t.test('everything that is there is found, whatever is asked when', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 6 }),
      fc.array(fc.array(fc.nat(12_000), { maxLength: 10 }), { maxLength: 4 }),
      async (batches, rounds) => {
        const { clock, log, end } = await filled(batches);
        const reader = new RecordReader(log, clock);
        const asked: Promise<boolean>[] = [];
        for (const round of rounds) {
          for (const offset of round) {
            asked.push(reader.at(offset).then((record) => (record?.offset ?? -1) === (offset < end ? offset : -1)));
          }
          await new Promise(setImmediate);
        }
        await clock.settle();
        const answers = await Promise.all(asked);
        reader.close();
        return answers.every((isRight) => isRight) && reader.wantedCount === 0;
      },
    ),
    { numRuns: 40 },
  );
});

t.test('a log that can not be read ends what it can not tell, and no more', async (t) => {
  const clock = new ManualClock();
  const log = {
    read: (offset: number, reader: LogReader) => {
      clock.defer(() => {
        if (offset < 10) reader.lost(10, new TaskdError(ErrorCode.OFFSET_OUT_OF_RANGE, 'gone'));
        else {
          reader.batch({ baseOffset: offset, records: [{ offset }] } as never);
          reader.caughtUp(offset + 1, 0);
        }
      });
      return { poke: () => {}, close: () => {} };
    },
  } as unknown as TaskLog;
  const reader = new RecordReader(log, clock);
  const asked = [reader.at(3), reader.at(9), reader.at(12)];
  await clock.settle();
  const [three, nine, twelve] = await Promise.all(asked);
  t.equal(three, undefined);
  t.equal(nine, undefined);
  t.equal(twelve?.offset, 12);
  reader.close();
});

t.test('there is a limit', async (t) => {
  const { clock, log } = await filled([1]);
  const reader = new RecordReader(log, clock);
  const asked = Array.from({ length: wantedMax }, (_, i) => reader.at(i));
  await t.rejects(reader.at(wantedMax), { code: ErrorCode.BUSY });
  reader.close();
  const answers = await Promise.allSettled(asked);
  t.ok(
    answers.every((answer) => answer.status === 'rejected' && answer.reason.code === ErrorCode.DRAINING),
    'whoever waits is told so',
  );
  await t.rejects(reader.at(0), { code: ErrorCode.DRAINING });
});
