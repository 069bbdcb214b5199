import type { SimProcess } from '../../src/runtime/sim/sim-process.js';
import type { SimWorld } from '../../src/runtime/sim/sim-world.js';

/** Whoever stood still or lost its connection within this time is not judged. */
const calmMs = 1_000;
/** Whoever had no trouble for so long must not be put out: much longer than a session. */
const innocentMs = 15_000;
/** A process whose instance id another one may have taken learns it within this. */
const overlapMs = 1_000;

/** One life of one member's process, as it sees itself. */
export interface Holder {
  readonly memberId: string;
  readonly instanceId: string;
  readonly process: SimProcess;
  readonly life: number;
  readonly held: ReadonlyMap<number, unknown>;
  isStreamOpen: boolean;
}

/** Sees all members at once, and what they were promised. */
export class GroupLedger {
  grants = 0;
  commits = 0;
  outs = 0;
  readonly #world: SimWorld;
  readonly #holders = new Set<Holder>();
  /** By process: until when it is, or was, in trouble that puts members out. */
  readonly #troubledUntilMs = new Map<string, number>();
  /** By place: what somebody was told is committed, and what anybody may have committed. */
  readonly #acknowledged = new Map<number, number>();
  readonly #attempted = new Map<number, number>();

  constructor(world: SimWorld) {
    this.#world = world;
  }

  begins(holder: Holder): void {
    for (const other of this.#holders) if (!isAlive(other)) this.#holders.delete(other);
    this.#holders.add(holder);
  }

  ends(holder: Holder): void {
    this.#holders.delete(holder);
  }

  trouble(processName: string, forMs: number): void {
    const untilMs = this.#world.nowMs + forMs;
    this.#troubledUntilMs.set(processName, Math.max(untilMs, this.#troubledUntilMs.get(processName) ?? 0));
  }

  /** It may consume the place from now on. */
  granted(holder: Holder, place: number): void {
    this.grants++;
    // What comes to a process that stood still may be long past.
    if (this.#quietMs(holder) <= calmMs) return;
    for (const other of this.#holders) {
      if (other === holder || !other.held.has(place) || !this.#isCalm(other)) continue;
      const what = `${holder.memberId} was given ${place}, which ${other.memberId} consumes`;
      if (other.instanceId === '') this.#fail(what);
      else {
        this.#world.after(overlapMs, () => {
          const isBoth = other.held.has(place) && holder.held.has(place);
          if (isBoth && this.#isCalm(other) && this.#isCalm(holder)) this.#fail(`${what}, and goes on`);
        });
      }
    }
  }

  /** The coordinator says that it is no member. */
  isOut(holder: Holder): void {
    this.outs++;
    if (this.#quietMs(holder) > innocentMs) this.#fail(`${holder.memberId} was put out for nothing`);
  }

  attempt(place: number, offset: number): void {
    this.#attempted.set(place, Math.max(offset, this.#attempted.get(place) ?? 0));
  }

  committed(place: number, offset: number): void {
    this.commits++;
    this.#acknowledged.set(place, Math.max(offset, this.acknowledged(place)));
  }

  acknowledged(place: number): number {
    return this.#acknowledged.get(place) ?? 0;
  }

  /** What the coordinator said is committed, to someone who asked when `least` was promised already. */
  fetched(place: number, offset: number, least: number): void {
    if (offset < least) this.#fail(`offset ${least} of ${place} was promised, and ${offset} came back`);
    if (offset > (this.#attempted.get(place) ?? 0)) this.#fail(`nobody ever committed ${offset} of ${place}`);
  }

  /** At rest: who consumes each place; undefined when it isn't exactly one. */
  sharesAtRest(places: number): number[] | undefined {
    const shares: number[] = [];
    const owners = new Map<number, Holder>();
    for (const holder of this.#holders) {
      if (!isAlive(holder) || !holder.isStreamOpen) continue;
      shares.push(holder.held.size);
      for (const place of holder.held.keys()) {
        if (owners.has(place)) return undefined;
        owners.set(place, holder);
      }
    }
    return owners.size === places ? shares : undefined;
  }

  #isCalm(holder: Holder): boolean {
    return isAlive(holder) && holder.isStreamOpen && this.#quietMs(holder) > calmMs;
  }

  #quietMs({ process }: Holder): number {
    return this.#world.nowMs - (this.#troubledUntilMs.get(process.name) ?? Number.NEGATIVE_INFINITY);
  }

  #fail(what: string): void {
    this.#world.fail(new Error(what));
  }
}

function isAlive({ process, life }: Holder): boolean {
  return process.isAlive && process.lives === life;
}
