import type { Logger } from '../../base/logger.js';
import { placeOf } from '../../base/place.js';
import type { Clock } from '../../runtime/clock.js';

/** A target that takes nothing for so long needs a person. */
export const stuckMs = 30_000;
/** It is told of again after so long. */
const againMs = 3_600_000;

/**
 * Targets that take none of the delayed records that are due. Those wait, however long it takes, in the last level or
 * going round a level (see parked-record.ts); so somebody must be told.
 */
export class StuckTargets {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #targets = new Map<number, { readonly sinceMs: number; tellMs: number }>();

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Targets that have been stuck for half a minute. */
  get count(): number {
    const beforeMs = this.#clock.monotonicMs() - stuckMs;
    let count = 0;
    for (const { sinceMs } of this.#targets.values()) if (sinceMs <= beforeMs) count++;
    return count;
  }

  /** A Fire's batch was not taken. */
  refused(topicId: number, partition: number, why: string): void {
    const nowMs = this.#clock.monotonicMs();
    const key = placeOf(topicId, partition);
    let target = this.#targets.get(key);
    if (target === undefined) this.#targets.set(key, (target = { sinceMs: nowMs, tellMs: nowMs + stuckMs }));
    if (nowMs < target.tellMs) return;
    target.tellMs = nowMs + againMs;
    const remedy =
      'see "taskctl topics describe"; mend the partition, or delete its topic, which sends the records to dlq.delay';
    this.#logger.warn(
      { topicId, partition, why, stuckMs: Math.round(nowMs - target.sinceMs), remedy },
      'delayed records are due and their partition takes none: they wait, and the log of the last level grows',
    );
  }

  /** It has taken one, or is gone. */
  went(topicId: number, partition: number): void {
    if (this.#targets.size > 0) this.#targets.delete(placeOf(topicId, partition));
  }
}
