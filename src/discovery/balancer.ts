import type { Clock } from '../runtime/clock.js';
import { type OutlierOptions, Outliers, outlierDefaults } from './outliers.js';
import { type Candidate, isOpen, type Picker, type PickOutcome } from './picker.js';
import { type SlowStartOptions, slowStartDefaults, slowStartShare } from './slow-start.js';

export interface BalancerOptions {
  readonly slowStart?: Partial<SlowStartOptions>;
  readonly outliers?: Partial<OutlierOptions>;
  /** When a smaller share of the candidates than this is healthy, all are used. Default 0.5; 0: never. */
  readonly panicBelow?: number;
}

const panicBelowDefault = 0.5;
/** Weights rise in so many steps over a window, so that a picker sees few lists and few different weights. */
const slowStartSteps = 32;

/** What the balancer remembers of a candidate while it is listed. */
interface Seat {
  incarnation: number | undefined;
  /** When it appeared. */
  sinceMs: number;
  /** In which of the lists it was seen last. */
  turn: number;
}

const origin: unique symbol = Symbol('origin');

/** A candidate as the picker sees it: all that it was, at the weight and standing of now. */
interface Standing extends Candidate {
  readonly [origin]: Candidate;
}

/**
 * A picker with judgement in front: it chooses among those that are healthy now, at the weights that they bear now.
 *
 * - *disabled* ones (draining, taken out by a person, without weight) are never chosen.
 * - *ejected*: 5 failed calls in a row, see `Outliers`; *suspect*: as the registry says. Neither is chosen while more
 *   than enough others are healthy. Healthy is who is neither.
 * - *panic*: when fewer than half of those not disabled are healthy, all of those are used alike. Few that stay would
 *   only break under the load of all, and so many failures at once mostly say something about whoever sees them.
 * - *slow start*: who appears, or starts anew, begins with a tenth of its weight and has all of it after 30 s. Those of
 *   the first list have it at once: when all are new, there is nobody to bear the load meanwhile.
 *
 * The picker gets the whole list, those not to be chosen marked as disabled, so that what it remembers of them stays.
 * It gets a new one when the list, somebody's standing or a step of a weight has changed: O(n), and its own cost. Every
 * other pick adds a look at the clock.
 */
export class Balancer implements Picker {
  readonly #picker: Picker;
  readonly #clock: Clock;
  readonly #slowStart: SlowStartOptions;
  readonly #outliers: Outliers;
  readonly #panicBelow: number;
  readonly #seats = new Map<string, Seat>();
  #turn = 0;
  #given: readonly Candidate[] | undefined;
  #standings: readonly Standing[] = [];
  /** Candidates that are not disabled. */
  #openCount = 0;
  #isPanicking = false;
  /** When somebody's standing changes by time; in the past when it has changed already. */
  #dueMs = Number.POSITIVE_INFINITY;

  constructor(picker: Picker, clock: Clock, options: BalancerOptions = {}) {
    this.#picker = picker;
    this.#clock = clock;
    this.#slowStart = { ...slowStartDefaults, ...options.slowStart };
    this.#outliers = new Outliers({ ...outlierDefaults, ...options.outliers });
    this.#panicBelow = options.panicBelow ?? panicBelowDefault;
  }

  /** True when, at the last pick, too few were healthy, so that all were used. */
  get isPanicking(): boolean {
    return this.#isPanicking;
  }

  /** How many are out for failing, at the last pick. */
  get ejectedCount(): number {
    return this.#outliers.outCount;
  }

  pick<C extends Candidate>(key: string | undefined, candidates: readonly C[]): C | undefined {
    this.#look(candidates);
    return this.#picker.pick(key, this.#standings)?.[origin] as C | undefined;
  }

  /** All whom the picker chooses; from one that chooses a single candidate, at most that. */
  pickAll<C extends Candidate>(key: string | undefined, candidates: readonly C[]): readonly C[] {
    this.#look(candidates);
    if (this.#picker.pickAll !== undefined) {
      return this.#picker.pickAll(key, this.#standings).map((standing) => standing[origin] as C);
    }
    const picked = this.#picker.pick(key, this.#standings);
    return picked === undefined ? [] : [picked[origin] as C];
  }

  /**
   * All who may be asked, for questions that one after another is asked until somebody answers: the picked one first,
   * then the healthy, then the others; in the order of the list. Disabled ones are not among them.
   */
  order<C extends Candidate>(key: string | undefined, candidates: readonly C[]): C[] {
    const first = this.pick(key, candidates);
    if (first === undefined) return [];
    const rest = candidates.filter((candidate) => candidate !== first && isOpen(candidate));
    const isLast = ({ id, isSuspect }: Candidate): boolean => isSuspect || this.#outliers.isOut(id);
    return [first, ...rest.filter((each) => !isLast(each)), ...rest.filter(isLast)];
  }

  done(id: string, outcome: PickOutcome): void {
    this.#picker.done?.(id, outcome);
    const nowMs = this.#clock.monotonicMs();
    this.#outliers.advance(nowMs);
    if (this.#outliers.record(id, outcome.isOk, nowMs, this.#openCount)) this.#dueMs = nowMs;
  }

  #look(candidates: readonly Candidate[]): void {
    const nowMs = this.#clock.monotonicMs();
    if (candidates === this.#given && nowMs < this.#dueMs) return;
    if (candidates !== this.#given) this.#seat(candidates, nowMs);
    this.#judge(candidates, nowMs);
  }

  /** Notes who came, who started anew, and forgets who left. */
  #seat(candidates: readonly Candidate[], nowMs: number): void {
    const sinceMs = this.#turn === 0 ? Number.NEGATIVE_INFINITY : nowMs;
    if (candidates.length > 0) this.#turn++;
    this.#given = candidates;
    for (const { id, incarnation } of candidates) {
      const seat = this.#seats.get(id);
      if (seat !== undefined && seat.incarnation === incarnation) {
        seat.turn = this.#turn;
        continue;
      }
      this.#seats.set(id, { incarnation, sinceMs, turn: this.#turn });
      this.#outliers.join(id);
    }
    if (this.#seats.size === candidates.length) return;
    for (const [id, seat] of this.#seats) {
      if (candidates.length > 0 && seat.turn === this.#turn) continue;
      this.#seats.delete(id);
      this.#outliers.leave(id);
    }
  }

  /** Makes the list that the picker sees from now on until `#dueMs`. */
  #judge(candidates: readonly Candidate[], nowMs: number): void {
    const outliers = this.#outliers;
    outliers.advance(nowMs);
    let open = 0;
    let healthy = 0;
    let suspects = 0;
    for (const candidate of candidates) {
      if (!isOpen(candidate)) continue;
      open++;
      if (outliers.isOut(candidate.id)) continue;
      if (candidate.isSuspect) suspects++;
      else healthy++;
    }
    this.#openCount = open;
    // Those who fail are still better than nobody.
    this.#isPanicking = open > 0 && (healthy < open * this.#panicBelow || healthy + suspects === 0);
    const { windowMs } = this.#slowStart;
    let dueMs = outliers.nextBackMs;
    this.#standings = candidates.map((candidate) => {
      const ageMs = nowMs - this.#seats.get(candidate.id)!.sinceMs;
      if (ageMs < windowMs) dueMs = Math.min(dueMs, nowMs + windowMs / slowStartSteps, nowMs + windowMs - ageMs);
      const isShunned = outliers.isOut(candidate.id) && !this.#isPanicking;
      return {
        ...candidate,
        weight: candidate.weight * this.#share(ageMs),
        fullWeight: candidate.weight,
        isSuspect: candidate.isSuspect && !this.#isPanicking,
        isDisabled: isShunned || !isOpen(candidate),
        [origin]: candidate,
      };
    });
    this.#dueMs = dueMs;
  }

  /** The share of its weight at an age, in whole steps. */
  #share(ageMs: number): number {
    const share = slowStartShare(ageMs, this.#slowStart);
    return share === 1 ? 1 : Math.max(this.#slowStart.floor, Math.round(share * slowStartSteps) / slowStartSteps);
  }
}
