import { ErrorCode, isTaskdError } from '../../base/errors.js';
import type { taskd } from '../../wire/generated/messages.js';
import { compareVersions } from '../instance.js';
import { deltas } from './delta-sender.js';
import { type Digests, isName } from './digests.js';
import type { Ghosts } from './ghosts.js';
import type { Identity } from './identity.js';
import { hearsayMax, incarnationMax } from './incarnation.js';
import type { LiveTime } from './live-time.js';
import type { LogTable } from './log-table.js';
import type { Change, OwnerLog } from './owner-log.js';
import type { Owner, Owners } from './owners.js';
import { changeFrom, endFrom, tombstoneMessage } from './peer-codec.js';
import type { Place, Places } from './place.js';
import type { Readiness } from './readiness.js';
import type { PeerMessage } from './registry-effect.js';
import { removalMs } from './sessions.js';
import { type ReceivedState, SnapshotReceiver } from './snapshot-receiver.js';
import { SnapshotSender } from './snapshot-sender.js';
import type { Tombstones } from './tombstones.js';

/** A tombstone known for so long and still contradicted is told to the owner of the claim. */
const tellAfterMs = 3_000;
const tellsMax = 256;
/** Whoever is told was heard within this time. */
const heardMs = 2_000;

/** What is known here, as the exchange needs it. */
export interface Known {
  readonly time: LiveTime;
  readonly places: Places;
  readonly logs: LogTable;
  readonly tombstones: Tombstones;
  readonly ghosts: Ghosts;
  readonly owners: Owners;
  readonly readiness: Readiness;
  readonly digests: Digests;
  readonly identity: Identity;
}

/**
 * How logs get from node to node. An owner sends its changes as they come; whoever misses some asks, by a gap or by a
 * digest, and anyone who has the log may answer, with the changes or with the whole state. Nobody writes another
 * node's log, a stale incarnation is refused, and nothing is guessed over a gap.
 */
export class PeerExchange {
  readonly #known: Known;
  readonly #self: string;
  readonly #send: (to: string, body: PeerMessage) => void;
  readonly #startMs: number;
  readonly #receiver = new SnapshotReceiver();
  readonly #sender: SnapshotSender;
  /** What others said and there was no room for. */
  refused = 0;
  /** Frames that could not be read. */
  malformed = 0;

  constructor(known: Known, send: (to: string, body: PeerMessage) => void) {
    this.#known = known;
    this.#self = known.logs.own.owner;
    this.#send = send;
    this.#startMs = known.time.nowMs;
    this.#sender = new SnapshotSender(known.tombstones, known.ghosts);
  }

  /** Takes a frame of another node, as it calls itself. */
  receive(id: string, frame: PeerMessage, wallMs: number): void {
    const { digests, identity, owners } = this.#known;
    const from = isName(id) ? (owners.get(id) ?? owners.admit(id, 0)) : undefined;
    if (from === undefined) return;
    const boot = frame.boot ?? 0;
    if (boot !== from.boot) {
      from.boot = boot;
      from.stamp = 0;
    }
    const incarnation = frame.incarnation ?? 0;
    if (incarnation <= hearsayMax) from.floor = Math.max(from.floor, incarnation);
    if (owners.hear(from)) this.#send(id, { beat: digests.beat(true) });
    try {
      this.#take(from, frame, wallMs);
    } catch (error) {
      if (!isTaskdError(error, ErrorCode.INVALID)) throw error;
      this.malformed++;
    }
    for (const { owner, incarnation: theirs, sequence } of frame.digest?.owners ?? []) {
      if (owner !== this.#self) continue;
      identity.told(id, theirs ?? 0, sequence ?? 0, wallMs);
      if ((theirs ?? 0) > 0 && theirs !== identity.incarnation) this.#pullRemains(from);
    }
  }

  /** Throws INVALID on what can't be read. */
  #take(from: Owner, frame: PeerMessage, wallMs: number): void {
    if (frame.incarnationQuestion) this.#answer(from);
    else if (frame.incarnationTold) {
      this.#known.identity.told(from.id, frame.incarnationTold.incarnation ?? 0, 0, wallMs);
      if (frame.incarnationTold.remains === true) this.#pullRemains(from);
    } else if (frame.beat) this.#onBeat(from, frame.beat);
    else if (frame.digest) this.#onDigest(from, frame.digest, frame.incarnation ?? 0);
    else if (frame.delta) this.#onDelta(from, frame.delta);
    else if (frame.pull) this.#onPull(from, frame.pull);
    else if (frame.snapshotChunk) this.#onChunk(from, frame.snapshotChunk);
    else if (frame.hidden) this.#onHidden(frame.hidden);
    else if (frame.deltaAck) {
      const { incarnation, sequence } = frame.deltaAck;
      from.acknowledged = { incarnation: incarnation ?? 0, sequence: sequence ?? 0 };
    } else if (frame.ownerLeave) {
      // One that came late is of an incarnation that isn't any more.
      if ((frame.incarnation ?? 0) >= Math.max(from.floor, from.log.incarnation)) this.#known.owners.leave(from);
      this.#acknowledge(from);
    }
  }

  #answer(from: Owner): void {
    if (!this.#known.readiness.isStarted) return;
    const { ghosts, tombstones } = this.#known;
    const remains = from.log.entries.size > 0 || ghosts.size > 0 || tombstones.size > 0;
    this.#send(from.id, { incarnationTold: { incarnation: Math.max(from.log.incarnation, from.floor), remains } });
  }

  /**
   * Asks for what a node keeps of our former incarnations: when it answered our question, and when its digest shows that
   * it has not heard of this life, as then its answer may have found no way.
   */
  #pullRemains(from: Owner): void {
    if (this.#receiver.mayPull(remainsOf(from), from.id, this.#known.time.nowMs, 0)) {
      this.#send(from.id, { pull: { owner: this.#self, remains: true } });
    }
  }

  /** The link to this node is a new one, or there was none for what was to be sent. */
  relinked(to: string): void {
    this.#receiver.forget(to);
  }

  /** Lets time pass: what stands still is asked for again, what was applied is acknowledged. */
  sweep(): void {
    const { nowMs } = this.#known.time;
    this.#sender.sweep(nowMs);
    for (const { log, from, snapshot, chunk } of this.#receiver.stalled(nowMs))
      this.#pullMore(log, from, snapshot, chunk);
    for (const owner of this.#known.owners.all()) {
      const { incarnation, sequence } = owner.log;
      const isTold = owner.toldIncarnation === incarnation && owner.toldSequence === sequence;
      if (!isTold && owner.heardMs > nowMs - heardMs) this.#acknowledge(owner);
    }
  }

  /** Tells the owners of claims that a tombstone hides here. */
  tell(contested: Iterable<Place>): void {
    const { owners, time } = this.#known;
    const told = new Map<string, taskd.InstanceEnd.$Properties[]>();
    let count = 0;
    for (const place of contested) {
      const { tombstone } = place;
      const owner = place.best()?.log.owner;
      if (tombstone === undefined || owner === undefined || time.nowMs - tombstone.atMs <= tellAfterMs) continue;
      if (!owners.isHeard(owner, heardMs, time.nowMs)) continue;
      const by = told.get(owner) ?? [];
      told.set(owner, by);
      by.push(tombstoneMessage(place, tombstone));
      if (++count >= tellsMax) break;
    }
    for (const [owner, by] of told) this.#send(owner, { hidden: { by } });
  }

  #onBeat(from: Owner, beat: taskd.PeerBeat.$Properties): void {
    this.#known.digests.takeBeat(from, beat);
    if (beat.asksDigest === true && this.#known.readiness.isStarted) {
      this.#send(from.id, { digest: this.#known.digests.digest() });
    }
  }

  #onDigest(from: Owner, digest: taskd.Digest.$Properties, incarnation: number): void {
    const { digests, owners } = this.#known;
    // It lost its disk and asked when no answer could reach it: its log is refused until it is above its former life.
    const { floor } = from;
    if (incarnation > 0 && incarnation < floor) this.#send(from.id, { incarnationTold: { incarnation: floor } });
    for (const { owner, isWhole } of digests.takeDigest(from, digest)) this.#pull(owner, from, isWhole);
    for (const owner of owners.all()) owners.settle(owner);
  }

  #onDelta(from: Owner, delta: taskd.Delta.$Properties): void {
    const { digests, logs, owners, time } = this.#known;
    const owner = owners.get(delta.owner ?? '');
    const incarnation = delta.incarnation ?? 0;
    const first = delta.from ?? 0;
    if (owner === undefined || incarnation === 0 || incarnation > incarnationMax || first === 0) return;
    const { log } = owner;
    if (incarnation < log.incarnation || incarnation < owner.floor) return;
    const hiddenMark = from === owner ? 0 : (delta.hiddenMark ?? 0);
    if (hiddenMark > 0 && owners.isAlive(owner)) {
      this.#askOwner(owner, from);
      return;
    }
    if (incarnation > log.incarnation) {
      // What it held stays as it was until its successor is known whole, with the tombstones that are no log's.
      this.#pull(owner, from, true);
      return;
    }
    if (first > log.sequence + 1) {
      this.#pull(owner, from, false);
      return;
    }
    for (const message of (delta.changes ?? []).slice(log.sequence + 1 - first)) {
      if (logs.apply(log, changeFrom(message), time.nowMs)) continue;
      this.refused++;
      break;
    }
    for (const message of delta.tombstones ?? []) {
      const { key, version, origin } = endFrom(message);
      this.#known.tombstones.bury(this.#known.places.at(key), version, undefined, origin, time.nowMs);
    }
    if (this.#receiver.answered(owner.id, from.id)) digests.tellSoon();
    if (hiddenMark > 0) owners.takeHiddenMark(owner, hiddenMark - 1);
    owners.settle(owner);
  }

  #onPull(from: Owner, pull: taskd.Pull.$Properties): void {
    const { logs, owners, readiness, time } = this.#known;
    if (!readiness.isStarted) return;
    const id = pull.owner ?? '';
    const isRemains = pull.remains === true && id === from.id;
    const log = logs.get(id);
    let chunks: taskd.SnapshotChunk.$Properties[];
    if ((pull.snapshot ?? 0) !== 0) chunks = this.#sender.resume(from.id, pull.snapshot!, pull.chunk ?? 0, time.nowMs);
    else if (isRemains) chunks = this.#sender.beginRemains(from.id, log, time.nowMs);
    else if (log === undefined || log.incarnation === 0) return;
    else {
      const hiddenMark = owners.hiddenMark(log);
      const next = (pull.sequence ?? 0) + 1;
      const isSame = pull.whole !== true && pull.incarnation === log.incarnation;
      const changes = isSame ? log.changesFrom(next) : undefined;
      if (changes !== undefined) {
        const tombstones = this.#hiding(changes, log);
        for (const delta of deltas(log, next, changes)) {
          this.#send(from.id, { delta: { ...delta, hiddenMark, tombstones } });
        }
        return;
      }
      chunks = this.#sender.begin(from.id, log, hiddenMark, time.nowMs);
    }
    for (const snapshotChunk of chunks) this.#send(from.id, { snapshotChunk });
  }

  /** Tombstones of other logs that hide what these changes put. */
  #hiding(changes: readonly Change[], log: OwnerLog): taskd.InstanceEnd.$Properties[] {
    const found = new Map<Place, taskd.InstanceEnd.$Properties>();
    for (const change of changes) {
      const place = change.kind === 'put' ? this.#known.places.find(change.claim) : undefined;
      const tombstone = place?.tombstone;
      if (place === undefined || tombstone === undefined || tombstone.log === log) continue;
      found.set(place, tombstoneMessage(place, tombstone));
    }
    return [...found.values()];
  }

  #onChunk(from: Owner, chunk: taskd.SnapshotChunk.$Properties): void {
    const { time, owners } = this.#known;
    const isRemains = chunk.remains === true;
    const owner = isRemains ? undefined : owners.get(chunk.owner ?? '');
    if (!isRemains && owner === undefined) return;
    const key = owner === undefined ? remainsOf(from) : owner.id;
    const outcome = this.#receiver.take(key, from.id, chunk, time.nowMs);
    if (outcome.kind === 'more') this.#pullMore(key, from.id, outcome.snapshot, outcome.chunk);
    if (outcome.kind !== 'whole') return;
    if (owner === undefined) this.#takeRemains(outcome.state);
    else this.#install(owner, outcome.state, from);
  }

  #install(owner: Owner, state: ReceivedState, from: Owner): void {
    const { digests, logs, owners, time } = this.#known;
    if (state.incarnation === 0 || state.incarnation > incarnationMax || state.incarnation < owner.floor) return;
    const isMarked = from !== owner && state.hiddenSequence >= 0;
    if (isMarked && owners.isAlive(owner)) {
      this.#askOwner(owner, from);
      return;
    }
    const isNew = state.incarnation > owner.log.incarnation;
    if (!logs.install(owner.log, state, time.nowMs)) {
      this.refused++;
      return;
    }
    digests.tellSoon();
    if (isNew) owners.restarted(owner);
    this.#takeGhosts(state);
    if (isMarked) owners.takeHiddenMark(owner, state.hiddenSequence);
    owners.settle(owner);
  }

  /** Claims of our former incarnations stay in sight until their clients had the time to come back after our start. */
  #takeRemains(state: ReceivedState): void {
    const { ghosts, places, time, tombstones } = this.#known;
    for (const { key, version, origin } of state.tombstones) {
      tombstones.bury(places.at(key), version, undefined, origin, time.nowMs);
    }
    const untilMs = this.#startMs + removalMs;
    for (const { claim } of state.claims) {
      const place = places.at(claim);
      ghosts.add(place, claim, this.#self, untilMs, time.nowMs);
      places.touch(place);
    }
    this.#takeGhosts(state);
  }

  #takeGhosts(state: ReceivedState): void {
    const { ghosts, owners, places, time } = this.#known;
    for (const { claim, owner, leftMs } of state.ghosts) {
      if (!isName(owner) || owners.get(owner)?.log.isHidden === true) continue;
      const place = places.at(claim);
      ghosts.add(place, claim, owner, time.nowMs + Math.min(leftMs, removalMs), time.nowMs);
      places.touch(place);
    }
  }

  /** Somebody hides claims of ours. */
  #onHidden(hidden: taskd.Hidden.$Properties): void {
    const { logs, places, time, tombstones } = this.#known;
    for (const message of hidden.by ?? []) {
      const { key, version, origin } = endFrom(message);
      const place = places.find(key);
      const own = place?.entryOf(logs.own);
      if (place === undefined || own === undefined || compareVersions(own.claim.version, version) > 0) continue;
      tombstones.bury(place, version, undefined, origin, time.nowMs);
    }
  }

  #pull(owner: Owner, from: Owner, isWhole: boolean): void {
    if (!this.#receiver.mayPull(owner.id, from.id, this.#known.time.nowMs, owner.floor)) return;
    const { incarnation, sequence } = owner.log;
    this.#send(from.id, { pull: { owner: owner.id, incarnation, sequence, whole: isWhole } });
  }

  /** What somebody else said of an owner that lives wasn't taken: the owner has it, and is asked at once. */
  #askOwner(owner: Owner, from: Owner): void {
    this.#receiver.answered(owner.id, from.id);
    this.#pull(owner, owner, false);
  }

  #pullMore(log: string, from: string, snapshot: number, chunk: number): void {
    const isRemains = log === `\n${from}`;
    const owner = isRemains ? this.#self : log;
    this.#send(from, { pull: { owner, snapshot, chunk, remains: isRemains } });
  }

  #acknowledge(owner: Owner): void {
    const { incarnation, sequence } = owner.log;
    owner.toldIncarnation = incarnation;
    owner.toldSequence = sequence;
    this.#send(owner.id, { deltaAck: { incarnation, sequence } });
  }
}

/** What the pull of remains from this node is called among the pulls. No node id has a line break. */
function remainsOf(from: Owner): string {
  return `\n${from.id}`;
}
