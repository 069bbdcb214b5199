import { assert } from '../base/errors.js';
import { CronFields } from './cron-fields.js';
import { offsetSecMax, ZoneOffsets } from './zone-offsets.js';

/** When a cron expression fires in a zone. Stateless: the same question always has the same answer. */
export interface CronPlan {
  /** The first fire strictly after `afterMs` (wall clock, milliseconds since the epoch); always a whole second. */
  next(afterMs: number): number | undefined;
}

/** Plans kept, so that equal (expression, zone) pairs share one. The oldest makes room. */
const plansMax = 10_000;
/** Nothing fires after the year 9999. */
const lastSec = 253_402_300_799;

const plans = new Map<string, CronPlan>();

/**
 * The plan of a cron expression (5 or 6 fields, or a macro such as `@daily`) in a zone of the IANA database (empty:
 * UTC). INVALID, naming the field and the remedy, when either is wrong or the expression can never fire.
 *
 * Where a zone's offset changes:
 * - when second, minute and hour are numbers or lists of numbers, the expression names times of day, and each is
 *   served once: one that the gap skips fires at the first instant after the gap (together with the others that it
 *   skips), one that the overlap repeats fires at the first copy;
 * - any other expression (`*`, a range or a step in one of the three) fires at every instant whose wall time matches,
 *   so `0/15 * * * *` goes on through both copies and just isn't there in the gap.
 */
export function planCron(expression: string, zone: string): CronPlan {
  const key = `${zone}\n${expression}`;
  const known = plans.get(key);
  if (known !== undefined) return known;
  const offsets = ZoneOffsets.of(zone === '' ? 'UTC' : zone);
  const fields = new CronFields(expression);
  const plan = fields.isFixedTime ? new TimesOfDayPlan(fields, offsets) : new EveryMatchPlan(fields, offsets);
  if (plans.size >= plansMax) plans.delete(plans.keys().next().value!);
  plans.set(key, plan);
  return plan;
}

function toSec(afterMs: number): number {
  assert(Number.isFinite(afterMs), `a time is a number of milliseconds, not ${afterMs}`);
  return Math.floor(afterMs / 1_000);
}

class EveryMatchPlan implements CronPlan {
  readonly #fields: CronFields;
  readonly #zone: ZoneOffsets;

  constructor(fields: CronFields, zone: ZoneOffsets) {
    this.#fields = fields;
    this.#zone = zone;
  }

  next(afterMs: number): number | undefined {
    let after = toSec(afterMs);
    let before = Number.NaN;
    while (after < lastSec) {
      const segment = this.#zone.segmentAt(after + 1);
      const wall = this.#fields.next(after + segment.offsetSec);
      if (wall === undefined) return undefined;
      const sec = wall - segment.offsetSec;
      if (sec < segment.endSec) return sec > lastSec ? undefined : sec * 1_000;
      // Not in this segment. The next one may repeat wall times that matched; once it has been seen not to, nothing
      // matches before `wall`, and the segments on the way there can be left out.
      after = segment.endSec - 1;
      if (wall === before) after = Math.max(after, wall - offsetSecMax);
      before = wall;
    }
    return undefined;
  }
}

class TimesOfDayPlan implements CronPlan {
  readonly #fields: CronFields;
  readonly #zone: ZoneOffsets;

  constructor(fields: CronFields, zone: ZoneOffsets) {
    this.#fields = fields;
    this.#zone = zone;
  }

  next(afterMs: number): number | undefined {
    const after = toSec(afterMs);
    if (after >= lastSec) return undefined;
    // Instants rise with wall times, and no wall time up to this one has its instant after `after`.
    let wall = this.#fields.next(after + this.#zone.segmentAt(after).offsetSec);
    while (wall !== undefined) {
      const sec = this.#instantOf(wall);
      if (sec > lastSec) return undefined;
      if (sec > after) return sec * 1_000;
      // In the second copy of an overlap: served already.
      wall = this.#fields.next(wall);
    }
    return undefined;
  }

  /** The first instant with this wall time, or the end of the gap that skips it. */
  #instantOf(wall: number): number {
    let segment = this.#zone.segmentAt(wall - offsetSecMax);
    for (;;) {
      const sec = wall - segment.offsetSec;
      if (sec < segment.startSec) return segment.startSec;
      if (sec < segment.endSec) return sec;
      segment = this.#zone.segmentAt(segment.endSec);
    }
  }
}
