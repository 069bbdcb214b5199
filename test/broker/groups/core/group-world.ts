import { ErrorCode } from '../../../../src/base/errors.js';
import { partitionOf, placeOf, topicIdOf } from '../../../../src/base/place.js';
import { BatchBuilder } from '../../../../src/batch/builder.js';
import { BatchClass, headerBytes } from '../../../../src/batch/header.js';
import { type NewRecord, readRecords, type StoredRecord } from '../../../../src/batch/record.js';
import type { Assignor } from '../../../../src/broker/groups/assign/assignor.js';
import { StickyAssignor } from '../../../../src/broker/groups/assign/sticky-assignor.js';
import type { Group } from '../../../../src/broker/groups/core/group.js';
import {
  memberJoined,
  memberOut,
  offsetsCommitted,
  partitionsReleased,
  targetChanged,
} from '../../../../src/broker/groups/core/group-record.js';
import { GroupShard, type GroupVerdict } from '../../../../src/broker/groups/core/group-shard.js';
import { topicPartitionsOf } from '../../../../src/broker/groups/core/place.js';
import { type KnownTopic, planTarget } from '../../../../src/broker/groups/core/target-plan.js';
import type { SeededRandom } from '../../../../src/runtime/sim/seeded-random.js';

export const groupName = 'g';

interface Push {
  readonly epoch: number;
  readonly assigned: ReadonlySet<number>;
}

/** A member as its own process sees itself. What it sends and is sent takes time, in order. */
export class WorldMember {
  readonly id: string;
  readonly instanceId: string;
  topics: readonly string[];
  epoch = 0;
  /** What it consumes, or has in work. */
  readonly held: Set<number> = new Set<number>();
  /** What it was told to let go and has not. */
  readonly leaving: Set<number> = new Set<number>();
  readonly pushes: Push[] = [];
  readonly beats: { readonly epoch: number; readonly held: ReadonlySet<number> }[] = [];
  isConnected = false;
  /** Pauses: how often something that it consumed was taken from it. */
  revocations = 0;

  constructor(id: string, instanceId: string, topics: readonly string[]) {
    this.id = id;
    this.instanceId = instanceId;
    this.topics = topics;
  }

  take({ epoch, assigned }: Push): void {
    this.epoch = epoch;
    for (const place of this.held) {
      if (assigned.has(place)) this.leaving.delete(place);
      else if (!this.leaving.has(place)) {
        this.leaving.add(place);
        this.revocations++;
      }
    }
    for (const place of assigned) this.held.add(place);
  }

  letGo(place: number): void {
    this.leaving.delete(place);
    this.held.delete(place);
  }

  drop(): void {
    this.held.clear();
    this.leaving.clear();
    this.pushes.length = 0;
    this.beats.length = 0;
    this.epoch = 0;
    this.isConnected = false;
  }
}

/**
 * The core of one coordinator with its members and nothing else: records that are decided are replayed later, in order;
 * pushes and beats are on their way for a while. `check` says what must hold after every step.
 */
export class GroupWorld {
  readonly topics: Map<string, KnownTopic> = new Map<string, KnownTopic>();
  readonly members: Map<string, WorldMember> = new Map<string, WorldMember>();
  readonly assignor: Assignor;
  shard: GroupShard = new GroupShard();
  movesPlanned = 0;
  steps = 0;
  readonly #random: SeededRandom;
  readonly #log: StoredRecord[] = [];
  /** Where the log begins. */
  #start = 0;
  #pending: { readonly record: NewRecord; readonly done: (verdict: GroupVerdict) => void }[] = [];
  #planned = -1;
  #isPlanning = false;
  /** Joins whose record is on its way. */
  readonly #joining = new Set<WorldMember>();
  readonly #releasing = new Set<WorldMember>();
  /** By place, the highest offset that its owner was told is committed. */
  readonly #committed = new Map<number, number>();
  #commits = 0;

  constructor(random: SeededRandom, assignor: Assignor = new StickyAssignor()) {
    this.#random = random;
    this.assignor = assignor;
  }

  get group(): Group | undefined {
    return this.shard.groups.get(groupName);
  }

  get records(): number {
    return this.#log.length;
  }

  get pending(): number {
    return this.#pending.length;
  }

  write(record: NewRecord, done: (verdict: GroupVerdict) => void = () => {}): void {
    this.#pending.push({ record, done });
  }

  join(member: WorldMember): void {
    if (this.#joining.has(member)) return;
    this.members.set(member.id, member);
    this.#joining.add(member);
    // Whoever opens a stream takes nothing more from the one before.
    member.isConnected = false;
    member.pushes.length = 0;
    const held = new Set(member.held);
    const { id: memberId, instanceId, topics, epoch: memberEpoch } = member;
    const fields = { group: groupName, memberId, instanceId, topics: [...topics], assignor: this.assignor.name };
    this.write(memberJoined({ ...fields, memberEpoch, sessionTimeoutMs: 1, releaseTimeoutMs: 1 }), ({ refusal }) => {
      this.#joining.delete(member);
      if (!this.members.has(memberId)) return;
      if (refusal !== undefined) {
        if (refusal.code === ErrorCode.MEMBER_FENCED) this.kill(member);
        member.drop();
        return;
      }
      const known = this.group!.members.get(memberId)!;
      for (const place of held) if (!known.owns(place)) throw new Error(`${memberId} holds ${place} unknown to all`);
      member.isConnected = true;
      this.#push(memberId);
    });
  }

  /** Puts out whoever the coordinator gives up; the process learns it when the push comes. */
  putOut(memberId: string): void {
    const known = this.group?.members.get(memberId);
    if (known === undefined) return;
    this.write(memberOut({ group: groupName, memberId, joinEpoch: known.joinEpoch, reason: this.#random.below(4) }));
  }

  /** The member's process is gone; the coordinator knows nothing of it. */
  kill(member: WorldMember): void {
    this.members.delete(member.id);
  }

  cut(member: WorldMember): void {
    member.isConnected = false;
    member.pushes.length = 0;
    member.beats.length = 0;
  }

  commit(member: WorldMember, place: number): void {
    const offset = ++this.#commits;
    const { epoch: memberEpoch, id: memberId } = member;
    const offsets = [{ topicId: topicIdOf(place), partition: partitionOf(place), offset }];
    this.write(offsetsCommitted({ group: groupName, memberId, memberEpoch, offsets }), ({ refusal, fenced }) => {
      const isTaken = refusal === undefined && !fenced.has(place);
      if (isTaken !== (this.group?.offsets.get(place)?.offset === offset)) throw new Error(`commit of ${place} lies`);
      if (isTaken && this.group?.ownerOf(place)?.memberId !== memberId) throw new Error(`${place} was not its own`);
      if (isTaken) this.#committed.set(place, offset);
    });
  }

  beat(member: WorldMember): void {
    if (member.isConnected) member.beats.push({ epoch: member.epoch, held: new Set(member.held) });
  }

  /** The oldest push of a member arrives. */
  deliver(member: WorldMember): void {
    const push = member.pushes.shift();
    if (push !== undefined) member.take(push);
  }

  /** The oldest beat of a member arrives. */
  hear(member: WorldMember): void {
    const beat = member.beats.shift();
    const group = this.group;
    const known = group?.members.get(member.id);
    if (beat === undefined || group === undefined || known === undefined || this.#releasing.has(member)) return;
    const places = group.letGoBy(known, beat.epoch, beat.held);
    if (places.length === 0) return;
    this.#releasing.add(member);
    const partitions = topicPartitionsOf(places);
    this.write(partitionsReleased({ group: groupName, memberId: member.id, memberEpoch: beat.epoch, partitions }), () =>
      this.#releasing.delete(member),
    );
  }

  plan(): void {
    const { group } = this;
    if (group === undefined || this.#isPlanning || group.epoch === this.#planned) return;
    this.#planned = group.epoch;
    const moves = planTarget(
      group,
      this.assignor,
      (name) => this.topics.get(name),
      () => 0,
    );
    if (moves.length === 0) return;
    for (const move of moves) for (const each of move.partitions ?? []) this.movesPlanned += each.partitions!.length;
    this.#isPlanning = true;
    this.write(targetChanged({ group: groupName, moves }), () => {
      this.#isPlanning = false;
    });
  }

  /** Something about the topics is new. */
  replan(): void {
    this.#planned = -1;
  }

  replay(): void {
    const next = this.#pending.shift();
    if (next === undefined) return;
    const record = this.#store(next.record);
    const verdict = replayOne(this.shard, record);
    this.#drain();
    next.done(verdict);
    this.check();
  }

  /** A new coordinator: what was not in the log is lost, what was is all it knows, and everybody must come back. */
  restart(): void {
    this.#pending = [];
    this.#joining.clear();
    this.#releasing.clear();
    this.#isPlanning = false;
    const before = this.shard.describe();
    this.shard = this.replayed();
    if (this.shard.describe() !== before) throw new Error('the log gives another state than the live one');
    this.#planned = -1;
    for (const member of this.members.values()) this.cut(member);
  }

  /** All groups are written again; once they are read back, the log before them goes. Another record may come between. */
  rewrite(): void {
    const pieces = this.shard.pieces();
    const late = this.#random.below(3) === 0 ? this.#random.below(pieces.length) : -1;
    const before = this.shard.describe();
    let isWhole = true;
    for (const [i, piece] of pieces.entries()) {
      if (i === late) this.replay();
      if (replayOne(this.shard, this.#store(piece)).refusal !== undefined) isWhole = false;
    }
    if (isWhole && this.shard.describe() !== before) throw new Error('pieces have changed the state');
    if (isWhole) this.#start = this.shard.base!;
  }

  /** A shard made from the log alone. */
  replayed(): GroupShard {
    const shard = new GroupShard();
    for (const record of this.#log.slice(this.#start)) replayOne(shard, record);
    return shard;
  }

  /** What must hold at every moment, whatever is on its way. */
  check(): void {
    this.steps++;
    const group = this.group;
    if (group === undefined) return;
    const owners = new Map<number, string>();
    for (const known of group.members.values()) {
      const member = this.members.get(known.memberId);
      for (const place of [...known.assigned, ...known.revoking]) {
        if (owners.has(place)) throw new Error(`${place} is ${owners.get(place)}'s and ${known.memberId}'s`);
        owners.set(place, known.memberId);
        if (group.ownerOf(place) !== known) throw new Error(`${place} has another owner than ${known.memberId}`);
      }
      // As the processes see it: a member that is in holds nothing that another one owns.
      for (const place of member?.held ?? []) {
        if (!known.owns(place)) throw new Error(`${known.memberId} consumes ${place}, which is not its own`);
      }
    }
    for (const [place, offset] of this.#committed) {
      const stored = group.offsets.get(place)?.offset ?? 0;
      if (stored < offset) throw new Error(`offset ${offset} of ${place} was promised, ${stored} is stored`);
    }
  }

  /** Lets everything come to rest: all is delivered, all let go, all replayed. */
  settle(): void {
    let rounds = 0;
    for (let isBusy = true; isBusy; ) {
      isBusy = false;
      if (++rounds > 1_000) throw new Error('it does not come to rest');
      while (this.#pending.length > 0) {
        isBusy = true;
        this.replay();
      }
      this.plan();
      if (this.#pending.length > 0) isBusy = true;
      for (const member of this.members.values()) {
        if (!member.isConnected && !this.#joining.has(member)) {
          isBusy = true;
          this.join(member);
        }
        while (member.pushes.length > 0) {
          isBusy = true;
          this.deliver(member);
        }
        if (member.leaving.size > 0) {
          isBusy = true;
          for (const place of member.leaving) member.letGo(place);
          this.beat(member);
        } else if ((this.group?.members.get(member.id)?.revoking.size ?? 0) > 0) {
          isBusy = true;
          this.beat(member);
        }
        while (member.beats.length > 0) this.hear(member);
      }
    }
  }

  #push(memberId: string): void {
    const known = this.group?.members.get(memberId);
    const member = this.members.get(memberId);
    if (known === undefined || member?.isConnected !== true) return;
    member.pushes.push({ epoch: known.epoch, assigned: new Set(known.assigned) });
  }

  #drain(): void {
    for (const group of this.shard.touched) {
      for (const [{ memberId }, reason] of group.changes.gone) {
        this.members.get(memberId)?.drop();
        // Another process has its place: it stops.
        if (reason === 'replaced') this.members.delete(memberId);
      }
      for (const member of group.changes.members) this.#push(member.memberId);
      group.changes.gone.clear();
      group.changes.members.clear();
    }
    this.shard.touched.clear();
  }

  #store(record: NewRecord): StoredRecord {
    const stored = storedRecord(record, this.#log.length);
    this.#log.push(stored);
    return stored;
  }
}

/** The record as a log gives it back. */
export function storedRecord(record: NewRecord, offset: number): StoredRecord {
  const builder = new BatchBuilder();
  builder.append(record);
  const bytes = builder.finish({ baseTimestamp: 0, batchClass: BatchClass.OWNER });
  let stored: StoredRecord | undefined;
  readRecords(bytes.subarray(headerBytes), offset, 1, (each) => {
    stored = each;
  });
  return stored!;
}

function replayOne(shard: GroupShard, record: StoredRecord): GroupVerdict {
  const { offset } = record;
  return shard.replay(record, {
    baseOffset: offset,
    appendTimestampMs: 1_000 + offset,
    batchClass: BatchClass.OWNER,
    records: [record],
  });
}

/** Topics by name, with ids from 1. */
export function addTopic(world: GroupWorld, name: string, partitions: number): void {
  world.topics.set(name, { topicId: world.topics.get(name)?.topicId ?? world.topics.size + 1, partitions });
  world.replan();
}

export function allPlaces(world: GroupWorld, names: Iterable<string>): number[] {
  const places: number[] = [];
  for (const name of names) {
    const topic = world.topics.get(name);
    for (let i = 0; i < (topic?.partitions ?? 0); i++) places.push(placeOf(topic!.topicId, i));
  }
  return places;
}
