import t from 'tap';
import { ErrorCode, TaskdError } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/logger.js';
import { BatchClass } from '../../src/batch/header.js';
import type { StoredRecord } from '../../src/batch/record.js';
import { MemoryTaskLog } from '../../src/coordinator/memory-task-log.js';
import { type Shard, ShardRuntime } from '../../src/coordinator/shard-runtime.js';
import type { LogReader, TaskLog } from '../../src/coordinator/task-log.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';

const { clock } = nodeRuntime(silentLogger);

/** The first record of a type wins. */
class FirstWins implements Shard<boolean> {
  readonly taken: Map<number, number> = new Map<number, number>();

  replay(record: StoredRecord): boolean {
    if (this.taken.has(record.type)) return false;
    this.taken.set(record.type, record.offset);
    return true;
  }
}

t.test('a write is answered by what replay made of it', async (t) => {
  const log = new MemoryTaskLog(clock);
  const one = new ShardRuntime(log, new FirstWins());
  const two = new ShardRuntime(log, new FirstWins());
  one.start();
  two.start();
  const answers = await Promise.all([
    one.write([{ type: 1 }, { type: 2 }], BatchClass.OWNER),
    two.write([{ type: 2 }, { type: 3 }], BatchClass.OWNER),
    one.write([{ type: 3 }, { type: 4 }], BatchClass.OWNER),
  ]);
  t.strictSame(answers, [
    [true, true],
    [false, true],
    [false, true],
  ]);
  await two.replayedTo(6);
  t.equal(two.nextOffset, 6);
  one.close();
  two.close();
});

t.test('an empty write and a closed runtime', async (t) => {
  const runtime = new ShardRuntime(new MemoryTaskLog(clock), new FirstWins());
  runtime.start();
  t.strictSame(await runtime.write([], BatchClass.OWNER), []);
  const write = runtime.write([{ type: 1 }], BatchClass.OWNER);
  const wait = runtime.replayedTo(100);
  runtime.close();
  await t.rejects(write, { code: ErrorCode.NOT_OWNER });
  await t.rejects(wait, { code: ErrorCode.NOT_OWNER });
  await t.rejects(runtime.write([{ type: 1 }], BatchClass.OWNER), { code: ErrorCode.NOT_OWNER });
  await t.rejects(runtime.replayedTo(100), { code: ErrorCode.NOT_OWNER });
});

t.test('a refused append rejects its write only', async (t) => {
  const inner = new MemoryTaskLog(clock);
  let refuse = true;
  const log: TaskLog = {
    append: (records, batchClass) => (refuse ? Promise.reject(new Error('full')) : inner.append(records, batchClass)),
    read: (offset, reader) => inner.read(offset, reader),
    recordAt: (offset) => inner.recordAt(offset),
  };
  const runtime = new ShardRuntime(log, new FirstWins());
  runtime.start();
  const refused = runtime.write([{ type: 1 }], BatchClass.OWNER);
  refuse = false;
  const written = runtime.write([{ type: 1 }], BatchClass.OWNER);
  await t.rejects(refused, /full/);
  t.strictSame(await written, [true]);
  runtime.close();
});

t.test('a log that lost its beginning closes the runtime', async (t) => {
  let reader: LogReader | undefined;
  const log: TaskLog = {
    append: () => new Promise(() => {}),
    read: (_, each) => {
      reader = each;
      return { poke() {}, close() {} };
    },
    recordAt: () => Promise.resolve(undefined),
  };
  let lostAt = -1;
  const runtime = new ShardRuntime<number>(log, {
    replay: () => 0,
    lost: (logStart) => {
      lostAt = logStart;
    },
  });
  runtime.start();
  const write = runtime.write([{ type: 1 }], BatchClass.OWNER);
  reader!.lost(17, new TaskdError(ErrorCode.OFFSET_OUT_OF_RANGE, 'gone'));
  t.equal(lostAt, 17);
  await t.rejects(write, { code: ErrorCode.NOT_OWNER });
});
