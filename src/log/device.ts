import { TurnQueue } from '../base/turn-queue.js';

/**
 * Syncs that run at once, over all logs of a store. Each takes a thread of the pool: of the 32 that `bin/taskd.cjs` asks
 * for, some stay free for reads; many more at once would only wait for the same disk.
 */
export const syncsMax = 24;

/** The disk as all logs of a store share it: see `TurnQueue`. */
export class Device {
  readonly #queue = new TurnQueue<() => void>(syncsMax);

  get syncsRunning(): number {
    return this.#queue.running;
  }

  get syncsWaiting(): number {
    return this.#queue.waiting;
  }

  /** Runs `work`, which writes or syncs a file, when its turn has come. A log asks for one turn at a time. */
  async sync(isUrgent: boolean, work: () => Promise<void>): Promise<void> {
    let begin = (): void => {};
    const turn = new Promise<void>((resolve) => {
      begin = resolve;
    });
    if (!this.#queue.ask(begin, isUrgent)) await turn;
    try {
      await work();
    } finally {
      this.#queue.done()?.();
    }
  }
}
