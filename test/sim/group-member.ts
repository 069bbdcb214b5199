import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import { partitionOf, topicIdOf } from '../../src/base/place.js';
import { placesOf, topicPartitionsOf } from '../../src/broker/groups/core/place.js';
import { Connections } from '../../src/rpc/connections.js';
import type { Address } from '../../src/runtime/net.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import type { SimProcess } from '../../src/runtime/sim/sim-process.js';
import type { taskd } from '../../src/wire/generated/messages.js';
import { commitOffsets, fetchOffsets, groupBeat, joinGroup, leaveGroup } from '../../src/wire/methods.js';
import type { GroupLedger, Holder } from './group-ledger.js';

const group = 'g';

/** A partition that a member consumes. */
interface Work {
  /** Undefined until the coordinator has said where to begin. */
  position: number | undefined;
  isLeaving: boolean;
}

/** One life of a consumer, made of the bare protocol: what docs/protocol.md tells a stranger to do. */
export class GroupMember implements Holder {
  readonly memberId: string;
  readonly instanceId: string;
  readonly process: SimProcess;
  readonly life: number;
  readonly held: Map<number, Work> = new Map<number, Work>();
  isStreamOpen = false;
  readonly #runtime: Runtime;
  readonly #ledger: GroupLedger;
  readonly #connections: Connections;
  readonly #address: Address;
  readonly #topic: string;
  #epoch = 0;
  #heartbeatMs = 1_000;
  #stream: { cancel(): void } | undefined;
  #generation = 0;
  #isOver = false;

  constructor(
    runtime: Runtime,
    process: SimProcess,
    ledger: GroupLedger,
    options: { readonly address: Address; readonly topic: string; readonly instanceId: string },
  ) {
    this.process = process;
    this.life = process.lives;
    this.memberId = `${process.name}#${this.life}`;
    this.instanceId = options.instanceId;
    this.#runtime = runtime;
    this.#ledger = ledger;
    this.#address = options.address;
    this.#topic = options.topic;
    this.#connections = new Connections(runtime, { clientId: process.name, kind: 'client' });
  }

  start(): void {
    this.#ledger.begins(this);
    this.#open();
    this.#beatOn();
    this.#work();
  }

  /** Lets go of all, and leaves. */
  async stop(): Promise<void> {
    this.#isOver = true;
    this.held.clear();
    this.#ledger.ends(this);
    await this.#caller.call(leaveGroup, { group, memberId: this.memberId }).catch(() => {});
  }

  get #caller() {
    return this.#connections.to(this.#address);
  }

  #open(): void {
    if (this.#isOver) return;
    const generation = ++this.#generation;
    const isCurrent = (): boolean => generation === this.#generation && !this.#isOver;
    const request = {
      group,
      memberId: this.memberId,
      instanceId: this.instanceId,
      topics: [this.#topic],
      memberEpoch: this.#epoch,
      owned: topicPartitionsOf(this.held.keys()),
    };
    this.#stream = this.#caller.open(joinGroup, request, 1_000_000, {
      push: (push) => {
        if (isCurrent()) this.#pushed(push);
      },
      end: (error) => {
        if (isCurrent()) this.#ended(error);
      },
    });
  }

  #pushed(push: taskd.GroupPush): void {
    this.isStreamOpen = true;
    this.#epoch = push.memberEpoch;
    this.#heartbeatMs = push.heartbeatMs;
    const assigned = new Set(placesOf(push.assigned));
    this.#say('assigned', [...assigned]);
    for (const place of assigned) {
      const known = this.held.get(place);
      if (known !== undefined) {
        known.isLeaving = false;
        continue;
      }
      this.held.set(place, { position: undefined, isLeaving: false });
      this.#ledger.granted(this, place);
      void this.#begin(place);
    }
    for (const [place, work] of this.held) {
      if (assigned.has(place) || work.isLeaving) continue;
      work.isLeaving = true;
      this.#runtime.clock.timer(this.#runtime.random.below(400), () => void this.#letGo(place, work));
    }
  }

  /** What was in work is finished and committed before the partition goes. */
  async #letGo(place: number, work: Work): Promise<void> {
    await this.#commit(place, work);
    if (!work.isLeaving || this.held.get(place) !== work) return;
    this.held.delete(place);
    this.#say('let go', [place]);
    this.#beat();
  }

  async #begin(place: number): Promise<void> {
    const work = this.held.get(place);
    const least = this.#ledger.acknowledged(place);
    try {
      const { message } = await this.#caller.call(fetchOffsets, { group, partitions: topicPartitionsOf([place]) });
      if (this.held.get(place) !== work || work === undefined) return;
      const offset = message.offsets[0]?.offset ?? 0;
      this.#ledger.fetched(place, offset, least);
      work.position = offset;
    } catch {
      this.#runtime.clock.timer(100, () => {
        if (this.held.get(place) === work) void this.#begin(place);
      });
    }
  }

  #ended(error: unknown): void {
    this.isStreamOpen = false;
    this.#say(`ended ${String(error)}`, []);
    if (isTaskdError(error, ErrorCode.MEMBER_FENCED)) {
      this.#drop();
      this.#isOver = true;
      this.#ledger.ends(this);
    } else if (isTaskdError(error, ErrorCode.UNKNOWN_MEMBER)) this.#isOut();
    else this.#runtime.clock.timer(20 + this.#runtime.random.below(100), () => this.#open());
  }

  #isOut(): void {
    this.#ledger.isOut(this);
    this.isStreamOpen = false;
    this.#drop();
    this.#open();
  }

  #say(what: string, places: readonly number[]): void {
    this.#runtime.logger.debug({ memberId: this.memberId, epoch: this.#epoch, places: places.map(partitionOf) }, what);
  }

  #drop(): void {
    this.held.clear();
    this.#epoch = 0;
    this.#stream?.cancel();
  }

  #beat(): void {
    if (!this.isStreamOpen) return;
    const owned = topicPartitionsOf(this.held.keys());
    this.#caller.send(groupBeat, { group, memberId: this.memberId, memberEpoch: this.#epoch, owned });
  }

  #beatOn(): void {
    this.#runtime.clock.timer(this.#heartbeatMs, () => {
      if (this.#isOver) return;
      this.#beat();
      this.#beatOn();
    });
  }

  /** Consumes something, and commits it, again and again. */
  #work(): void {
    const { clock, random } = this.#runtime;
    clock.timer(50 + random.below(300), () => {
      if (this.#isOver) return;
      const places = [...this.held].filter(([, work]) => work.position !== undefined);
      const chosen = places[random.below(Math.max(1, places.length))];
      if (chosen !== undefined) {
        const [place, work] = chosen;
        work.position! += 1 + random.below(5);
        void this.#commit(place, work);
      }
      this.#work();
    });
  }

  async #commit(place: number, work: Work): Promise<void> {
    const { position } = work;
    if (position === undefined) return;
    this.#ledger.attempt(place, position);
    const { memberId } = this;
    const offsets = [{ topicId: topicIdOf(place), partition: partitionOf(place), offset: position }];
    try {
      const request = { group, memberId, memberEpoch: this.#epoch, offsets };
      const { message } = await this.#caller.call(commitOffsets, request, { deadlineMs: 3_000 });
      if (message.results[0]?.error == null) this.#ledger.committed(place, position);
    } catch (error) {
      if (!isTaskdError(error)) throw error;
      const isStillIn = this.held.get(place) === work && !this.#isOver;
      if (error.code === ErrorCode.UNKNOWN_MEMBER && isStillIn) this.#isOut();
    }
  }
}
