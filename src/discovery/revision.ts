/** How far a name server's answer covers the log of one owner. */
export interface OwnerPosition {
  readonly owner: string;
  readonly incarnation: number;
  readonly sequence: number;
}

/** More than there are name servers, with those replaced; so many a name server takes. */
const ownersMax = 256;

/**
 * What a watch has seen, as a vector over the owners' logs: pure. It is presented to the next name server, so that this
 * one answers when it has seen as much, or says that it is behind.
 */
export class Revision {
  #positions = new Map<string, OwnerPosition>();

  get positions(): OwnerPosition[] {
    return [...this.#positions.values()];
  }

  /**
   * Another answer came: what is further than known counts. But a later incarnation of an owner from a name server that
   * is behind says nothing about what was seen of the one before.
   */
  merge(positions: Iterable<OwnerPosition>, isBehind = false): void {
    for (const position of positions) {
      const known = this.#positions.get(position.owner);
      if (known !== undefined && !isAfter(position, known)) continue;
      if (known !== undefined && isBehind && position.incarnation !== known.incarnation) continue;
      // The one that moved last stands at the end, so that the first is the least missed.
      this.#positions.delete(position.owner);
      this.#positions.set(position.owner, position);
    }
    for (const owner of this.#positions.keys()) {
      if (this.#positions.size <= ownersMax) break;
      this.#positions.delete(owner);
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
