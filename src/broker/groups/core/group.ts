/**
 * One consumer group: who is in it, who owns which partition, and what was committed. Replay of records is the only
 * thing that changes it; every method here that changes something gets the epoch of the record that caused it.
 *
 * The way of one partition, where T is the member that shall have it:
 *
 * ```
 *  free ──a target──▶ assigned to T ──another target──▶ revoking (T still owns it) ──T let go, or is out──▶ free
 *                          ▲                                    │
 *                          └──────── T is the target again ─────┘
 * ```
 *
 * A partition is given out only when it is free, so it never has two owners, and it becomes free only by its owner's
 * own word or by the record that put the owner out. Whoever is not touched by a move notices nothing of it.
 */
import { placeOf, topicIdOf } from '../../../base/place.js';
import type { taskd } from '../../../wire/generated/messages.js';
import { Member } from './member.js';
import { placesOf } from './place.js';

/** Names of a static member's former processes that are remembered, so that they learn why they are out. */
const formerMax = 8;

/** A partition that somebody owns or shall have. */
interface Seat {
  owner: Member | undefined;
  /** Under which the owner got it. */
  grantedEpoch: number;
  /** Under which it was taken from its owner, who still has it; 0: it was not. */
  revokedEpoch: number;
  target: Member | undefined;
}

/** A seat by the names of its members; empty: nobody. */
export interface SeatState {
  readonly owner: string;
  readonly target: string;
  readonly grantedEpoch: number;
  readonly revokedEpoch: number;
}

export interface StoredOffset {
  readonly offset: number;
  readonly metadata: string;
}

/** What has changed since somebody looked; for pushes. */
export interface GroupChanges {
  /** What they have, or will get, is not what it was. */
  readonly members: Set<Member>;
  /** Out; why, and whether another process took its place. */
  readonly gone: Map<Member, taskd.MemberOutReason | 'replaced'>;
}

export class Group {
  readonly name: string;
  /** Of its members; empty when it never had any. */
  assignor = '';
  readonly members: Map<string, Member> = new Map<string, Member>();
  readonly offsets: Map<number, StoredOffset> = new Map<number, StoredOffset>();
  readonly changes: GroupChanges = { members: new Set(), gone: new Map() };
  /** Of the latest change of members or their topics. */
  epoch = 0;
  /** While it has no members: the epoch and the log's time since when, or of a later commit by hand. */
  idleSince = 0;
  idleSinceMs = 0;
  readonly #seats = new Map<number, Seat>();
  /** Places whose target doesn't own them, or that are being taken away. */
  readonly #moving = new Set<number>();
  readonly #byInstance = new Map<string, Member>();
  /** By instance id. */
  readonly #former = new Map<string, string[]>();

  constructor(name: string) {
    this.name = name;
  }

  /** Partitions on their way from one member to another. */
  get movingCount(): number {
    return this.#moving.size;
  }

  /** Partitions that somebody owns or shall have. */
  places(): IterableIterator<number> {
    return this.#seats.keys();
  }

  ownerOf(place: number): Member | undefined {
    return this.#seats.get(place)?.owner;
  }

  targetOf(place: number): Member | undefined {
    return this.#seats.get(place)?.target;
  }

  /** True when the member may commit there under that epoch. */
  mayCommit(member: Member, memberEpoch: number, place: number): boolean {
    const seat = this.#seats.get(place);
    return seat?.owner === member && memberEpoch >= seat.grantedEpoch;
  }

  memberOfInstance(instanceId: string): Member | undefined {
    return this.#byInstance.get(instanceId);
  }

  /** True for a process whose instance id another one has taken. */
  wasReplaced(memberId: string): boolean {
    for (const ids of this.#former.values()) if (ids.includes(memberId)) return true;
    return false;
  }

  /** A new member; with an instance id that is in use it takes the former one's place and partitions. */
  join(fields: taskd.MemberJoined, epoch: number): void {
    const member = new Member(this.name, fields.memberId, fields.instanceId);
    member.epoch = epoch;
    member.joinEpoch = epoch;
    member.describe(fields);
    const former = member.instanceId === '' ? undefined : this.#byInstance.get(member.instanceId);
    this.assignor = fields.assignor;
    this.members.set(member.memberId, member);
    if (former === undefined) this.epoch = epoch;
    else this.#replace(former, member, epoch);
    if (member.instanceId !== '') this.#byInstance.set(member.instanceId, member);
    this.changes.members.add(member);
  }

  /** A member that is in comes back. Without an epoch of its own it holds nothing of what it had. */
  rejoin(member: Member, fields: taskd.MemberJoined, epoch: number): void {
    member.joinEpoch = epoch;
    this.assignor = fields.assignor;
    if (member.describe(fields)) this.epoch = epoch;
    this.changes.members.add(member);
    if (fields.memberEpoch > 0) return;
    member.epoch = epoch;
    for (const place of member.assigned) this.#seats.get(place)!.grantedEpoch = epoch;
    this.#letGo(member, [...member.revoking], epoch);
  }

  /** Puts a member out; what it owned goes to whoever shall have it. */
  remove(member: Member, reason: taskd.MemberOutReason, epoch: number, nowMs: number): void {
    this.members.delete(member.memberId);
    if (this.#byInstance.get(member.instanceId) === member) this.#byInstance.delete(member.instanceId);
    this.#former.delete(member.instanceId);
    this.changes.members.delete(member);
    this.changes.gone.set(member, reason);
    this.epoch = epoch;
    for (const place of member.target) this.#seats.get(place)!.target = undefined;
    const wanted = [...member.target];
    member.target.clear();
    this.#letGo(member, [...member.assigned, ...member.revoking], epoch);
    for (const place of wanted) this.#settle(place, epoch);
    if (this.members.size === 0) this.idle(epoch, nowMs);
  }

  idle(epoch: number, nowMs: number): void {
    this.idleSince = epoch;
    this.idleSinceMs = nowMs;
  }

  /** Sets who shall have which places. A member that is out by now is passed over: a new plan follows its going. */
  retarget(moves: readonly taskd.TargetMove.$Properties[], epoch: number): void {
    const places: number[] = [];
    for (const move of moves) {
      const member = move.memberId ? this.members.get(move.memberId) : undefined;
      if (move.memberId && member === undefined) continue;
      for (const place of placesOf(move.partitions)) {
        this.#aim(place, member);
        places.push(place);
      }
    }
    for (const place of places) this.#settle(place, epoch);
  }

  /** What a member with this epoch has let go of, if it holds no more than `held`. */
  letGoBy(member: Member, memberEpoch: number, held: ReadonlySet<number>): number[] {
    const places: number[] = [];
    for (const place of member.revoking) {
      if (!held.has(place) && memberEpoch >= this.#seats.get(place)!.revokedEpoch) places.push(place);
    }
    return places;
  }

  /** The member has let go of places; only of those that were taken from it by what it has seen. */
  release(member: Member, memberEpoch: number, places: readonly number[], epoch: number): void {
    const free = [...new Set(places)].filter((place) => {
      const seat = this.#seats.get(place);
      return seat?.owner === member && seat.revokedEpoch > 0 && memberEpoch >= seat.revokedEpoch;
    });
    this.#letGo(member, free, epoch);
  }

  /** The topic is no more: nobody owns it, nobody shall have it, and its offsets are forgotten. */
  forgetTopic(topicId: number, epoch: number): void {
    for (const [place, seat] of this.#seats) {
      if (topicIdOf(place) !== topicId) continue;
      this.#aim(place, undefined);
      if (seat.owner !== undefined) {
        this.#changed(seat.owner, epoch);
        this.#letGo(seat.owner, [place], epoch);
      }
      this.#settle(place, epoch);
    }
    for (const place of this.offsets.keys()) if (topicIdOf(place) === topicId) this.offsets.delete(place);
  }

  /** For pieces: by place. */
  *seats(): Iterable<[number, SeatState]> {
    for (const [place, { owner, target, grantedEpoch, revokedEpoch }] of this.#seats) {
      yield [place, { owner: owner?.memberId ?? '', target: target?.memberId ?? '', grantedEpoch, revokedEpoch }];
    }
  }

  /** For pieces: former processes by instance id. */
  former(): ReadonlyMap<string, string[]> {
    return this.#former;
  }

  /** Takes in one piece of what `piecesOf` has made of a group; all of them, in order, make it anew. */
  restore(piece: taskd.GroupPiece): void {
    this.assignor = piece.assignor;
    this.epoch = piece.epoch;
    this.idleSince = piece.idleSince;
    this.idleSinceMs = piece.idleSinceMs;
    for (const { instanceId, memberIds } of piece.former) this.#former.set(instanceId ?? '', [...(memberIds ?? [])]);
    for (const { joined, epoch, joinEpoch } of piece.members) {
      if (joined) this.#restoreMember(joined as taskd.MemberJoined, epoch ?? 0, joinEpoch ?? 0);
    }
    for (const { partitions, owner, target, grantedEpoch, revokedEpoch } of piece.seats) {
      for (const place of placesOf(partitions)) {
        const seat = {
          owner: this.members.get(owner ?? ''),
          target: this.members.get(target ?? ''),
          grantedEpoch: grantedEpoch ?? 0,
          revokedEpoch: revokedEpoch ?? 0,
        };
        this.#restoreSeat(place, seat);
      }
    }
    for (const { topicId, partition, offset, metadata } of piece.offsets) {
      const stored = { offset: offset ?? 0, metadata: metadata ?? '' };
      this.offsets.set(placeOf(topicId ?? 0, partition ?? 0), stored);
    }
  }

  /** Everything that replay has made, in an order of its own: equal texts are equal states. */
  describe(): string {
    const members = [...this.members.values()].map((member) => ({
      ...member,
      assigned: sorted(member.assigned),
      revoking: sorted(member.revoking),
      target: sorted(member.target),
    }));
    const seats = [...this.#seats].map(([place, seat]) => [
      place,
      seat.owner?.memberId,
      seat.grantedEpoch,
      seat.revokedEpoch,
      seat.target?.memberId,
    ]);
    return JSON.stringify({
      name: this.name,
      assignor: this.assignor,
      epoch: this.epoch,
      idle: [this.idleSince, this.idleSinceMs],
      members: members.sort((a, b) => (a.memberId < b.memberId ? -1 : 1)),
      seats: seats.sort(([a], [b]) => (a as number) - (b as number)),
      moving: sorted(this.#moving),
      former: [...this.#former].sort(),
      offsets: [...this.offsets].sort(([a], [b]) => a - b),
    });
  }

  #restoreMember(fields: taskd.MemberJoined, epoch: number, joinEpoch: number): void {
    const member = new Member(this.name, fields.memberId, fields.instanceId);
    member.epoch = epoch;
    member.joinEpoch = joinEpoch;
    member.describe(fields);
    this.members.set(member.memberId, member);
    if (member.instanceId !== '') this.#byInstance.set(member.instanceId, member);
  }

  #restoreSeat(place: number, seat: Seat): void {
    const { owner, target, revokedEpoch } = seat;
    this.#seats.set(place, seat);
    if (owner !== undefined) (revokedEpoch > 0 ? owner.revoking : owner.assigned).add(place);
    if (target !== undefined) target.target.add(place);
    if (owner !== target) this.#moving.add(place);
  }

  #replace(former: Member, member: Member, epoch: number): void {
    this.members.delete(former.memberId);
    this.changes.gone.set(former, 'replaced');
    const ids = this.#former.get(member.instanceId) ?? [];
    this.#former.set(member.instanceId, [...ids, former.memberId].slice(-formerMax));
    if (member.topics.join() !== former.topics.join()) this.epoch = epoch;
    for (const place of [...former.target]) this.#aim(place, member);
    const revoked = [...former.revoking];
    for (const place of former.assigned) {
      const seat = this.#seats.get(place)!;
      seat.owner = member;
      seat.grantedEpoch = epoch;
      member.assigned.add(place);
    }
    former.assigned.clear();
    // The new process holds nothing of what was being taken away.
    this.#letGo(former, revoked, epoch);
    this.changes.members.delete(former);
  }

  #aim(place: number, member: Member | undefined): void {
    let seat = this.#seats.get(place);
    if (seat === undefined) {
      if (member === undefined) return;
      seat = { owner: undefined, grantedEpoch: 0, revokedEpoch: 0, target: undefined };
      this.#seats.set(place, seat);
    }
    if (seat.target === member) return;
    if (seat.target !== undefined) {
      seat.target.target.delete(place);
      this.changes.members.add(seat.target);
    }
    seat.target = member;
    if (member === undefined) return;
    member.target.add(place);
    this.changes.members.add(member);
  }

  #letGo(member: Member, places: readonly number[], epoch: number): void {
    for (const place of places) {
      member.assigned.delete(place);
      member.revoking.delete(place);
      const seat = this.#seats.get(place)!;
      seat.owner = undefined;
      seat.revokedEpoch = 0;
      this.#settle(place, epoch);
    }
  }

  /** Brings a place one step nearer to its target. */
  #settle(place: number, epoch: number): void {
    const seat = this.#seats.get(place);
    if (seat === undefined) return;
    const { owner, target } = seat;
    if (owner === undefined) {
      if (target !== undefined) this.#grant(place, seat, target, epoch);
    } else if (owner === target) {
      if (seat.revokedEpoch > 0) this.#keep(place, seat, owner, epoch);
    } else if (seat.revokedEpoch === 0) {
      seat.revokedEpoch = epoch;
      owner.assigned.delete(place);
      owner.revoking.add(place);
      this.#changed(owner, epoch);
    }
    if (seat.owner !== seat.target) this.#moving.add(place);
    else this.#moving.delete(place);
    if (seat.owner === undefined && seat.target === undefined) this.#seats.delete(place);
  }

  #grant(place: number, seat: Seat, member: Member, epoch: number): void {
    seat.owner = member;
    seat.grantedEpoch = epoch;
    member.assigned.add(place);
    this.#changed(member, epoch);
  }

  /** It was to be taken away, and stays after all. */
  #keep(place: number, seat: Seat, owner: Member, epoch: number): void {
    seat.revokedEpoch = 0;
    owner.revoking.delete(place);
    owner.assigned.add(place);
    this.#changed(owner, epoch);
  }

  #changed(member: Member, epoch: number): void {
    member.epoch = epoch;
    this.changes.members.add(member);
  }
}

function sorted(numbers: Iterable<number>): number[] {
  return [...numbers].sort((a, b) => a - b);
}
