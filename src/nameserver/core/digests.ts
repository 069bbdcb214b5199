import { nameLengthMax } from '../../base/limits.js';
import type { Random } from '../../runtime/random.js';
import type { taskd } from '../../wire/generated/messages.js';
import { hearsayMax } from './incarnation.js';
import type { LiveTime } from './live-time.js';
import type { LogTable } from './log-table.js';
import { goneMs, type Owner, type Owners } from './owners.js';
import { wireMs } from './peer-codec.js';
import type { Readiness } from './readiness.js';
import type { OwnerPosition } from './view-state.js';

const beatMs = 1_000;
const digestMs = 2_000;
const digestJitterMs = 200;

/** What this node is behind in, by a digest: ask its sender. */
export interface Behind {
  readonly owner: Owner;
  readonly isWhole: boolean;
}

/**
 * Beats and digests: who is alive, by the ages that everyone tells, and who has what of which log. A digest is caught
 * up with when the log has got as far; that it was made after a certain time is known by the stamp of ours that it
 * echoes, whatever the network did with it.
 */
export class Digests {
  readonly #time: LiveTime;
  readonly #logs: LogTable;
  readonly #owners: Owners;
  readonly #readiness: Readiness;
  readonly #random: Random;
  readonly #boot: number;
  #nextBeatMs: number;
  #nextDigestMs: number;

  constructor(time: LiveTime, logs: LogTable, owners: Owners, readiness: Readiness, random: Random, boot: number) {
    this.#time = time;
    this.#logs = logs;
    this.#owners = owners;
    this.#readiness = readiness;
    this.#random = random;
    this.#boot = boot;
    this.#nextBeatMs = time.nowMs;
    this.#nextDigestMs = time.nowMs + random.below(digestMs);
  }

  takeBeatDue(): boolean {
    if (this.#time.nowMs < this.#nextBeatMs) return false;
    this.#nextBeatMs = this.#time.nowMs + beatMs;
    return true;
  }

  takeDigestDue(): boolean {
    if (this.#time.nowMs < this.#nextDigestMs) return false;
    this.#nextDigestMs = this.#time.nowMs + digestMs - digestJitterMs + this.#random.below(2 * digestJitterMs);
    return true;
  }

  /** What was pulled is news for whoever is cut from where it came from, too: the next tick sends a digest. */
  tellSoon(): void {
    this.#nextDigestMs = Math.min(this.#nextDigestMs, this.#time.nowMs);
  }

  beat(asksDigest: boolean): taskd.PeerBeat.$Properties {
    const ages: taskd.OwnerAge.$Properties[] = [{ owner: this.#logs.own.owner, ageMs: 0 }];
    for (const owner of this.#owners.all()) ages.push({ owner: owner.id, ageMs: wireMs(this.#owners.ageMs(owner)) });
    return { ages, stamp: this.#stamp, asksDigest };
  }

  digest(): taskd.Digest.$Properties {
    const { own } = this.#logs;
    const owners: taskd.OwnerDigest.$Properties[] = [{ ...position(own), ageMs: 0 }];
    const echoes: taskd.Echo.$Properties[] = [];
    for (const owner of this.#owners.all()) {
      const ageMs = wireMs(this.#owners.ageMs(owner));
      owners.push({ ...position(owner.log), ageMs, caught: this.#owners.isCaught(owner) });
      if (owner.boot !== 0) echoes.push({ node: owner.id, boot: owner.boot, stamp: owner.stamp });
    }
    return { owners, echoes, ready: this.#readiness.isSource, coldLeftMs: wireMs(this.#readiness.coldLeftMs) };
  }

  /** A beat of `from`: ages, and the stamp to echo. */
  takeBeat(from: Owner, beat: taskd.PeerBeat.$Properties): void {
    from.stamp = Math.max(from.stamp, beat.stamp ?? 0);
    for (const { owner, ageMs } of beat.ages ?? []) this.#learnAge(from, owner ?? '', ageMs ?? 0);
  }

  /** A digest of `from`: what this node is behind in. */
  takeDigest(from: Owner, digest: taskd.Digest.$Properties): Behind[] {
    const behind: Behind[] = [];
    const madeAfterMs = this.#echoed(digest.echoes ?? []);
    from.readiness = {
      isReady: digest.ready === true,
      atMs: this.#time.nowMs,
      madeAfterMs,
      positions: (digest.owners ?? []).map(positionFrom),
      coldLeftMs: digest.coldLeftMs ?? 0,
    };
    for (const each of digest.owners ?? []) {
      const owner = this.#learnAge(from, each.owner ?? '', each.ageMs ?? 0);
      if (owner === undefined) continue;
      const incarnation = each.incarnation ?? 0;
      const sequence = each.sequence ?? 0;
      if (incarnation <= hearsayMax) owner.floor = Math.max(owner.floor, incarnation);
      const told = { incarnation, sequence, atMs: this.#time.nowMs, madeAfterMs };
      if (owner === from) from.digest = told;
      else if (each.caught === true) owner.relayed = told;
      const { log } = owner;
      if (incarnation < owner.floor) continue;
      if (!log.covers(incarnation, sequence)) behind.push({ owner, isWhole: incarnation !== log.incarnation });
      else if (
        owner === from &&
        log.incarnation === incarnation &&
        log.sequence === sequence &&
        (log.hashA !== (each.hashA ?? 0) || log.hashB !== (each.hashB ?? 0))
      ) {
        // Only the owner itself can know which of two states of one number is right.
        behind.push({ owner, isWhole: true });
      }
    }
    return behind;
  }

  /** How long ago we sent the beat that was the last of ours to arrive where this digest was made; endless: none was. */
  unheardMs(digest: taskd.Digest.$Properties): number {
    return this.#time.nowMs - this.#echoed(digest.echoes ?? []);
  }

  /** Our own clock as others echo it. */
  get #stamp(): number {
    return Math.max(0, Math.floor(this.#time.nowMs));
  }

  /** A time of ours after which whoever sends these echoes made them. */
  #echoed(echoes: readonly taskd.Echo.$Properties[]): number {
    for (const { node, boot, stamp } of echoes) {
      if (node === this.#logs.own.owner && boot === this.#boot && (stamp ?? 0) <= this.#stamp) return stamp ?? 0;
    }
    return Number.NEGATIVE_INFINITY;
  }

  /** Takes what `from` says about an owner's age; undefined for ourselves and for one owner too many. */
  #learnAge(from: Owner, id: string, ageMs: number): Owner | undefined {
    if (id === this.#logs.own.owner) {
      if (ageMs < goneMs) from.hearsUsMs = this.#time.nowMs;
      return undefined;
    }
    return isName(id) ? this.#owners.admit(id, ageMs) : undefined;
  }
}

const namePattern: RegExp = new RegExp(`^[\\x21-\\x7e]{1,${nameLengthMax}}$`);

/** True for what may be a node id. */
export function isName(id: string): boolean {
  return namePattern.test(id);
}

function position(log: LogTable['own']): taskd.OwnerDigest.$Properties {
  const { owner, incarnation, sequence, hashA, hashB } = log;
  return { owner, incarnation, sequence, hashA, hashB };
}

function positionFrom({ owner, incarnation, sequence }: taskd.OwnerDigest.$Properties): OwnerPosition {
  return { owner: owner ?? '', incarnation: incarnation ?? 0, sequence: sequence ?? 0 };
}
