import { assert } from '../../base/errors.js';
import type { Random } from '../../runtime/random.js';
import { type Candidate, type Picker, usable } from '../picker.js';
import { HashRing, keyHash } from './hash-ring.js';
import { Roster } from './roster.js';

/** How far above its even share of the calls in flight a candidate may go. */
const loadFactor = 1.25;
/** Points of a candidate of mean weight: shares differ from the weights by about 1 in √160, 8 %. */
const pointsEach = 160;
/** Points of all together, about. */
const pointsMax = 2 ** 20;

/**
 * `consistent-hash`: equal keys go to the same candidate, in every process with the same list; when one comes or goes,
 * about its share of the keys moves, 1/n, and no other. Loads are bounded (Mirrokni, Thorup, Zadimoghaddam, 2016): one
 * that has its 1.25-fold share of the calls in flight, rounded up, is passed over for the next on the ring. Without a
 * key, the place on the ring is drawn.
 *
 * Weights count as points on the ring, relative to the mean of all that are listed, each at its full weight. So slow
 * start and ejection move no keys but their candidate's; one who joins with another weight than the mean shifts the
 * mean by some share, and about that share of the keys moves besides its own. Needs `done` for every pick.
 *
 * O(points) a new list when somebody came, went or changed, O(1) a pick; a pick that meets full ones takes a step for
 * each of their points: 5 on average at most, by the paper's bound, when points are independent.
 */
export class ConsistentHashPicker implements Picker {
  readonly #random: Random;
  readonly #roster: Roster = new Roster();
  readonly #ring: HashRing = new HashRing();
  /** By slot. */
  readonly #candidates: (Candidate | undefined)[] = [];
  readonly #active: number[] = [];
  /** 0: not on the ring. */
  readonly #weights: number[] = [];
  #weightTotal = 0;
  /** Calls in flight at those on the ring. */
  #activeTotal = 0;
  #given: readonly Candidate[] | undefined;

  constructor(random: Random) {
    this.#random = random;
  }

  pick<C extends Candidate>(key: string | undefined, candidates: readonly C[]): C | undefined {
    if (candidates !== this.#given) this.#take(candidates);
    const ring = this.#ring;
    const size = ring.size;
    if (size === 0) return undefined;
    const calls = this.#activeTotal + 1;
    let place = ring.placeOf(key === undefined ? this.#random.u32() : keyHash(key));
    for (let steps = 0; steps < size; steps++) {
      const slot = ring.ownerAt(place);
      const active = this.#active[slot]!;
      if (active < Math.ceil((loadFactor * calls * this.#weights[slot]!) / this.#weightTotal)) {
        this.#active[slot] = active + 1;
        this.#activeTotal = calls;
        return this.#candidates[slot] as C;
      }
      place = place + 1 === size ? 0 : place + 1;
    }
    assert(false, 'caps add up to more than the calls in flight, so somebody is below his');
  }

  done(id: string): void {
    const slot = this.#roster.slotOf(id);
    if (slot === undefined || this.#active[slot] === 0) return;
    this.#active[slot]!--;
    if (this.#weights[slot]! > 0) this.#activeTotal--;
  }

  #take(candidates: readonly Candidate[]): void {
    this.#given = candidates;
    this.#roster.take(candidates, {
      joined: (slot, { id }) => {
        this.#active[slot] = 0;
        this.#ring.join(slot, id);
      },
      left: (slot) => {
        this.#ring.setPoints(slot, 0);
        this.#candidates[slot] = undefined;
      },
    });
    const ready = usable(candidates);
    const pointsAtMean = Math.min(pointsEach, Math.max(1, Math.floor(pointsMax / Math.max(1, candidates.length))));
    const pointsEachWeight = pointsAtMean / meanWeight(candidates);
    this.#activeTotal = 0;
    this.#weightTotal = 0;
    let next = 0;
    for (const candidate of candidates) {
      const slot = this.#roster.slotOf(candidate.id)!;
      // `ready` has the order of the list.
      const isReady = ready[next] === candidate;
      const weight = isReady ? candidate.weight : 0;
      this.#candidates[slot] = candidate;
      this.#weights[slot] = weight;
      this.#weightTotal += weight;
      this.#ring.setPoints(slot, isReady ? Math.max(1, Math.round(weight * pointsEachWeight)) : 0);
      if (!isReady) continue;
      next++;
      this.#activeTotal += this.#active[slot]!;
    }
    this.#ring.apply();
  }
}

/** Of all who are listed with a weight, whether they may be chosen now or not. */
function meanWeight(candidates: readonly Candidate[]): number {
  let total = 0;
  let count = 0;
  for (const { weight, fullWeight = weight } of candidates) {
    if (!(fullWeight > 0 && fullWeight < Number.POSITIVE_INFINITY)) continue;
    total += fullWeight;
    count++;
  }
  return count === 0 ? 1 : total / count;
}
