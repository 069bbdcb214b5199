import type { taskd } from '../../wire/generated/messages.js';
import type { Health, InstanceClaim } from '../instance.js';
import { type EndTold, instancesMax } from './log-table.js';
import { endFrom, entryFrom } from './peer-codec.js';
import { windowChunks } from './snapshot-sender.js';
import { tombstonesMax } from './tombstones.js';

/** A pull without any progress for so long may be sent again, to whomever. */
export const pullMs = 1_000;

/** A whole state that has come complete. */
export interface ReceivedState {
  readonly incarnation: number;
  readonly sequence: number;
  /** The sender hides what the owner said up to here; -1: it doesn't. */
  readonly hiddenSequence: number;
  readonly claims: { readonly claim: InstanceClaim; readonly health: Health }[];
  readonly tombstones: EndTold[];
  readonly ghosts: { readonly claim: InstanceClaim; readonly owner: string; readonly leftMs: number }[];
}

interface Pulling {
  readonly from: string;
  readonly floor: number;
  progressMs: number;
  snapshot: number;
  nextChunk: number;
  state: ReceivedState | undefined;
}

/** What came of a chunk: nothing yet, the next window is to be asked for, or the state is whole. */
export type ChunkOutcome =
  | { readonly kind: 'none' }
  | { readonly kind: 'more'; readonly snapshot: number; readonly chunk: number }
  | { readonly kind: 'whole'; readonly state: ReceivedState };

const none: ChunkOutcome = { kind: 'none' };

/**
 * Pulls that are on their way, one a log, and the states that come in chunks for them. What nobody asked for isn't
 * taken, so an unfinished state is bounded by the limits of one log and forgotten with its pull.
 */
export class SnapshotReceiver {
  readonly #pulls = new Map<string, Pulling>();

  /**
   * Notes a pull, unless one is on its way and makes progress; true when it is to be sent. `floor`: older incarnations
   * won't be taken, so a pull that was sent before this was known doesn't count.
   */
  mayPull(log: string, from: string, liveMs: number, floor: number): boolean {
    const pull = this.#pulls.get(log);
    if (pull !== undefined && pull.floor >= floor && liveMs - pull.progressMs < pullMs) return false;
    this.#pulls.set(log, { from, floor, progressMs: liveMs, snapshot: 0, nextChunk: 0, state: undefined });
    return true;
  }

  isPulling(log: string): boolean {
    return this.#pulls.has(log);
  }

  /** What was asked of a node before now is lost, or may be: it may be asked again at once, of whomever. */
  forget(from: string): void {
    for (const [log, pull] of this.#pulls) if (pull.from === from) this.#pulls.delete(log);
  }

  /** Changes came: true when they answer a pull, which is over. */
  answered(log: string, from: string): boolean {
    return this.#pulls.get(log)?.from === from && this.#pulls.delete(log);
  }

  /** Takes a chunk in. Throws INVALID when it can't be read; the pull is off then. */
  take(log: string, from: string, chunk: taskd.SnapshotChunk.$Properties, liveMs: number): ChunkOutcome {
    const pull = this.#pulls.get(log);
    if (pull === undefined || pull.from !== from) return none;
    const snapshot = chunk.snapshot ?? 0;
    const number = chunk.chunk ?? 0;
    if (number === 0 && snapshot !== pull.snapshot) {
      pull.snapshot = snapshot;
      pull.nextChunk = 0;
      pull.state = undefined;
    }
    if (snapshot !== pull.snapshot || number !== pull.nextChunk) return none;
    pull.progressMs = liveMs;
    pull.nextChunk++;
    pull.state ??= {
      incarnation: chunk.incarnation ?? 0,
      sequence: chunk.sequence ?? 0,
      hiddenSequence: (chunk.hiddenMark ?? 0) - 1,
      claims: [],
      tombstones: [],
      ghosts: [],
    };
    try {
      add(pull.state, chunk);
    } catch (error) {
      this.#pulls.delete(log);
      throw error;
    }
    const { claims, tombstones, ghosts } = pull.state;
    const isTooMuch =
      claims.length > instancesMax || tombstones.length > tombstonesMax || ghosts.length > 2 * instancesMax;
    const isEmpty = chunk.last !== true && number > 0 && isEmptyChunk(chunk);
    if (isTooMuch || isEmpty) {
      this.#pulls.delete(log);
      return none;
    }
    if (chunk.last === true) {
      this.#pulls.delete(log);
      return { kind: 'whole', state: pull.state };
    }
    return pull.nextChunk % windowChunks === 0 ? { kind: 'more', snapshot, chunk: pull.nextChunk } : none;
  }

  /** A pull that stands still in the middle of a state: where it stands, to be asked for again. */
  *stalled(liveMs: number): Iterable<{ log: string; from: string; snapshot: number; chunk: number }> {
    for (const [log, pull] of this.#pulls) {
      const idleMs = liveMs - pull.progressMs;
      if (idleMs >= 5 * pullMs) this.#pulls.delete(log);
      else if (idleMs >= pullMs && pull.snapshot !== 0) {
        yield { log, from: pull.from, snapshot: pull.snapshot, chunk: pull.nextChunk };
      }
    }
  }
}

function isEmptyChunk({ instances, tombstones, ghosts }: taskd.SnapshotChunk.$Properties): boolean {
  return (instances?.length ?? 0) + (tombstones?.length ?? 0) + (ghosts?.length ?? 0) === 0;
}

function add(state: ReceivedState, chunk: taskd.SnapshotChunk.$Properties): void {
  for (const instance of chunk.instances ?? []) state.claims.push(entryFrom(instance));
  for (const end of chunk.tombstones ?? []) state.tombstones.push(endFrom(end));
  for (const { instance, owner, leftMs } of chunk.ghosts ?? []) {
    state.ghosts.push({ claim: entryFrom(instance ?? {}).claim, owner: owner ?? '', leftMs: leftMs ?? 0 });
  }
}
