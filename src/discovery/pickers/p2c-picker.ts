import type { Clock } from '../../runtime/clock.js';
import type { Random } from '../../runtime/random.js';
import { type Candidate, type Picker, type PickOutcome, usable } from '../picker.js';
import { Roster } from './roster.js';

/** How fast a latency is forgotten. */
const decayMs = 10_000;
/** A call that failed counts as if it had taken at least this long, so that failing fast attracts nobody. */
const failureMs = 1_000;
/** Latency of one that was asked but hasn't answered yet: everyone known is better. */
const unknownMs = 60_000;
/** Below this, latencies don't tell candidates apart; the calls in flight do. */
const latencyMsMin = 0.05;
const noAnswerYet = -1;

/**
 * `p2c`: power of two choices (Mitzenmacher, 2001). Draws two candidates at random and takes the one with the lower
 * (calls in flight + 1) × latency ÷ weight. Latency is Finagle's peak EWMA: a worse sample counts at once, a better
 * one as the old one decays; it also decays while nobody asks, so a slow candidate gets another chance. O(1) a pick.
 */
export class P2cPicker implements Picker {
  readonly #random: Random;
  readonly #clock: Clock;
  readonly #roster: Roster = new Roster();
  /** By slot. */
  readonly #active: number[] = [];
  /** Peak EWMA, or `noAnswerYet`. */
  readonly #latencyMs: number[] = [];
  readonly #atMs: number[] = [];
  #given: readonly Candidate[] | undefined;
  #usable: readonly Candidate[] = [];
  /** By place in `#usable`. */
  #slots: Int32Array = new Int32Array(0);

  constructor(random: Random, clock: Clock) {
    this.#random = random;
    this.#clock = clock;
  }

  pick<C extends Candidate>(_key: string | undefined, candidates: readonly C[]): C | undefined {
    if (candidates !== this.#given) this.#take(candidates);
    const count = this.#usable.length;
    if (count === 0) return undefined;
    let picked = 0;
    if (count > 1) {
      picked = this.#random.below(count);
      let other = picked + 1 + this.#random.below(count - 1);
      if (other >= count) other -= count;
      const nowMs = this.#clock.monotonicMs();
      // The first is as random as the second, so a tie is too.
      if (this.#cost(other, nowMs) < this.#cost(picked, nowMs)) picked = other;
    }
    this.#active[this.#slots[picked]!]!++;
    return this.#usable[picked] as C;
  }

  done(id: string, outcome: PickOutcome): void {
    const slot = this.#roster.slotOf(id);
    if (slot === undefined) return;
    if (this.#active[slot]! > 0) this.#active[slot]!--;
    const nowMs = this.#clock.monotonicMs();
    const sample = Math.max(latencyMsMin, outcome.isOk ? outcome.latencyMs : Math.max(outcome.latencyMs, failureMs));
    const latencyMs = this.#latencyMs[slot]!;
    if (sample > latencyMs) {
      this.#latencyMs[slot] = sample;
    } else {
      const kept = Math.exp((this.#atMs[slot]! - nowMs) / decayMs);
      this.#latencyMs[slot] = latencyMs * kept + sample * (1 - kept);
    }
    this.#atMs[slot] = nowMs;
  }

  #cost(place: number, nowMs: number): number {
    const slot = this.#slots[place]!;
    const active = this.#active[slot]!;
    let latencyMs = this.#latencyMs[slot]!;
    if (latencyMs === noAnswerYet) latencyMs = active > 0 ? unknownMs : 0;
    else latencyMs = Math.max(latencyMsMin, latencyMs * Math.exp((this.#atMs[slot]! - nowMs) / decayMs));
    return ((active + 1) * latencyMs) / this.#usable[place]!.weight;
  }

  #take(candidates: readonly Candidate[]): void {
    this.#given = candidates;
    this.#usable = usable(candidates);
    this.#roster.take(candidates, {
      joined: (slot) => {
        this.#active[slot] = 0;
        this.#latencyMs[slot] = noAnswerYet;
        this.#atMs[slot] = 0;
      },
    });
    this.#slots = Int32Array.from(this.#usable, ({ id }) => this.#roster.slotOf(id)!);
  }
}
