/** How far a name server's answer covers the log of one owner. */
export interface OwnerPosition {
  readonly owner: string;
  readonly incarnation: number;
  readonly sequence: number;
}

/** More than there are name servers, with those replaced; so many a name server takes. */
const positionsMax = 256;
/** Of one owner: more than it can begin while somebody is behind. */
const incarnationsMax = 8;

/**
 * What a watch has seen, as a vector over the owners' logs: pure. It is presented to the next name server, so that this
 * one answers when it has seen as much, or says that it is behind.
 */
export class Revision {
  /** Of each owner, by rising incarnation. The owner that moved last stands at the end: the first is the least missed. */
  #positions = new Map<string, readonly OwnerPosition[]>();

  get positions(): OwnerPosition[] {
    return [...this.#positions.values()].flat();
  }

  /**
   * Another answer came: what is further than known counts. A later incarnation of an owner takes the place of the ones
   * before, but from a name server that is behind it stands beside them: of those more was seen than that one knew.
   */
  merge(positions: Iterable<OwnerPosition>, isBehind = false): void {
    for (const position of positions) {
      const { owner, incarnation } = position;
      const known = this.#positions.get(owner) ?? [];
      const last = known.at(-1);
      const isNews = last === undefined || isAfter(position, last);
      const former = isBehind ? known.filter((each) => each.incarnation < incarnation) : [];
      if (isNews) {
        this.#positions.delete(owner);
        this.#positions.set(owner, [...former.slice(1 - incarnationsMax), position]);
      } else if (!isBehind && known.length > 1) {
        this.#positions.set(owner, [last]);
      }
    }
    let size = 0;
    for (const each of this.#positions.values()) size += each.length;
    for (const [owner, each] of this.#positions) {
      if (size <= positionsMax) break;
      this.#positions.delete(owner);
      size -= each.length;
    }
  }

  /** An answer that is complete came: nothing from before it matters. So owners that are no more are forgotten. */
  replace(positions: Iterable<OwnerPosition>): void {
    this.#positions = new Map();
    this.merge(positions);
  }
}

function isAfter(a: OwnerPosition, b: OwnerPosition): boolean {
  return a.incarnation > b.incarnation || (a.incarnation === b.incarnation && a.sequence > b.sequence);
}
