import { placesOf, topicPartitionsOf } from '../../../src/broker/groups/core/place.js';
import { Connections } from '../../../src/rpc/connections.js';
import type { Address } from '../../../src/runtime/net.js';
import type { Runtime } from '../../../src/runtime/runtime.js';
import type { taskd } from '../../../src/wire/generated/messages.js';
import { commitOffsets, fetchOffsets, groupBeat, joinGroup, leaveGroup } from '../../../src/wire/methods.js';

export interface TestMemberOptions {
  readonly group: string;
  readonly memberId: string;
  readonly topics: readonly string[];
  readonly instanceId?: string;
  readonly assignor?: string;
  readonly sessionTimeoutMs?: number;
  readonly releaseTimeoutMs?: number;
}

/** The least that a member does, on a connection of its own: takes pushes, lets go when told to, beats when asked to. */
export class TestMember {
  readonly options: TestMemberOptions;
  readonly connections: Connections;
  readonly held: Set<number> = new Set<number>();
  epoch = 0;
  standby: number[] = [];
  heartbeatMs = 0;
  pushes = 0;
  /** How its stream ended. */
  ended: unknown;
  isEnded = false;
  /** Lets go, and beats, as soon as a push takes something away. */
  isObedient = true;
  readonly #address: Address;
  #stream: { cancel(): void } | undefined;
  #wake: (() => void)[] = [];
  #generation = 0;

  constructor(runtime: Runtime, address: Address, options: TestMemberOptions) {
    this.options = options;
    this.#address = address;
    this.connections = new Connections(runtime, { clientId: options.memberId, kind: 'client' });
  }

  get #caller() {
    return this.connections.to(this.#address);
  }

  /** Opens the stream, with what it holds. */
  join(request: taskd.JoinGroupRequest.$Properties = {}): this {
    const { topics, ...rest } = this.options;
    this.isEnded = false;
    const generation = ++this.#generation;
    this.#stream = this.#caller.open(
      joinGroup,
      {
        ...rest,
        topics: [...topics],
        memberEpoch: this.epoch,
        owned: topicPartitionsOf(this.held),
        ...request,
      },
      1_000,
      {
        push: (push) => this.#pushed(push),
        end: (error) => {
          if (generation !== this.#generation) return;
          this.isEnded = true;
          this.ended = error;
          this.#changed();
        },
      },
    );
    return this;
  }

  beat(load: taskd.PartitionWork.$Properties[] = []): void {
    const { group, memberId } = this.options;
    const owned = topicPartitionsOf(this.held);
    this.#caller.send(groupBeat, { group, memberId, memberEpoch: this.epoch, owned, load });
  }

  cancelStream(): void {
    this.#stream?.cancel();
  }

  async leave(): Promise<void> {
    const { group, memberId } = this.options;
    await this.#caller.call(leaveGroup, { group, memberId });
    this.held.clear();
  }

  /** Resolves with the error codes, 0 for what was committed. */
  async commit(topicId: number, offsets: Readonly<Record<number, number>>, metadata = ''): Promise<number[]> {
    const { group, memberId } = this.options;
    const list = Object.entries(offsets).map(([partition, offset]) => ({
      topicId,
      partition: Number(partition),
      offset,
      metadata,
    }));
    const { message } = await this.#caller.call(commitOffsets, {
      group,
      memberId,
      memberEpoch: this.epoch,
      offsets: list,
    });
    return message.results.map(({ error }) => error?.code ?? 0);
  }

  async offsets(): Promise<Record<number, number>> {
    const { message } = await this.#caller.call(fetchOffsets, { group: this.options.group });
    return Object.fromEntries(message.offsets.map(({ partition, offset }) => [partition ?? 0, offset ?? 0]));
  }

  /** Resolves once what came makes it true. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  async close(): Promise<void> {
    await this.connections.close();
  }

  #pushed(push: taskd.GroupPush): void {
    this.pushes++;
    this.epoch = push.memberEpoch;
    this.heartbeatMs = push.heartbeatMs;
    this.standby = placesOf(push.standby);
    const assigned = new Set(placesOf(push.assigned));
    let isLess = false;
    if (this.isObedient) {
      for (const place of this.held) if (!assigned.has(place)) isLess = this.held.delete(place);
    }
    for (const place of assigned) this.held.add(place);
    if (isLess) this.beat();
    this.#changed();
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
