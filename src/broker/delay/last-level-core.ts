/**
 * The last level of one delay partition: pure, fed with the records of its log and with times.
 *
 * ```
 *  arrived ──▶ pending ──due──▶ ready ──Fire appended──▶ asked ──Fire read back──▶ open ──produced──▶ done
 *     │           │               │                        │                       │ target gone
 *     │           └────── Cancel read back: gone ──────────┘                       └─▶ open for dlq.delay
 *     └── a Cancel came before it: gone
 * ```
 *
 * What is ready for a target that takes nothing may go to another place instead (`divert`), when memory is short.
 *
 * Reading the log back (`arrived`, `fired`, `fireDone`, `cancelled`) is all that changes what is true; *ready* and
 * *asked* are the owner's own and die with it. A Fire counts from the moment in which it is read back, committed, and
 * its records leave exactly then, but for those that a Cancel before it in the log has taken.
 *
 * What holds the log: pending records, Fires that are not done with their records, Cancels that may still meet their
 * record. A trim never falls between a Cancel and the arrival that it has struck.
 */
import { lastDelayLevel } from '../../base/delay-level.js';
import { isPartition, placeOf } from '../../base/place.js';
import { TimingWheel } from '../../timer/timing-wheel.js';
import { aheadMsMax, type Delayed, originOf } from './delayed-record.js';
import type { Cancel, Fire, FireDone } from './fire-records.js';
import { byDue, FireTarget, type OpenFire, type Pending } from './fire-target.js';

/** A Fire that is to be appended, with its records. */
export interface AskedFire extends Fire {
  readonly records: readonly Pending[];
}

/** Of the Cancels for one record that has not come yet, the one with the latest time. */
interface LiveCancel {
  readonly offset: number;
  readonly dueMs: number;
}

/** Cancels for records that have not come, in one delay partition. */
export const liveCancelsMax = 1_000_000;
/** Records in one last level from which on it takes no more, but for what is in its log already. */
const heldMax = 100_000;
/** Bytes of records that are kept in memory; those beyond are read again when they are due. */
const payloadBytesMax = 16 * 1024 * 1024;
/** A Cancel is kept for so long after its record was due at the least. */
const cancelKeepMs = 30_000;

export class LastLevelCore {
  readonly #pending = new Map<number, Pending>();
  readonly #byOrigin = new Map<number, Pending>();
  readonly #targets = new Map<number, FireTarget>();
  readonly #open = new Map<number, OpenFire>();
  /** In the order of their offsets. */
  readonly #cancels = new Map<number, LiveCancel>();
  /** Cancels that may go once the ladder holds nothing that is due by their time. */
  #outlived: number[] = [];
  /** Records that were fired, and are not due yet by the log's own time: the clock was set back meanwhile. By origin. */
  readonly #early = new Map<number, { readonly dueMs: number; readonly low: number }>();
  /** A Cancel's offset, and that of the record which it struck later. */
  #spans: { readonly from: number; readonly to: number }[] = [];
  /** Targets that have something to do. */
  readonly #busy = new Set<FireTarget>();
  readonly #wheel: TimingWheel;
  readonly #cancelWheel: TimingWheel;
  readonly #heldMax: number;
  readonly #payloadBytesMax: number;
  #payloadBytes = 0;
  #openRecords = 0;
  #nowMs: number;
  #isActive = false;
  /** Counters for metrics. */
  fires = 0;
  struck = 0;

  constructor(nowMs: number, limits: { heldMax?: number; payloadBytesMax?: number } = {}) {
    this.#nowMs = nowMs;
    this.#wheel = new TimingWheel(nowMs);
    this.#cancelWheel = new TimingWheel(nowMs);
    this.#heldMax = limits.heldMax ?? heldMax;
    this.#payloadBytesMax = limits.payloadBytesMax ?? payloadBytesMax;
  }

  /** Records that are not fired. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Records in memory: those, and the ones of Fires that are not produced. */
  get held(): number {
    return this.#pending.size + this.#openRecords;
  }

  get liveCancels(): number {
    return this.#cancels.size;
  }

  get payloadBytes(): number {
    return this.#payloadBytes;
  }

  get hasRoom(): boolean {
    return this.held < this.#heldMax;
  }

  /** Targets that take nothing must leave room for the others. */
  get isCrowded(): boolean {
    return this.held * 2 >= this.#heldMax;
  }

  /** Target partitions that have records here, or Fires that are not done. */
  get targets(): number {
    return this.#targets.size;
  }

  /** When `advance` has something to do; undefined when nothing waits for its time. */
  get nextDueMs(): number | undefined {
    return this.#wheel.nextDueMs();
  }

  /** True when there is something to look after every second. */
  get hasWork(): boolean {
    return this.#busy.size > 0 || this.#cancels.size > 0;
  }

  // The log, read back

  /**
   * An origin arrives once: it is the place where a broker has stored the record first, clients may not send one, and a
   * repeated move is recognised. What a Cancel means rests on that. A log may be trimmed between a record and the Cancel
   * that has struck it; read back, that Cancel waits in vain, and goes as those do whose record never comes.
   */
  arrived({ offset, record, timestampMs, bytes }: Delayed): void {
    const origin = record.origin === 0 ? originOf(lastDelayLevel, offset) : record.origin;
    const cancel = this.#cancels.get(origin);
    if (cancel !== undefined) {
      this.#cancels.delete(origin);
      this.#spans.push({ from: cancel.offset, to: offset });
      this.struck++;
      return;
    }
    const target = this.#target(record.targetTopicId, record.targetPartition);
    const dueMs = record.deliverAtMs;
    const isKept = this.#payloadBytes + bytes <= this.#payloadBytesMax;
    if (isKept) this.#payloadBytes += bytes;
    const kept = isKept ? record : undefined;
    const pending = { offset, origin, dueMs, target, timestampMs, bytes, record: kept, isOver: false };
    this.#pending.set(offset, pending);
    this.#byOrigin.set(origin, pending);
    target.pending++;
    if (this.#isActive) this.#wheel.add(dueMs, offset);
  }

  /**
   * A record is due by the clock when its Fire is decided. Set back since then, the clock may date the Fire, and Cancels
   * after it, before that time, so those whose record left early are kept until the log's time has come to it.
   */
  fired(offset: number, fire: Fire, appendTimestampMs: number): void {
    this.#forgetEarly(appendTimestampMs);
    const target = this.#target(fire.topicId, fire.partition);
    const before = fire.insteadOf === undefined ? undefined : this.#open.get(fire.insteadOf);
    let records: Pending[] = [];
    if (fire.insteadOf === undefined) {
      target.isAsked = false;
      this.fires++;
      for (const each of fire.offsets) {
        const record = this.#pending.get(each);
        if (record === undefined) continue;
        this.#leave(record);
        if (record.target !== target) this.#forgetIdle(record.target);
        records.push(record);
        const { origin, dueMs } = record;
        if (dueMs > appendTimestampMs) this.#early.set(origin, { dueMs, low: each });
      }
      records.sort(byDue);
      this.#openRecords += records.length;
    } else {
      if (before === undefined) {
        this.#forgetIdle(target);
        return;
      }
      this.#open.delete(before.offset);
      before.target.open = before.target.open.filter((each) => each !== before);
      records = before.records;
      this.#busy.add(before.target);
    }
    const low = records.reduce((least, record) => Math.min(least, record.offset), offset);
    const isProduced = records.length === 0;
    const open = { offset, records, low, target, isProduced, isBusy: false };
    target.open.push(open);
    this.#open.set(offset, open);
    this.#busy.add(target);
    if (before !== undefined) this.#forgetIdle(before.target);
  }

  fireDone({ topicId, partition, upTo }: FireDone): void {
    const target = this.#targets.get(targetPlace(topicId, partition));
    if (target === undefined) return;
    target.saidUpTo = Math.max(target.saidUpTo, upTo);
    for (const fire of target.open) {
      if (fire.offset > upTo) continue;
      this.#open.delete(fire.offset);
      this.#forgetPayload(fire);
    }
    target.open = target.open.filter(({ offset }) => offset > upTo);
    this.#forgetIdle(target);
  }

  /** True when the record will not be delivered. */
  cancelled(offset: number, { origin, dueMs, carried }: Cancel, appendTimestampMs: number): boolean {
    const record = this.#byOrigin.get(origin);
    if (record !== undefined) {
      this.#leave(record);
      this.#drop(record);
      this.#forgetIdle(record.target);
      this.struck++;
      return true;
    }
    this.#forgetEarly(appendTimestampMs);
    if (!carried && (appendTimestampMs >= dueMs || this.#early.has(origin))) return false;
    // No record can be due then; a Cancel that waited for one would wait for as long.
    if (dueMs > appendTimestampMs + aheadMsMax) return false;
    // Clients say when the record is due, and one that errs must not undo what another was promised.
    const known = this.#cancels.get(origin);
    if (known !== undefined && known.dueMs > dueMs) return true;
    // Of two with the same time the last one counts; so the order of the map is that of the log.
    this.#cancels.delete(origin);
    this.#cancels.set(origin, { offset, dueMs });
    if (this.#isActive && known === undefined) this.#cancelWheel.add(dueMs + cancelKeepMs, origin);
    return true;
  }

  // The owner

  /** The log was read to its end: from now on, time counts. */
  activate(): void {
    this.#isActive = true;
    for (const { offset, dueMs } of this.#pending.values()) this.#wheel.add(dueMs, offset);
    for (const [origin, { dueMs }] of this.#cancels) this.#cancelWheel.add(dueMs + cancelKeepMs, origin);
  }

  /** What is due by `nowMs` becomes ready. */
  advance(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#wheel.advance(nowMs, (offset) => {
      const record = this.#pending.get(offset);
      if (record === undefined) return;
      record.target.due(record);
      this.#busy.add(record.target);
    });
    this.#cancelWheel.advance(nowMs, (origin) => {
      if (this.#isOutlived(origin)) this.#outlived.push(origin);
    });
  }

  /**
   * The Fires that are to be appended now; each target's records count as asked for. Those of a target that `takes` does
   * not let through wait: no Fire is decided for it that it may have got when it is asked again.
   */
  compose(takes: (target: FireTarget) => boolean = () => true): AskedFire[] {
    const fires: AskedFire[] = [];
    for (const target of this.#busy) {
      if (!target.hasReady || !takes(target) || target.isFiring) continue;
      const fire = this.#ask(target, target);
      if (fire !== undefined) fires.push(fire);
    }
    return fires;
  }

  /**
   * A Fire of what is ready for `target` that goes to another place instead, one at a time. Only for records that no Fire
   * has named: one that has gone out may be in its target, whatever that has answered.
   */
  divert(target: FireTarget, topicId: number, partition: number): AskedFire | undefined {
    const instead = this.#target(topicId, partition);
    const fire = instead.isFiring ? undefined : this.#ask(target, instead);
    this.#forgetIdle(instead);
    return fire;
  }

  /** A Fire of `compose` or `divert` could not be appended. */
  notAppended({ topicId, partition, records }: AskedFire): void {
    const asked = this.#target(topicId, partition);
    asked.isAsked = false;
    for (const record of records) {
      record.target.due(record);
      this.#busy.add(record.target);
    }
    this.#forgetIdle(asked);
  }

  /** The Fires that wait to be produced, one a target. Targets without any work leave the rounds. */
  toProduce(): OpenFire[] {
    const fires: OpenFire[] = [];
    for (const target of this.#busy) {
      const fire = target.current;
      if (fire === undefined) {
        if (!target.hasReady && target.doneUpTo === undefined) this.#busy.delete(target);
      } else if (!fire.isBusy) fires.push(fire);
    }
    return fires;
  }

  /** Fills in the records of a Fire that were read again; what the log no longer gives back is lost. */
  readBack(fire: OpenFire, found: ReadonlyMap<number, Delayed>): void {
    for (let i = fire.records.length - 1; i >= 0; i--) {
      const pending = fire.records[i]!;
      if (pending.record !== undefined) continue;
      pending.record = found.get(pending.offset)?.record;
      if (pending.record === undefined) {
        fire.records.splice(i, 1);
        this.#openRecords--;
      } else this.#payloadBytes += pending.bytes;
    }
    if (fire.records.length === 0) fire.isProduced = true;
  }

  /** The Fire's batch is committed in its target. */
  produced(fire: OpenFire): void {
    fire.isBusy = false;
    fire.isProduced = true;
    this.#forgetPayload(fire);
  }

  /** What may be said to be done. */
  dones(): FireDone[] {
    const dones: FireDone[] = [];
    for (const target of this.#busy) {
      const upTo = target.doneUpTo;
      if (upTo !== undefined) dones.push({ topicId: target.topicId, partition: target.partition, upTo });
    }
    return dones;
  }

  /** Lets go of Cancels whose record can't come any more; `hasPassed` tells for a due time. */
  dropCancels(hasPassed: (dueMs: number) => boolean): void {
    if (this.#outlived.length === 0) return;
    this.#outlived = this.#outlived.filter((origin) => {
      // Another Cancel may have made its time later meanwhile.
      if (!this.#isOutlived(origin)) return false;
      if (!hasPassed(this.#cancels.get(origin)!.dueMs)) return true;
      this.#cancels.delete(origin);
      return false;
    });
  }

  /** Up to where the log may be trimmed, `next` being the offset after the last record that was read back. */
  low(next: number): number {
    let low = next;
    for (const offset of this.#pending.keys()) {
      low = Math.min(low, offset);
      break;
    }
    for (const fire of this.#open.values()) low = Math.min(low, fire.low);
    for (const early of this.#early.values()) low = Math.min(low, early.low);
    for (const { offset } of this.#cancels.values()) {
      low = Math.min(low, offset);
      break;
    }
    for (let i = this.#spans.length - 1; i >= 0; i--) {
      const { from, to } = this.#spans[i]!;
      if (from < low && low <= to) low = from;
    }
    return low;
  }

  /** The log begins at `logStart` now. */
  trimmed(logStart: number): void {
    this.#spans = this.#spans.filter(({ to }) => to >= logStart);
  }

  /** Live Cancels below `offset`, at most `max`, to be written again at the log's end. */
  carried(offset: number, max: number): Cancel[] {
    const carried: Cancel[] = [];
    for (const [origin, cancel] of this.#cancels) {
      if (cancel.offset >= offset || carried.length === max) break;
      carried.push({ origin, dueMs: cancel.dueMs, carried: true });
    }
    return carried;
  }

  /** True when the origin's live Cancel has been kept for as long as the clock wants it; if not, its time is set. */
  #isOutlived(origin: number): boolean {
    const cancel = this.#cancels.get(origin);
    if (cancel === undefined) return false;
    const keptMs = cancel.dueMs + cancelKeepMs;
    if (keptMs <= this.#nowMs) return true;
    this.#cancelWheel.add(keptMs, origin);
    return false;
  }

  #target(topicId: number, partition: number): FireTarget {
    const place = targetPlace(topicId, partition);
    let target = this.#targets.get(place);
    if (target === undefined) {
      target = new FireTarget(topicId, partition);
      this.#targets.set(place, target);
    }
    return target;
  }

  /** Targets come and go with their topics. */
  #forgetIdle(target: FireTarget): void {
    if (!target.isIdle) return;
    this.#targets.delete(targetPlace(target.topicId, target.partition));
    this.#busy.delete(target);
  }

  #ask(from: FireTarget, to: FireTarget): AskedFire | undefined {
    const records = from.takeReady();
    if (records.length === 0) return undefined;
    to.isAsked = true;
    const { topicId, partition } = to;
    const offsets = records.map(({ offset }) => offset).sort((a, b) => a - b);
    return { topicId, partition, offsets, insteadOf: undefined, records };
  }

  #leave(record: Pending): void {
    record.isOver = true;
    this.#pending.delete(record.offset);
    this.#byOrigin.delete(record.origin);
    record.target.pending--;
  }

  /** Those at the front, so that each costs once; one that was fired later and is due sooner waits a little longer. */
  #forgetEarly(logTimeMs: number): void {
    for (const [origin, { dueMs }] of this.#early) {
      if (dueMs > logTimeMs) return;
      this.#early.delete(origin);
    }
  }

  #drop(record: Pending): void {
    if (record.record === undefined) return;
    record.record = undefined;
    this.#payloadBytes -= record.bytes;
  }

  #forgetPayload(fire: OpenFire): void {
    for (const record of fire.records) this.#drop(record);
    this.#openRecords -= fire.records.length;
    fire.records.length = 0;
  }
}

/**
 * The place of a target. A log may hold records for partitions that no topic can have; they were let in since their topic
 * is deleted, so that whatever goes there is a dead letter.
 */
function targetPlace(topicId: number, partition: number): number {
  return placeOf(topicId, isPartition(partition) ? partition : 0);
}
