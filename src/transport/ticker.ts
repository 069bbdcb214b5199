import type { Clock, Timer } from '../runtime/clock.js';

export interface Ticking {
  tick(nowMs: number, wasPaused: boolean): void;
}

/** Time between ticks: how exact the slow timeouts of connections are. */
const tickMs = 500;
/** A tick that comes so late says that our own process stood still. */
const lateMs = 2_000;

/** One timer for all connections of a process: idle times, hello deadlines and stalls are looked at in one sweep. */
export class Ticker {
  readonly #clock: Clock;
  readonly #members = new Set<Ticking>();
  #timer: Timer | undefined;
  #dueMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(member: Ticking): void {
    this.#members.add(member);
    if (this.#timer === undefined) this.#arm();
  }

  remove(member: Ticking): void {
    this.#members.delete(member);
    if (this.#members.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(): void {
    this.#dueMs = this.#clock.monotonicMs() + tickMs;
    this.#timer = this.#clock.timer(tickMs, this.#tick);
  }

  readonly #tick = (): void => {
    this.#timer = undefined;
    const nowMs = this.#clock.monotonicMs();
    const wasPaused = nowMs - this.#dueMs >= lateMs;
    for (const member of this.#members) member.tick(nowMs, wasPaused);
    if (this.#members.size > 0 && this.#timer === undefined) this.#arm();
  };
}
