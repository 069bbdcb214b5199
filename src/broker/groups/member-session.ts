/**
 * What a coordinator knows of a member beyond its state in the log: its stream, its last sign of life, what it said it
 * holds. All of it is gone with the process, and nothing that is decided depends on it but when a member is put out.
 *
 * States: waiting (known from the log, no stream here) ⇄ connected (a stream) → out pending (the record that puts it out
 * is being written) → gone. A member that joins again while it is out pending is judged in the log's order.
 */
import { placeOf } from '../../base/place.js';
import type { ServerStream } from '../../rpc/service.js';
import { taskd } from '../../wire/generated/messages.js';
import type { Member } from './core/member.js';
import { topicPartitionsOf } from './core/place.js';

/** A member whose connection its own side closed is out after this. */
const disconnectedMs = 1_000;

export type MemberStream = ServerStream<taskd.GroupPush.$Properties>;

export class MemberSession {
  readonly member: Member;
  /** A record that puts it out is on its way. */
  isOutPending = false;
  /** A record of what it let go is on its way. */
  isReleasePending = false;
  /** From its latest beat or join. */
  heldEpoch = 0;
  held: ReadonlySet<number> = new Set<number>();
  lastSeenMs: number;
  readonly load: Map<number, number> = new Map<number, number>();
  readonly #heartbeatMs: number;
  #stream: MemberStream | undefined;
  #dueMs: number;
  #releaseDueMs = Number.POSITIVE_INFINITY;
  /** When it was last told, or will be, that it has its time: a session timeout later it begins nothing any more. */
  #grantedMs: number;
  #isDisconnected = false;
  /** The highest number of a beat that counted. */
  #heard = 0;
  #echoedMs = Number.NEGATIVE_INFINITY;

  constructor(member: Member, nowMs: number, heartbeatMs: number) {
    this.member = member;
    this.#heartbeatMs = heartbeatMs;
    this.lastSeenMs = nowMs;
    this.#grantedMs = nowMs;
    this.#dueMs = nowMs + member.sessionTimeoutMs;
    this.changed(nowMs);
  }

  /** The stream that counts from now on; returns the one before it. */
  connect(stream: MemberStream, nowMs: number): MemberStream | undefined {
    const before = this.#stream;
    this.#stream = stream;
    stream.onWritable(() => this.push());
    this.#isDisconnected = false;
    this.#grantedMs = nowMs;
    this.seen(nowMs);
    return before;
  }

  /** True when it was the stream that counts. */
  disconnect(stream: MemberStream): boolean {
    if (this.#stream !== stream) return false;
    this.#stream = undefined;
    return true;
  }

  /** Its own side closed the connection: it has a moment to come back. */
  isLeft(nowMs: number): void {
    this.#isDisconnected = true;
    this.#dueMs = Math.min(this.#dueMs, nowMs + disconnectedMs);
  }

  /** A sign of life. */
  seen(nowMs: number): void {
    this.lastSeenMs = nowMs;
    if (!this.#isDisconnected) this.#dueMs = nowMs + this.member.sessionTimeoutMs;
  }

  /** A beat came and gave it time: the member learns of it with the next push, or at once if it has heard nothing for long. */
  heard(number: number, nowMs: number): void {
    // Beats of one who is being put out don't help it any more, and it must not believe so.
    if (number <= this.#heard || this.isOutPending || this.#isDisconnected || this.isReleaseOverdue(nowMs)) return;
    this.#heard = number;
    this.#grantedMs = nowMs;
    if (nowMs - this.#echoedMs < this.#beatMs / 2) return;
    this.#echoedMs = nowMs;
    this.#stream?.push({ memberEpoch: this.member.epoch, heard: number, unchanged: true });
  }

  /** What the member says in a beat. */
  beat({ memberEpoch, owned, load }: taskd.GroupBeat, places: ReadonlySet<number>): void {
    if (owned === undefined || memberEpoch < this.heldEpoch) return;
    this.heldEpoch = memberEpoch;
    this.held = places;
    for (const work of load) this.load.set(placeOf(work.topicId ?? 0, work.partition ?? 0), work.load ?? 0);
    if (this.load.size <= 2 * places.size + load.length) return;
    for (const place of this.load.keys()) if (!places.has(place)) this.load.delete(place);
  }

  /** What it shall have is not what it was. */
  changed(nowMs: number): void {
    if (this.member.revoking.size === 0) this.#releaseDueMs = Number.POSITIVE_INFINITY;
    else if (this.#releaseDueMs === Number.POSITIVE_INFINITY) this.#releaseDueMs = nowMs + this.member.releaseTimeoutMs;
  }

  /** All its time begins anew: this process stood still, or has just begun. */
  restartTimers(nowMs: number): void {
    this.#dueMs = nowMs + this.member.sessionTimeoutMs;
    this.#grantedMs = nowMs;
    this.#releaseDueMs = Number.POSITIVE_INFINITY;
    this.changed(nowMs);
  }

  /** It had its time to let go of something, and gets no more for anything. */
  isReleaseOverdue(nowMs: number): boolean {
    return nowMs >= this.#releaseDueMs;
  }

  /** Why its time is over, if it is. Who did not let go in time may begin things as long as it was told before. */
  overdue(nowMs: number): taskd.MemberOutReason | undefined {
    if (nowMs >= this.#dueMs) {
      return this.#isDisconnected
        ? taskd.MemberOutReason.MEMBER_OUT_REASON_DISCONNECTED
        : taskd.MemberOutReason.MEMBER_OUT_REASON_SESSION_TIMEOUT;
    }
    const hasTime = nowMs < this.#grantedMs + this.member.sessionTimeoutMs;
    if (this.isReleaseOverdue(nowMs) && !hasTime) return taskd.MemberOutReason.MEMBER_OUT_REASON_RELEASE_TIMEOUT;
    return undefined;
  }

  /** Tells the member all that it has; again by itself when the stream doesn't take it now. */
  push(): void {
    const { member } = this;
    this.#stream?.push({
      memberEpoch: member.epoch,
      assigned: topicPartitionsOf(member.assigned),
      standby: topicPartitionsOf(member.standby()),
      heartbeatMs: this.#beatMs,
      sessionTimeoutMs: member.sessionTimeoutMs,
      releaseTimeoutMs: member.releaseTimeoutMs,
      heard: this.#heard,
    });
  }

  end(error?: unknown): void {
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.end(error);
  }

  get #beatMs(): number {
    return Math.min(this.#heartbeatMs, Math.floor(this.member.sessionTimeoutMs / 3));
  }
}
