/** What a record asks of its handler. */
export interface Piece {
  readonly id: string;
  readonly key: string;
  /** Tries that fail before one goes well; above the ladder's length, none does. */
  readonly failures: number;
}

export interface Place {
  readonly partition: number;
  readonly offset: number;
}

/** One call of a handler. */
export interface Started extends Place {
  readonly piece: Piece;
  readonly attempt: number;
  /** The member's process in this life. */
  readonly member: string;
  /** True while that life goes on, and nobody has told the handler to stop. */
  isGoodFor(): boolean;
}

/**
 * What holds for the consumers of a group, whatever happens to them:
 * - a record that was acknowledged is handled to its end, or is a dead letter, at least once;
 * - nothing counts as committed that was not handled, or stored for another try;
 * - records of one key are begun in their order, and one at a time within a member;
 * - nobody begins a record of a partition that another has begun on since it was given it;
 * - while nobody is cut off or stands still, no partition is handled by two members at once.
 */
export class ConsumeChecks {
  /** Nobody is cut off or stands still in this world. */
  isCalm = false;
  readonly #fail: (error: Error) => void;
  readonly #tries: number;
  readonly #sent = new Map<string, Piece & Place>();
  readonly #done = new Set<string>();
  readonly #finished = new Set<string>();
  readonly #begun = new Set<string>();
  /** The highest offset of a key that was begun, by partition and key. */
  readonly #latest = new Map<string, number>();
  readonly #running = new Set<Started>();
  /** Counts what happens, to tell before from after. */
  #moment = 0;
  /** By partition and member. */
  readonly #given = new Map<string, number>();
  /** Who has begun on a record of a partition, and when last. */
  readonly #beginners = new Map<number, Map<string, number>>();
  handled = 0;

  /** `tries`: how often a record is tried before it is a dead letter. */
  constructor(tries: number, fail: (error: Error) => void) {
    this.#tries = tries;
    this.#fail = fail;
  }

  get sentCount(): number {
    return this.#sent.size;
  }

  acknowledged(piece: Piece, place: Place): void {
    this.#sent.set(piece.id, { ...piece, ...place });
  }

  /** Those that were acknowledged and have not come to a good end yet, but may. */
  pending(): string[] {
    const open = [...this.#sent.values()].filter((each) => each.failures < this.#tries && !this.#done.has(each.id));
    return open.map(({ id, partition, offset }) => `${id} (${partition}:${offset})`);
  }

  /** The member was told that it has the partition. */
  given(partition: number, member: string): void {
    this.#given.set(`${partition}/${member}`, ++this.#moment);
  }

  started(call: Started): void {
    const { piece, partition, offset, attempt, member } = call;
    const what = `${piece.id} (${partition}:${offset}, try ${attempt})`;
    if (attempt > this.#tries) this.#fail(new Error(`${what}: there are only ${this.#tries} tries`));
    for (const other of this.#running) {
      if (!other.isGoodFor()) {
        this.#running.delete(other);
        continue;
      }
      // Tries after the first come from a retry topic, whose partitions have members of their own.
      if (other.partition !== partition || attempt > 1 || other.attempt > 1) continue;
      const whom = `${other.piece.id} (${other.partition}:${other.offset})`;
      if (other.member !== member) {
        if (this.isCalm) this.#fail(new Error(`${member} begins ${what} while ${other.member} handles ${whom}`));
      } else if (other.piece.key === piece.key) this.#fail(new Error(`${what} begins while ${whom} has its key`));
    }
    this.#running.add(call);
    this.handled++;
    if (attempt > 1) return;
    this.#checkOwner(call, what);
    const place = `${partition}:${offset}`;
    if (this.#begun.has(place)) return;
    this.#begun.add(place);
    const line = `${partition}/${piece.key}`;
    const latest = this.#latest.get(line) ?? -1;
    if (offset < latest) this.#fail(new Error(`${what} is begun for the first time after ${latest} of its key`));
    this.#latest.set(line, offset);
  }

  /** A partition goes to the next one only when its owner begins nothing more, whether that one knows it or not. */
  #checkOwner({ partition, member }: Started, what: string): void {
    const beginners = this.#beginners.get(partition) ?? new Map<string, number>();
    this.#beginners.set(partition, beginners);
    const given = this.#given.get(`${partition}/${member}`) ?? 0;
    for (const [other, moment] of beginners) {
      if (other === member || moment < given) continue;
      this.#fail(new Error(`${member} begins ${what}, and ${other} has begun on the partition since it was given it`));
    }
    beginners.set(member, ++this.#moment);
  }

  /** `stopped`: it was told to stop and did. */
  ended(call: Started, how: 'done' | 'failed' | 'stopped'): void {
    this.#running.delete(call);
    if (how === 'done') this.#done.add(call.piece.id);
    if (how !== 'stopped' && call.attempt === 1) this.#finished.add(`${call.partition}:${call.offset}`);
  }

  /** The group goes on at `offset` in this partition. */
  committed(partition: number, offset: number): void {
    for (const each of this.#sent.values()) {
      if (each.partition !== partition || each.offset >= offset) continue;
      if (this.#finished.has(`${partition}:${each.offset}`)) continue;
      this.#fail(new Error(`${partition} is committed up to ${offset}, and ${each.id} at ${each.offset} not handled`));
    }
  }

  /** Those that must be dead letters in the end, and are not among these. */
  notDead(ids: ReadonlySet<string>): string[] {
    const hopeless = [...this.#sent.values()].filter(({ failures }) => failures >= this.#tries);
    return hopeless.map(({ id }) => id).filter((id) => !ids.has(id));
  }
}
