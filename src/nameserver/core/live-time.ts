/** How often `tick` must be called. */
export const tickMs = 500;
/** An input that is late by no more than this is on time. */
const slackMs = 500;

/**
 * Time as this process lived it. `tick` comes every `tickMs`; time in which no input came for longer than that is time
 * in which this process stood still, not its clients and peers, and doesn't count. All deadlines are kept in live time,
 * so a stretch that was skipped extends every one of them.
 */
export class LiveTime {
  #inputMs: number;
  #skippedMs = 0;
  #skippedBeforeMs = 0;
  #resumedMs = Number.NEGATIVE_INFINITY;

  constructor(nowMs: number) {
    this.#inputMs = nowMs;
  }

  /** Notes the time of an input (monotonic ms); how much of what passed since the last one is skipped. */
  observe(nowMs: number): number {
    const lateMs = nowMs - this.#inputMs - tickMs;
    if (nowMs > this.#inputMs) this.#inputMs = nowMs;
    if (lateMs <= slackMs) return 0;
    this.#skippedBeforeMs = this.#skippedMs;
    this.#skippedMs += lateMs;
    this.#resumedMs = this.nowMs;
    return lateMs;
  }

  /** Live time of the last input. */
  get nowMs(): number {
    return this.#inputMs - this.#skippedMs;
  }

  /** Real time of the last input. */
  get realMs(): number {
    return this.#inputMs;
  }

  /** Real time that was skipped in all. */
  get skippedMs(): number {
    return this.#skippedMs;
  }

  /** The same before the last stretch. */
  get skippedBeforeMs(): number {
    return this.#skippedBeforeMs;
  }

  /** Live time at the end of the last stretch that was skipped. */
  get resumedMs(): number {
    return this.#resumedMs;
  }
}
