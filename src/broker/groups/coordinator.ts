/**
 * Coordinates the groups of one partition of `__groups`.
 *
 * States: reading (the log is being replayed; all is refused with NOT_READY) → active → closed; and → lost when the log
 * can't be read on.
 *
 * Everything that is decided is a record first, and what it did is known when it was read back: nobody is told of a
 * partition, and no commit is answered, before that. Order of effects after a batch was replayed: 1. streams of those
 * who are out end; 2. those whose assignment changed are told; 3. at the end of the turn, groups whose members or topics
 * changed are planned anew; 4. whoever wrote gets the verdict. Commits that wait are written before any other record.
 *
 * Time decides only who is put out, and is forgiving: after a start, and whenever a tick of the clock comes late (then it
 * was this process that stood still), every member has its full time again.
 */
import { ErrorCode, TaskdError } from '../../base/errors.js';
import { groupBeatMs } from '../../base/limits.js';
import { partitionOf, topicIdOf } from '../../base/place.js';
import type { NewRecord } from '../../batch/record.js';
import { formatAddress } from '../../runtime/net.js';
import type { Runtime } from '../../runtime/runtime.js';
import { taskd } from '../../wire/generated/messages.js';
import type { Assignor } from './assign/assignor.js';
import type { GroupTopics } from './broker-topics.js';
import { CommitQueue } from './commit-queue.js';
import type { Group } from './core/group.js';
import { groupRemoved, memberJoined, memberOut, partitionsReleased, topicGone } from './core/group-record.js';
import { GroupShard, type GroupVerdict, replaced, unknownMember } from './core/group-shard.js';
import type { Member } from './core/member.js';
import { placesOf, topicPartitionsOf } from './core/place.js';
import { GroupLog, type GroupLogOptions, type GroupPartition } from './group-log.js';
import {
  groupFull,
  groupMembersMax,
  groupsMax,
  notOwned,
  notReady,
  refusedOffset,
  releaseMs,
  sessionMs,
  stopping,
  tooManyGroups,
} from './group-rules.js';
import { HandGroups } from './hand-groups.js';
import { MemberSession, type MemberStream } from './member-session.js';
import { TargetPlanner } from './target-planner.js';

/** A group without members is forgotten after this, by the log's own time. */
export const offsetsKeptMs: number = 7 * 24 * 60 * 60 * 1_000;

/** This assignor's answer depends on what members say in their beats. */
const byLoad = 'least-dispatched';

const Reason = taskd.MemberOutReason;

export class GroupCoordinator {
  readonly shard: GroupShard = new GroupShard();
  readonly commits: CommitQueue;
  readonly byHand: HandGroups = new HandGroups((name) => {
    const group = this.shard.groups.get(name);
    return group === undefined ? this.commits.hasPending(name) || this.#joining.has(name) : group.members.size === 0;
  });
  readonly #runtime: Runtime;
  readonly #topics: GroupTopics;
  readonly #log: GroupLog;
  readonly #sessions = new Map<Member, MemberSession>();
  /** Joins and resets whose record is on its way, by group: each may become a member, or make the group. */
  readonly #joining = new Map<string, number>();
  readonly #planner: TargetPlanner;
  readonly #removing = new Set<string>();
  #state: 'reading' | 'active' | 'closed' | 'lost' = 'reading';
  #trouble: TaskdError | undefined;
  #activeSinceMs = 0;
  /** Read by metrics. */
  expiredTotal = 0;

  constructor(
    runtime: Runtime,
    partition: GroupPartition,
    topics: GroupTopics,
    assignors: ReadonlyMap<string, Assignor>,
    options: GroupLogOptions = {},
  ) {
    this.#runtime = runtime;
    this.#topics = topics;
    this.#log = new GroupLog(this.shard, partition, runtime.logger, options);
    this.commits = new CommitQueue(
      runtime,
      (records) => this.#log.write(records),
      (place) => refusedOffset(runtime, topicIdOf(place), partitionOf(place), notOwned()),
    );
    this.#planner = new TargetPlanner(runtime, assignors, topics, {
      write: (record) => this.write([record]),
      loadOf: (place, owner) => (owner === undefined ? 0 : (this.#sessions.get(owner)?.load.get(place) ?? 0)),
      isCurrent: (group) => this.#state === 'active' && this.shard.groups.get(group.name) === group,
    });
    this.shard.onReplayed = () => this.#replayed();
    this.shard.onCaughtUp = () => this.#caughtUp();
    this.shard.onTrouble = (error) => {
      this.#trouble = error;
    };
    this.shard.onLost = () => this.#lost();
  }

  /** Why nothing is served, if so. */
  get refusal(): TaskdError | undefined {
    if (this.#trouble !== undefined) return this.#trouble;
    if (this.#state === 'active') return undefined;
    return this.#state === 'reading' ? notReady() : stopping();
  }

  /** Read by metrics: how often a target changed, and partitions that it moved. */
  get planner(): { readonly rebalancesTotal: number; readonly movesTotal: number } {
    return this.#planner;
  }

  get memberCount(): number {
    return this.#sessions.size;
  }

  start(): void {
    this.#log.start();
  }

  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    const reason = stopping();
    this.commits.close(reason);
    for (const session of this.#sessions.values()) session.end(reason);
    this.#sessions.clear();
    this.#log.close(reason);
  }

  session(member: Member): MemberSession | undefined {
    return this.#sessions.get(member);
  }

  /** Appends records behind all commits that came before; resolves with the verdicts of replay. */
  write(records: readonly NewRecord[]): Promise<readonly GroupVerdict[]> {
    this.commits.flush();
    return this.#log.write(records);
  }

  /** Why the group can't be made, which is not there, when there may be `most`; those on their way count. */
  noRoom(group: string, most: number): TaskdError | undefined {
    const count = this.shard.groups.size + this.#joining.size + this.commits.newGroups;
    return count >= most ? tooManyGroups(group) : undefined;
  }

  /** Appends a record that may make the group. Otherwise as `write`. */
  async writeNew(group: string, record: NewRecord): Promise<GroupVerdict> {
    this.#countJoin(group, 1);
    try {
      const [verdict] = await this.write([record]);
      return verdict!;
    } finally {
      this.#countJoin(group, -1);
    }
  }

  // ---- what members say

  /** `request` has passed `joinProblem`. */
  join(request: taskd.JoinGroupRequest, stream: MemberStream): void {
    const group = this.shard.groups.get(request.group);
    const refusal = this.refusal ?? this.#full(request, group);
    if (refusal !== undefined) {
      stream.end(refusal);
      return;
    }
    const known = group?.members.get(request.memberId);
    if (known !== undefined) this.#sessions.get(known)?.seen(this.#runtime.clock.monotonicMs());
    this.#countJoin(request.group, 1);
    this.write([this.#joinRecord(request, stream)]).then(
      ([verdict]) => {
        this.#countJoin(request.group, -1);
        if (verdict!.refusal === undefined) this.#joined(request, stream);
        else stream.end(verdict!.refusal);
      },
      (error: unknown) => {
        this.#countJoin(request.group, -1);
        stream.end(error);
      },
    );
  }

  beat(beat: taskd.GroupBeat): void {
    const group = this.shard.groups.get(beat.group);
    const member = group?.members.get(beat.memberId);
    const session = member === undefined ? undefined : this.#sessions.get(member);
    if (group === undefined || session === undefined || this.#state !== 'active') return;
    const nowMs = this.#runtime.clock.monotonicMs();
    session.seen(nowMs);
    session.heard(beat.number, nowMs);
    session.beat(beat, new Set(placesOf(beat.owned)));
    this.#release(group, session);
  }

  /** Resolves when the member is out; also when it was not in. */
  async leave({ group, memberId }: taskd.LeaveGroupRequest): Promise<void> {
    if (this.refusal !== undefined) throw this.refusal;
    await this.write([memberOut({ group, memberId, reason: Reason.MEMBER_OUT_REASON_LEFT })]);
  }

  // ---- time

  /** To be called several times a second; `wasLate` when much more time has passed than was planned. */
  tick(nowMs: number, wasLate: boolean): void {
    if (this.#state !== 'active') return;
    this.#planner.planSoon();
    this.#log.tidy();
    for (const session of this.#sessions.values()) {
      if (wasLate) session.restartTimers(nowMs);
      const reason = session.overdue(nowMs);
      if (reason !== undefined) this.#putOut(session, reason);
    }
  }

  /** To be called now and then: forgets groups that nobody uses any more, and looks again at how work is spread. */
  sweep(): void {
    if (this.#state !== 'active') return;
    for (const group of this.shard.groups.values()) if (group.assignor === byLoad) this.#planner.changed(group);
    const nowMs = this.#runtime.clock.wallMs();
    for (const group of this.shard.groups.values()) {
      if (group.members.size > 0 || group.idleSince === 0 || this.#joining.has(group.name)) continue;
      const keptMs = group.offsets.size === 0 ? 0 : offsetsKeptMs;
      if (nowMs - group.idleSinceMs >= keptMs) this.#forget(group, keptMs);
    }
  }

  /** The topics that there are, or their partitions, are not what they were. */
  topicsChanged(): void {
    if (this.#state !== 'active') return;
    const gone = new Set<number>();
    for (const group of this.shard.groups.values()) {
      this.#planner.changed(group);
      for (const places of [group.places(), group.offsets.keys()]) {
        for (const place of places) if (!this.#topics.has(topicIdOf(place))) gone.add(topicIdOf(place));
      }
    }
    if (gone.size > 0) this.#tell(this.write([...gone].map((topicId) => topicGone(topicId))));
  }

  // ---- inside

  #full(request: taskd.JoinGroupRequest, group: Group | undefined): TaskdError | undefined {
    if (group === undefined) return this.noRoom(request.group, groupsMax);
    if (group.members.has(request.memberId)) return undefined;
    if (request.instanceId !== '' && group.memberOfInstance(request.instanceId) !== undefined) return undefined;
    const count = group.members.size + (this.#joining.get(request.group) ?? 0);
    return count >= groupMembersMax ? groupFull(request.group) : undefined;
  }

  #countJoin(group: string, by: number): void {
    const count = (this.#joining.get(group) ?? 0) + by;
    if (count === 0) this.#joining.delete(group);
    else this.#joining.set(group, count);
  }

  #joinRecord(request: taskd.JoinGroupRequest, { peer }: MemberStream): NewRecord {
    const { group, memberId, instanceId, topics, memberEpoch } = request;
    return memberJoined({
      group,
      memberId,
      instanceId,
      topics,
      assignor: request.assignor || 'sticky',
      sessionTimeoutMs: sessionMs(request),
      releaseTimeoutMs: releaseMs(request),
      memberEpoch,
      clientId: request.clientId || peer.clientId,
      host: formatAddress(peer.address),
    });
  }

  #joined(request: taskd.JoinGroupRequest, stream: MemberStream): void {
    const group = this.shard.groups.get(request.group);
    const member = group?.members.get(request.memberId);
    if (group === undefined || member === undefined || this.#state !== 'active') {
      // Others came between: it is out again already, or this process stops.
      const wasReplaced = group?.wasReplaced(request.memberId) === true;
      stream.end(
        this.refusal ?? (wasReplaced ? replaced(request.memberId) : unknownMember(request.group, request.memberId)),
      );
      return;
    }
    const nowMs = this.#runtime.clock.monotonicMs();
    const session = this.#need(member, nowMs);
    const held = new Set(request.memberEpoch === 0 ? [] : placesOf(request.owned));
    if (session.isReleaseOverdue(nowMs) && [...member.revoking.keys()].some((place) => held.has(place))) {
      // It joins anew because it got no more time, and begins nothing before it is told something.
      stream.end(unknownMember(request.group, request.memberId));
      this.#putOut(session, Reason.MEMBER_OUT_REASON_RELEASE_TIMEOUT);
      return;
    }
    const before = session.connect(stream, nowMs);
    before?.end(new TaskdError(ErrorCode.SUPERSEDED, 'this member has opened another stream'));
    stream.onClose(() => this.#closed(session, stream));
    for (const place of held) {
      if (member.owns(place)) continue;
      this.#putOut(session, Reason.MEMBER_OUT_REASON_WRONG_CLAIM);
      return;
    }
    session.heldEpoch = request.memberEpoch;
    session.held = held;
    session.push();
    this.#release(group, session);
  }

  #closed(session: MemberSession, stream: MemberStream): void {
    if (!session.disconnect(stream)) return;
    // A static member may restart; and who was sent away, or came to a coordinator that is new, may not have had time
    // to come back yet.
    const nowMs = this.#runtime.clock.monotonicMs();
    const { instanceId, sessionTimeoutMs } = session.member;
    if (instanceId !== '' || stream.peer.isSentAway || nowMs - this.#activeSinceMs <= sessionTimeoutMs) return;
    session.isLeft(nowMs);
  }

  #release(group: Group, session: MemberSession): void {
    const { member } = session;
    if (session.isReleasePending || member.revoking.size === 0) return;
    const memberEpoch = session.heldEpoch;
    const places = group.letGoBy(member, memberEpoch, session.held);
    if (places.length === 0) return;
    session.isReleasePending = true;
    const { memberId } = member;
    const partitions = topicPartitionsOf(places);
    const written = this.write([partitionsReleased({ group: group.name, memberId, memberEpoch, partitions })]);
    this.#tell(written, () => {
      session.isReleasePending = false;
      if (this.#sessions.get(member) === session) this.#release(group, session);
    });
  }

  #putOut(session: MemberSession, reason: taskd.MemberOutReason): void {
    const { member } = session;
    if (session.isOutPending) return;
    session.isOutPending = true;
    const { group, memberId, joinEpoch } = member;
    this.#tell(this.write([memberOut({ group, memberId, reason, joinEpoch })]), () => {
      session.isOutPending = false;
    });
  }

  #forget(group: Group, keptMs: number): void {
    if (this.#removing.has(group.name)) return;
    this.#removing.add(group.name);
    const record = groupRemoved({ group: group.name, idleSince: group.idleSince, keptMs });
    this.#tell(this.write([record]), () => {
      this.#removing.delete(group.name);
      if (this.shard.groups.get(group.name) !== group) this.expiredTotal++;
    });
  }

  // ---- the log

  #caughtUp(): void {
    this.#trouble = undefined;
    if (this.#state !== 'reading') return;
    this.#state = 'active';
    const nowMs = this.#runtime.clock.monotonicMs();
    this.#activeSinceMs = nowMs;
    for (const group of this.shard.groups.values()) {
      for (const member of group.members.values()) this.#need(member, nowMs);
    }
    this.topicsChanged();
  }

  #replayed(): void {
    const nowMs = this.#runtime.clock.monotonicMs();
    for (const group of this.shard.touched) {
      const { gone, members } = group.changes;
      if (this.#state === 'active') {
        for (const [member, reason] of gone) this.#gone(member, reason);
        for (const member of members) {
          const session = this.#need(member, nowMs);
          session.changed(nowMs);
          session.push();
        }
        this.#planner.looked(group);
      }
      gone.clear();
      members.clear();
    }
    this.shard.touched.clear();
  }

  #gone(member: Member, reason: taskd.MemberOutReason | 'replaced'): void {
    const { group, memberId } = member;
    const why = typeof reason === 'string' ? reason : Reason[reason].slice('MEMBER_OUT_REASON_'.length).toLowerCase();
    this.#runtime.logger.info({ group, memberId, why }, 'a member of a consumer group is out');
    const session = this.#sessions.get(member);
    this.#sessions.delete(member);
    if (session === undefined) return;
    if (reason === 'replaced') session.end(replaced(member.memberId));
    else if (reason === Reason.MEMBER_OUT_REASON_LEFT) session.end();
    else session.end(outBecause(member, reason));
  }

  #need(member: Member, nowMs: number): MemberSession {
    let session = this.#sessions.get(member);
    if (session === undefined) {
      session = new MemberSession(member, nowMs, groupBeatMs);
      this.#sessions.set(member, session);
    }
    return session;
  }

  #lost(): void {
    const message = 'the log of the consumer groups can not be read on: mend the disk, start again';
    this.#trouble = new TaskdError(ErrorCode.DATA_LOSS, message);
    this.commits.close(this.#trouble);
    for (const session of this.#sessions.values()) session.end(this.#trouble);
    this.#sessions.clear();
    this.#state = 'lost';
  }

  /** Nobody waits for this write: what can't be written is tried again by the next tick that finds it due. */
  #tell(write: Promise<readonly GroupVerdict[]>, done: () => void = () => {}): void {
    write.then(done, (error: unknown) => {
      done();
      if (this.#state !== 'active') return;
      this.#runtime.logger.warn({ error: String(error) }, 'a record of the consumer groups could not be written');
    });
  }
}

function outBecause(member: Member, reason: taskd.MemberOutReason): TaskdError {
  const { group, memberId, sessionTimeoutMs, releaseTimeoutMs } = member;
  const why: Partial<Record<taskd.MemberOutReason, string>> = {
    [Reason.MEMBER_OUT_REASON_SESSION_TIMEOUT]: `sent no beat for ${sessionTimeoutMs} ms`,
    [Reason.MEMBER_OUT_REASON_RELEASE_TIMEOUT]: `did not let go of partitions within ${releaseTimeoutMs} ms`,
    [Reason.MEMBER_OUT_REASON_DISCONNECTED]: 'closed its connection',
    [Reason.MEMBER_OUT_REASON_WRONG_CLAIM]: 'claimed partitions that are not its own',
  };
  const message = `member "${memberId}" of group "${group}" ${why[reason] ?? 'is out'}: drop all and join again with epoch 0`;
  return new TaskdError(ErrorCode.UNKNOWN_MEMBER, message);
}
