import { taskd } from '../../wire/generated/messages.js';
import { ByteInterner } from './byte-interner.js';
import { RunList } from './run-list.js';
import type { RunTable } from './run-table.js';
import type { SessionHeap } from './session-heap.js';

const { RunState } = taskd;
export const priorityMax = 9;
/** Runs are counted by state; the highest number of a state. */
const statesMax = RunState.REFUSED;

/** One app: its counters, its dead letters, and the lanes that have something to run. */
export class App {
  readonly id: number;
  /** Live and dead runs by state. */
  readonly counts: Float64Array = new Float64Array(statesMax + 1);
  readonly dead: RunList = new RunList();
  /** Lanes with ready runs. */
  readonly busy: Lane[] = [];
  /** Of these, the ones that may still find a session with credit in this call of `decide`. */
  open: Lane[] = [];
  submittedTotal = 0;
  succeededTotal = 0;
  failedAttemptsTotal = 0;
  lostTotal = 0;
  cancelledTotal = 0;
  replayedTotal = 0;
  /** Leases tried; one in 16 takes the oldest run whatever its priority. */
  picks = 0;
  /** Virtual time of least-dispatched picking: the key of the session picked last. */
  pickedKey = 0;

  constructor(id: number) {
    this.id = id;
  }
}

/**
 * The ready runs of one app for one processor: a FIFO for each priority. What no worker can take now waits in its own
 * lane and never stands in the way of others.
 */
export class Lane {
  readonly index: number;
  readonly app: App;
  readonly processor: string;
  readonly #queues: RunList[] = Array.from({ length: priorityMax + 1 }, () => new RunList());
  /** A bit for each priority that has runs. */
  #mask = 0;
  #size = 0;
  /** Place in `app.busy`, or -1. */
  #place = -1;
  /** Sessions that may take its runs; the owner's. */
  sessions: SessionHeap | undefined;

  constructor(index: number, app: App, processor: string) {
    this.index = index;
    this.app = app;
    this.processor = processor;
  }

  get size(): number {
    return this.#size;
  }

  /** The highest priority that has a run, or -1. */
  get topPriority(): number {
    return 31 - Math.clz32(this.#mask);
  }

  push(runs: RunTable, slot: number): void {
    const priority = runs.priority.get(slot);
    this.#queues[priority]!.push(runs, slot);
    this.#mask |= 1 << priority;
    if (this.#size++ === 0) {
      this.#place = this.app.busy.length;
      this.app.busy.push(this);
    }
  }

  remove(runs: RunTable, slot: number): void {
    const priority = runs.priority.get(slot);
    const queue = this.#queues[priority]!;
    queue.remove(runs, slot);
    if (queue.size === 0) this.#mask &= ~(1 << priority);
    if (--this.#size === 0) {
      const { busy } = this.app;
      const last = busy.pop()!;
      if (last !== this) {
        busy[this.#place] = last;
        last.#place = this.#place;
      }
      this.#place = -1;
    }
  }

  /** The run that has the highest priority and came first among those. */
  first(): number {
    return this.#mask === 0 ? 0 : this.#queues[this.topPriority]!.head;
  }

  /** The run with the lowest id among the heads of all priorities. */
  oldest(runs: RunTable): number {
    let best = 0;
    for (let mask = this.#mask; mask !== 0; mask &= mask - 1) {
      const { head } = this.#queues[31 - Math.clz32(mask & -mask)]!;
      if (best === 0 || runs.id.get(head) < runs.id.get(best)) best = head;
    }
    return best;
  }
}

const fromUtf8 = new TextDecoder();
const toUtf8 = new TextEncoder();

/** All lanes and apps; lanes live as long as a run, a job or a session refers to them. */
export class Lanes {
  readonly apps: Map<number, App> = new Map<number, App>();
  readonly #lanes: ByteInterner<Lane> = new ByteInterner(
    (processor, appId, index) => new Lane(index, this.app(appId), fromUtf8.decode(processor)),
  );

  app(appId: number): App {
    let app = this.apps.get(appId);
    if (app === undefined) this.apps.set(appId, (app = new App(appId)));
    return app;
  }

  at(index: number): Lane {
    return this.#lanes.at(index);
  }

  /** Takes a reference: `release` it. */
  intern(appId: number, bytes: Uint8Array, start: number, end: number): number {
    return this.#lanes.intern(bytes, start, end, appId);
  }

  /** Takes a reference: `release` it. */
  internName(appId: number, processor: string): number {
    const bytes = toUtf8.encode(processor);
    return this.#lanes.intern(bytes, 0, bytes.length, appId);
  }

  retain(index: number): void {
    this.#lanes.retain(index);
  }

  release(index: number): void {
    this.#lanes.release(index);
  }
}
