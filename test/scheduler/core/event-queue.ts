/** Something that may be down, stopped for a while, or started anew. */
export interface SimProcess {
  isUp: boolean;
  incarnation: number;
  pausedUntilMs: number;
  /** Until when it can't reach the log. */
  cutUntilMs: number;
  boot(): void;
}

interface Event {
  atMs: number;
  sequence: number;
  readonly process: SimProcess | undefined;
  readonly incarnation: number;
  readonly run: () => void;
}

/** Events by time, those of one millisecond in the order in which they were added. */
export class EventQueue {
  nowMs = 0;
  readonly #heap: Event[] = [];
  #sequence = 0;

  /** Runs `run` in `delayMs`; with a process only if that incarnation is alive then, and not before a pause is over. */
  at(delayMs: number, run: () => unknown, process?: SimProcess, incarnation: number = process?.incarnation ?? 0): void {
    this.#push({ atMs: this.nowMs + Math.max(0, delayMs), sequence: this.#sequence++, process, incarnation, run });
  }

  runUntil(endMs: number, isDone: () => boolean): void {
    for (let count = 0; this.#heap.length > 0; count++) {
      const event = this.#pop();
      if (event.atMs > endMs) return;
      this.nowMs = event.atMs;
      const { process } = event;
      if (process !== undefined) {
        if (!process.isUp || process.incarnation !== event.incarnation) continue;
        if (process.pausedUntilMs > this.nowMs) {
          event.atMs = process.pausedUntilMs;
          event.sequence = this.#sequence++;
          this.#push(event);
          continue;
        }
      }
      event.run();
      if ((count & 63) === 0 && isDone()) return;
    }
  }

  #isBefore(a: Event, b: Event): boolean {
    return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): Event {
    const heap = this.#heap;
    const top = heap[0]!;
    const event = heap.pop()!;
    if (heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!this.#isBefore(heap[child]!, event)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = event;
    return top;
  }
}
