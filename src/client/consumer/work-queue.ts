/**
 * Which record may be handled next, and how far each partition is done: the pure part of handling.
 *
 * A record lives here as
 * ```
 *          add             free, its turn            next               finished
 *  (none) ─────► WAITING ────────────────► READY ──────────► RUNNING ──────────► DONE ──► (forgotten, once all before
 *                   │ stop, drop             │                                             it are done)
 *                   └────────────────────────┴──► DROPPED
 * ```
 * - Order `partition`: one record of a partition at a time. Order `key`: one record of a key at a time, in their order;
 *   records without a key wait for nothing. Order `none`: none waits. In batches: one batch of a partition at a time.
 * - `doneEnd` of a partition is the lowest offset that is not done: what may be committed. Records that are done beyond
 *   it are remembered, at most `aheadMax` of them, so a handler that never ends stops its partition in time.
 * - A partition that was *stopped* hands out only records below the highest one that was started, so that in the end
 *   everything started lies below `doneEnd` and nothing is done twice; one that was *dropped* hands out nothing.
 */
import { assert } from '../../base/errors.js';
import { Fifo } from './fifo.js';

export type Order = 'partition' | 'key' | 'none';

export const TaskState = { WAITING: 0, READY: 1, RUNNING: 2, DONE: 3, DROPPED: 4 } as const;
export type TaskState = (typeof TaskState)[keyof typeof TaskState];

/** One record on its way from the fetch to the commit. */
export interface Task<R> {
  readonly work: PartitionWork<R>;
  readonly offset: number;
  readonly bytes: number;
  readonly key: string | undefined;
  /** Gone once it is done or dropped. */
  record: R | undefined;
  state: TaskState;
  /** The next one of the same key. */
  next: Task<R> | undefined;
}

/** Records of one partition that are done or not, but remembered; more of them are not fetched. */
export const aheadMax = 10_000;

/** What the queue knows of one partition. Fields are the queue's to write. */
export class PartitionWork<R> {
  readonly topicId: number;
  readonly partition: number;
  /** Offset after the last record that was added, or that is known not to be there. */
  fetchedEnd: number;
  /** Highest offset that was started, -1 for none. */
  startedMax = -1;
  runningCount = 0;
  /** Of records that wait or run. */
  bytes = 0;
  isPaused = false;
  isStopped = false;
  isDropped = false;
  isQueued = false;
  readonly tasks: Fifo<Task<R>> = new Fifo<Task<R>>();
  readonly ready: Fifo<Task<R>> = new Fifo<Task<R>>();
  /** The last record of each key that is waiting, ready or running. */
  readonly keys: Map<string, Task<R>> = new Map<string, Task<R>>();

  constructor(topicId: number, partition: number, offset: number) {
    this.topicId = topicId;
    this.partition = partition;
    this.fetchedEnd = offset;
  }

  /** The lowest offset that is not done. */
  get doneEnd(): number {
    return this.tasks.first?.offset ?? this.fetchedEnd;
  }
}

export interface WorkQueueOptions {
  readonly order: Order;
  /** Handlers at once. */
  readonly concurrency: number;
  /** Records that `next` gives out together; 1: each on its own. */
  readonly batchRecords: number;
}

export class WorkQueue<R> {
  readonly #order: Order;
  readonly #concurrency: number;
  readonly #batchRecords: number;
  readonly #works = new Set<PartitionWork<R>>();
  /** Partitions with something ready, in turn. */
  readonly #queue = new Fifo<PartitionWork<R>>();
  #runningCount = 0;
  #bytes = 0;
  #isPaused = false;

  constructor(options: WorkQueueOptions) {
    this.#order = options.order;
    this.#concurrency = options.concurrency;
    this.#batchRecords = options.batchRecords;
  }

  /** Handlers under way. */
  get runningCount(): number {
    return this.#runningCount;
  }

  /** Bytes of all records that wait or run. */
  get bytes(): number {
    return this.#bytes;
  }

  get works(): ReadonlySet<PartitionWork<R>> {
    return this.#works;
  }

  open(topicId: number, partition: number, offset: number): PartitionWork<R> {
    const work = new PartitionWork<R>(topicId, partition, offset);
    this.#works.add(work);
    return work;
  }

  /** A record of the partition came; in order of offsets. */
  add(work: PartitionWork<R>, offset: number, key: string | undefined, bytes: number, record: R): void {
    if (work.isStopped || work.isDropped) return;
    assert(offset >= work.fetchedEnd, 'records come in the order of their offsets');
    const task: Task<R> = { work, offset, bytes, key, record, state: TaskState.READY, next: undefined };
    work.fetchedEnd = offset + 1;
    work.bytes += bytes;
    this.#bytes += bytes;
    work.tasks.push(task);
    if (this.#order === 'key' && key !== undefined && this.#batchRecords === 1) {
      const last = work.keys.get(key);
      work.keys.set(key, task);
      if (last !== undefined) {
        last.next = task;
        task.state = TaskState.WAITING;
        return;
      }
    }
    work.ready.push(task);
    this.#enqueue(work);
  }

  /** All records below `end` were added; some offsets carry none. */
  skipTo(work: PartitionWork<R>, end: number): void {
    if (!work.isStopped && !work.isDropped && end > work.fetchedEnd) work.fetchedEnd = end;
  }

  /** What is to be handled now: one record, or a batch of one partition; empty when there is nothing or no room. */
  next(): Task<R>[] {
    if (this.#isPaused || this.#runningCount >= this.#concurrency) return [];
    for (let looks = this.#queue.length; looks > 0; looks--) {
      const work = this.#queue.shift()!;
      work.isQueued = false;
      if (work.isDropped || work.isPaused) continue;
      // Whoever runs one by one comes back when that one is finished.
      if (work.runningCount > 0 && (this.#order === 'partition' || this.#batchRecords > 1)) continue;
      const taken = this.#take(work);
      this.#enqueue(work);
      if (taken.length === 0) continue;
      this.#runningCount++;
      return taken;
    }
    return [];
  }

  /** What `next` gave out together is over: done, or to be done by somebody else. Returns true when its partition moved on. */
  finished(tasks: readonly Task<R>[], isDone: boolean): boolean {
    const work = tasks[0]!.work;
    this.#runningCount--;
    const before = work.doneEnd;
    for (const task of tasks) {
      assert(task.state === TaskState.RUNNING, 'only what runs can be finished');
      work.runningCount--;
      this.#forget(task, isDone ? TaskState.DONE : TaskState.DROPPED);
      const { next } = task;
      task.next = undefined;
      if (task.key === undefined) continue;
      if (work.keys.get(task.key) === task) work.keys.delete(task.key);
      if (next !== undefined && next.state === TaskState.WAITING) {
        next.state = TaskState.READY;
        work.ready.push(next);
      }
    }
    while (work.tasks.first?.state === TaskState.DONE) work.tasks.shift();
    this.#enqueue(work);
    return work.doneEnd > before;
  }

  /** No record above those that were started is given out any more; while paused, none at all. */
  stop(work: PartitionWork<R>): void {
    if (work.isStopped) return;
    work.isStopped = true;
    if (work.isPaused || this.#isPaused) {
      this.drop(work);
      return;
    }
    for (const task of work.tasks) {
      if (task.offset > work.startedMax && task.state !== TaskState.RUNNING) this.#forget(task, TaskState.DROPPED);
    }
  }

  /** Nothing of the partition is given out any more; what runs goes on. */
  drop(work: PartitionWork<R>): void {
    if (work.isDropped) return;
    work.isStopped = true;
    work.isDropped = true;
    for (const task of work.tasks) {
      if (task.state === TaskState.WAITING || task.state === TaskState.READY) this.#forget(task, TaskState.DROPPED);
    }
    work.keys.clear();
  }

  /** Forgets a partition in which nothing runs, or whose running handlers nobody waits for. */
  close(work: PartitionWork<R>): void {
    this.drop(work);
    this.#works.delete(work);
  }

  /** True when a stopped partition has nothing left to run or to give out. */
  isIdle(work: PartitionWork<R>): boolean {
    if (work.runningCount > 0) return false;
    return work.isDropped || work.startedMax < work.doneEnd;
  }

  pause(work: PartitionWork<R>, isPaused: boolean): void {
    if (work.isStopped) return;
    work.isPaused = isPaused;
    this.#enqueue(work);
  }

  pauseAll(isPaused: boolean): void {
    this.#isPaused = isPaused;
  }

  #take(work: PartitionWork<R>): Task<R>[] {
    const taken: Task<R>[] = [];
    while (taken.length < this.#batchRecords) {
      const task = work.ready.first;
      if (task === undefined) break;
      work.ready.shift();
      if (task.state !== TaskState.READY) continue;
      task.state = TaskState.RUNNING;
      work.runningCount++;
      if (task.offset > work.startedMax) work.startedMax = task.offset;
      taken.push(task);
    }
    return taken;
  }

  #enqueue(work: PartitionWork<R>): void {
    if (work.isQueued || work.isPaused || work.isDropped || work.ready.length === 0) return;
    work.isQueued = true;
    this.#queue.push(work);
  }

  #forget(task: Task<R>, state: TaskState): void {
    if (task.state === TaskState.DONE || task.state === TaskState.DROPPED) return;
    task.state = state;
    task.record = undefined;
    task.work.bytes -= task.bytes;
    this.#bytes -= task.bytes;
  }
}
