import type { Clock } from '../runtime/clock.js';
import type { Random } from '../runtime/random.js';
import { type Candidate, type Picker, type PickOutcome, usable } from './picker.js';

/** How fast a latency is forgotten. */
const decayMs = 10_000;
/** A call that failed counts as if it had taken at least this long, so that failing fast attracts nobody. */
const failureMs = 1_000;
/** Latency of one that was asked but hasn't answered yet: everyone known is better. */
const unknownMs = 60_000;
/** Below this, latencies don't tell candidates apart; the calls in flight do. */
const latencyMsMin = 0.05;

interface Load {
  active: number;
  /** Peak EWMA; undefined before the first answer. */
  latencyMs: number | undefined;
  atMs: number;
}

/**
 * Power of two choices (Mitzenmacher, 2001): draws two candidates at random and takes the one with the lower
 * (calls in flight + 1) × latency ÷ weight. Latency is Finagle's peak EWMA: a worse sample counts at once, a better
 * one as the old one decays; it also decays while nobody asks, so a slow candidate gets another chance.
 */
export class P2cPicker implements Picker {
  readonly #random: Random;
  readonly #clock: Clock;
  readonly #loads = new Map<string, Load>();
  #given: readonly Candidate[] | undefined;
  #usable: readonly Candidate[] = [];

  constructor(random: Random, clock: Clock) {
    this.#random = random;
    this.#clock = clock;
  }

  pick<C extends Candidate>(_key: string | undefined, candidates: readonly C[]): C | undefined {
    if (candidates !== this.#given) this.#take(candidates);
    const from = this.#usable as readonly C[];
    if (from.length === 0) return undefined;
    let picked = from[0]!;
    if (from.length > 1) {
      const first = this.#random.below(from.length);
      const second = (first + 1 + this.#random.below(from.length - 1)) % from.length;
      const nowMs = this.#clock.monotonicMs();
      picked = from[first]!;
      const other = from[second]!;
      // `first` is as random as `second`, so a tie is too.
      if (this.#cost(other, nowMs) < this.#cost(picked, nowMs)) picked = other;
    }
    this.#load(picked.id).active++;
    return picked;
  }

  done(id: string, outcome: PickOutcome): void {
    const load = this.#loads.get(id);
    if (load === undefined) return;
    if (load.active > 0) load.active--;
    const nowMs = this.#clock.monotonicMs();
    const sample = Math.max(latencyMsMin, outcome.isOk ? outcome.latencyMs : Math.max(outcome.latencyMs, failureMs));
    if (load.latencyMs === undefined || sample > load.latencyMs) {
      load.latencyMs = sample;
    } else {
      const kept = Math.exp(-(nowMs - load.atMs) / decayMs);
      load.latencyMs = load.latencyMs * kept + sample * (1 - kept);
    }
    load.atMs = nowMs;
  }

  #cost(candidate: Candidate, nowMs: number): number {
    const load = this.#loads.get(candidate.id);
    if (load === undefined) return 0;
    let latencyMs = load.active > 0 ? unknownMs : 0;
    if (load.latencyMs !== undefined) {
      latencyMs = Math.max(latencyMsMin, load.latencyMs * Math.exp(-(nowMs - load.atMs) / decayMs));
    }
    return ((load.active + 1) * latencyMs) / candidate.weight;
  }

  #load(id: string): Load {
    let load = this.#loads.get(id);
    if (load === undefined) {
      load = { active: 0, latencyMs: undefined, atMs: 0 };
      this.#loads.set(id, load);
    }
    return load;
  }

  /** Notes another list; forgets who is gone from it. */
  #take(candidates: readonly Candidate[]): void {
    this.#given = candidates;
    this.#usable = usable(candidates);
    if (this.#loads.size <= candidates.length) return;
    const present = new Set(candidates.map(({ id }) => id));
    for (const id of this.#loads.keys()) if (!present.has(id)) this.#loads.delete(id);
  }
}
