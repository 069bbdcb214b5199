/** The turn counter is taken into the currents here, which costs O(n); a turn times a weight stays exact far beyond. */
const turnsMax = 2 ** 16;
/** What a member may be ahead or behind in a new order, in picks; the order itself keeps within about one. */
const lagMax = 2;

/**
 * Smooth weighted round robin: nginx's order, pick by pick and tie by tie, for any weights. There every pick is
 *
 *   current_i += weight_i for all;  the largest current is taken (of equals the first);  its current -= sum of weights
 *
 * so each member is taken exactly weight_i times in as many picks as the sum, evenly spread: 5, 1, 1 give a a b a c a a.
 * That costs O(n) a pick. Here it costs O(number of different weights): members of one weight gain alike, and their
 * currents never lie further apart than the sum, so whoever was taken is the lowest of his class. The class is a queue,
 * and only the heads of the classes are compared.
 *
 * Members are the numbers from 0 to n - 1.
 */
export class SmoothRoundRobin {
  readonly #weights: readonly number[];
  readonly #total: number;
  /** By member: its current, without what it has gained in `#turns`. */
  readonly #currents: Float64Array;
  #turns = 0;
  /** By class: its weight, its members as a ring, the place of its head in it, the head and the head's current. */
  readonly #classWeights: Float64Array;
  readonly #queues: readonly Int32Array[];
  readonly #places: Int32Array;
  readonly #heads: Int32Array;
  readonly #headCurrents: Float64Array;

  /**
   * Weights are above 0. `lags` are currents as shares of the sum, which is to say in picks, such as `lags()` of an
   * earlier order: who was due stays due, by two picks at most. Left out: all equal.
   */
  constructor(weights: readonly number[], lags?: readonly number[]) {
    let total = 0;
    for (const weight of weights) total += weight;
    this.#weights = weights;
    this.#total = total;
    this.#currents = Float64Array.from(weights, (_, member) => heldLag(lags?.[member] ?? 0) * total);
    const byWeight = new Map<number, number[]>();
    for (let member = 0; member < weights.length; member++) {
      const members = byWeight.get(weights[member]!);
      if (members === undefined) byWeight.set(weights[member]!, [member]);
      else members.push(member);
    }
    this.#classWeights = Float64Array.from(byWeight.keys());
    this.#queues = Array.from(byWeight.values(), (members) => this.#queue(members));
    this.#places = new Int32Array(byWeight.size);
    this.#heads = Int32Array.from(this.#queues, (members) => members[0]!);
    this.#headCurrents = Float64Array.from(this.#heads, (member) => this.#currents[member]!);
  }

  /** How many picks bring the order back to its beginning, when weights are whole and have no common divisor. */
  get total(): number {
    return this.#total;
  }

  /** The next member; -1 when there is none. */
  pick(): number {
    const weights = this.#classWeights;
    const currents = this.#headCurrents;
    const heads = this.#heads;
    if (weights.length === 0) return -1;
    const turns = ++this.#turns;
    let best = 0;
    let bestCurrent = turns * weights[0]! + currents[0]!;
    for (let each = 1; each < weights.length; each++) {
      const current = turns * weights[each]! + currents[each]!;
      if (current < bestCurrent || (current === bestCurrent && heads[each]! > heads[best]!)) continue;
      best = each;
      bestCurrent = current;
    }
    const member = heads[best]!;
    this.#advance(best, member);
    if (turns === turnsMax) this.#rebase();
    return member;
  }

  /** By member: its current as a share of the sum of the weights; what it is ahead of or behind its even share. */
  lags(): number[] {
    return this.#weights.map((weight, member) => (this.#turns * weight + this.#currents[member]!) / this.#total);
  }

  /** The head of a class was taken: it goes to the end of the class. */
  #advance(taken: number, member: number): void {
    const members = this.#queues[taken]!;
    const place = this.#places[taken]! + 1 === members.length ? 0 : this.#places[taken]! + 1;
    this.#currents[member]! -= this.#total;
    this.#places[taken] = place;
    this.#heads[taken] = members[place]!;
    this.#headCurrents[taken] = this.#currents[members[place]!]!;
  }

  /** Sorts by current, and holds what lies further apart than a class may. */
  #queue(members: readonly number[]): Int32Array {
    const currents = this.#currents;
    const sorted = Int32Array.from(members).sort((a, b) => currents[b]! - currents[a]! || a - b);
    const floor = currents[sorted[0]!]! - this.#total;
    for (const member of sorted) currents[member] = Math.max(floor, currents[member]!);
    return sorted;
  }

  #rebase(): void {
    for (let member = 0; member < this.#weights.length; member++) {
      this.#currents[member]! += this.#turns * this.#weights[member]!;
    }
    this.#turns = 0;
    for (let each = 0; each < this.#heads.length; each++) {
      this.#headCurrents[each] = this.#currents[this.#heads[each]!]!;
    }
  }
}

function heldLag(lag: number): number {
  return Math.max(-lagMax, Math.min(lagMax, lag));
}
