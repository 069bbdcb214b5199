import fc from 'fast-check';
import t from 'tap';
import { type Order, type PartitionWork, type Task, WorkQueue } from '../../../src/client/consumer/work-queue.js';

type Record = { readonly key: string | undefined; readonly offset: number };
type Work = PartitionWork<Record>;

const queueOf = (order: Order, concurrency: number, batchRecords = 1): WorkQueue<Record> =>
  new WorkQueue<Record>({ order, concurrency, batchRecords });

function add(queue: WorkQueue<Record>, work: Work, offset: number, key?: string): void {
  queue.add(work, offset, key, 10, { key, offset });
}

const offsets = (tasks: readonly Task<Record>[]): number[] => tasks.map(({ offset }) => offset);

t.test('one by one in a partition, partitions beside each other', async (t) => {
  const queue = queueOf('partition', 2);
  const a = queue.open(1, 0, 5);
  const b = queue.open(1, 1, 0);
  const c = queue.open(1, 2, 0);
  for (const offset of [5, 6]) add(queue, a, offset);
  for (const offset of [0, 1]) add(queue, b, offset);
  add(queue, c, 0);
  const first = queue.next();
  const second = queue.next();
  t.same([first[0]!.work, first[0]!.offset, second[0]!.work, second[0]!.offset], [a, 5, b, 0]);
  t.same(queue.next(), [], 'no more than two at once');
  t.equal(queue.finished(first, true), true);
  t.same(queue.next()[0]!.work, c, 'in turn');
  t.same(queue.next(), []);
  queue.finished(second, true);
  t.same(offsets(queue.next()), [6]);
  t.equal(a.doneEnd, 6);
});

t.test('keys: records of one key one by one, others pass', async (t) => {
  const queue = queueOf('key', 10);
  const work = queue.open(1, 0, 0);
  for (const [offset, key] of [
    [0, 'x'],
    [1, 'x'],
    [2, 'y'],
    [3, undefined],
    [4, undefined],
    [5, 'x'],
  ] as const) {
    add(queue, work, offset, key);
  }
  const running: Task<Record>[][] = [];
  for (let tasks = queue.next(); tasks.length > 0; tasks = queue.next()) running.push(tasks);
  t.same(running.map(offsets), [[0], [2], [3], [4]]);
  queue.finished(running[1]!, true);
  t.equal(work.doneEnd, 0, 'what is done beyond waits for what is not');
  queue.finished(running[0]!, true);
  t.equal(work.doneEnd, 1);
  t.same(offsets(queue.next()), [1]);
  t.same(queue.next(), []);
});

t.test('batches: one of a partition at a time', async (t) => {
  const queue = queueOf('partition', 2, 3);
  const work = queue.open(1, 0, 0);
  for (let offset = 0; offset < 5; offset++) add(queue, work, offset);
  const first = queue.next();
  t.same(offsets(first), [0, 1, 2]);
  t.same(queue.next(), []);
  queue.finished(first, true);
  t.equal(work.doneEnd, 3);
  t.same(offsets(queue.next()), [3, 4]);
});

t.test('a stopped partition ends what lies below what was started; a dropped one ends nothing', async (t) => {
  const queue = queueOf('key', 2);
  const work = queue.open(1, 0, 0);
  for (const [offset, key] of [
    [0, 'x'],
    [1, 'x'],
    [2, 'y'],
    [3, 'y'],
    [4, 'z'],
  ] as const) {
    add(queue, work, offset, key);
  }
  const [x, y] = [queue.next(), queue.next()];
  queue.finished(y, true);
  queue.stop(work);
  add(queue, work, 5, 'z');
  t.equal(queue.isIdle(work), false);
  queue.finished(x, true);
  const rest = queue.next();
  t.same(offsets(rest), [1], 'it lies below the started 2');
  t.equal(queue.isIdle(work), false);
  queue.finished(rest, true);
  t.same(queue.next(), []);
  t.equal(queue.isIdle(work), true);
  t.equal(work.doneEnd, 3, 'all that was started, nothing else');
  t.equal(queue.bytes, 0);

  const other = queue.open(1, 1, 0);
  add(queue, other, 0, 'x');
  add(queue, other, 1, 'x');
  const running = queue.next();
  queue.drop(other);
  t.equal(queue.isIdle(other), false);
  queue.finished(running, true);
  t.same(queue.next(), []);
  t.equal(queue.isIdle(other), true);
  t.equal(other.doneEnd, 1);
});

t.test('pausing holds back, and a paused partition that is stopped starts nothing', async (t) => {
  const queue = queueOf('partition', 2);
  const work = queue.open(1, 0, 0);
  add(queue, work, 0);
  queue.pause(work, true);
  t.same(queue.next(), []);
  queue.pause(work, false);
  queue.pauseAll(true);
  t.same(queue.next(), []);
  queue.pauseAll(false);
  const first = queue.next();
  t.same(offsets(first), [0]);
  add(queue, work, 1);
  queue.pause(work, true);
  queue.stop(work);
  queue.finished(first, true);
  t.same(queue.next(), []);
  t.ok(queue.isIdle(work));
});

t.test('property: order, room, and an end that nothing undone lies below', async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('add' as const), key: fc.integer({ min: 0, max: 3 }) }) },
    { weight: 4, arbitrary: fc.constant({ kind: 'next' as const }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('finish' as const), at: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('skip' as const), by: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('pause' as const), on: fc.boolean() }) },
  );
  fc.assert(
    fc.property(
      fc.constantFrom<Order>('partition', 'key', 'none'),
      fc.integer({ min: 1, max: 4 }),
      fc.array(step, { maxLength: 120 }),
      fc.nat(120),
      (order, concurrency, steps, stopAt) => {
        const queue = queueOf(order, concurrency);
        const work = queue.open(1, 0, 0);
        const running: Task<Record>[][] = [];
        const done = new Set<number>();
        const started: Record[] = [];
        const added: number[] = [];
        let next = 0;
        let startedMax = -1;
        let isStopped = false;
        const check = (): void => {
          if (queue.runningCount !== running.length || running.length > concurrency) throw new Error('room');
          for (const offset of added) {
            if (offset < work.doneEnd && !done.has(offset)) throw new Error(`${offset} is not done`);
          }
        };
        const start = (): boolean => {
          const tasks = queue.next();
          const [task] = tasks;
          if (task === undefined) return false;
          const { record, offset } = task;
          if (isStopped && offset > startedMax) throw new Error('new after the stop');
          startedMax = Math.max(startedMax, offset);
          for (const [other] of running) {
            if (order === 'partition') throw new Error('two at once');
            if (order === 'key' && other!.key !== undefined && other!.key === task.key) throw new Error('key twice');
          }
          for (const before of started) {
            const isOrdered = order === 'partition' || (order === 'key' && before.key === record!.key && record!.key);
            if (isOrdered && before.offset > offset) throw new Error('out of order');
          }
          started.push(record!);
          running.push(tasks);
          return true;
        };
        const finish = (at: number): void => {
          const [tasks] = running.splice(at % running.length, 1);
          for (const { offset } of tasks!) done.add(offset);
          queue.finished(tasks!, true);
        };
        steps.forEach((each, i) => {
          if (i === stopAt) {
            queue.pause(work, false);
            queue.stop(work);
            isStopped = true;
          }
          if (each.kind === 'add') {
            const offset = next++;
            if (!isStopped) added.push(offset);
            add(queue, work, offset, each.key === 0 ? undefined : `k${each.key}`);
          } else if (each.kind === 'next') start();
          else if (each.kind === 'finish' && running.length > 0) finish(each.at);
          else if (each.kind === 'skip') queue.skipTo(work, (next += each.by));
          else if (each.kind === 'pause' && !isStopped) queue.pause(work, each.on);
          check();
        });
        if (!isStopped) {
          queue.pause(work, false);
          queue.stop(work);
          isStopped = true;
        }
        while (start() || running.length > 0) {
          if (running.length > 0) finish(0);
          check();
        }
        if (!queue.isIdle(work)) throw new Error('not idle');
        if (startedMax >= 0 && work.doneEnd <= startedMax) throw new Error('something started is not below the end');
        for (const offset of done) if (offset >= work.doneEnd) throw new Error('done twice later');
        if (queue.bytes !== 0) throw new Error(`${queue.bytes} bytes left`);
      },
    ),
    { numRuns: 400 },
  );
});
