import { silentLogger } from '../../../src/base/logger.js';
import type { GroupTopics } from '../../../src/broker/groups/broker-topics.js';
import type { CommitCall } from '../../../src/broker/groups/commit-queue.js';
import { GroupCoordinator } from '../../../src/broker/groups/coordinator.js';
import { topicPartitionsOf } from '../../../src/broker/groups/core/place.js';
import { ownAssignors } from '../../../src/broker/groups/groups.js';
import type { MemberStream } from '../../../src/broker/groups/member-session.js';
import { OffsetService } from '../../../src/broker/groups/offset-service.js';
import { MemoryTaskLog } from '../../../src/coordinator/memory-task-log.js';
import type { Peer } from '../../../src/rpc/service.js';
import { nodeRuntime } from '../../../src/runtime/node/node-runtime.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import { ManualClock } from '../../support/manual-clock.js';

/** A manual clock whose wall may be stepped. */
export class SteppedClock extends ManualClock {
  steppedMs = 0;

  override wallMs(): number {
    return super.wallMs() + this.steppedMs;
  }
}

/** A member's stream in the test's hand. */
export class FakeStream implements MemberStream {
  readonly pushes: taskd.GroupPush.$Properties[] = [];
  readonly peer: Peer & { isSentAway: boolean };
  credit = 1_000;
  isOpen = true;
  ended: unknown;
  #onClose: (() => void) | undefined;
  #onWritable: (() => void) | undefined;

  constructor() {
    this.peer = {
      id: 1,
      address: { host: '127.0.0.1', port: 1 },
      clientId: 'c',
      kind: 'client',
      isOpen: true,
      isSentAway: false,
      queuedBytes: 0,
      onClose() {},
      onActivity() {},
      abort() {},
    };
  }

  get last(): taskd.GroupPush.$Properties {
    return this.pushes.at(-1)!;
  }

  /** Of the latest push. */
  get epoch(): number {
    return this.last.memberEpoch ?? 0;
  }

  push(message: taskd.GroupPush.$Properties): boolean {
    if (!this.isOpen || this.credit === 0) return false;
    this.credit--;
    this.pushes.push(message);
    return true;
  }

  onWritable(callback: () => void): void {
    this.#onWritable = callback;
  }

  onClose(callback: () => void): void {
    this.#onClose = callback;
  }

  end(error?: unknown): void {
    this.isOpen = false;
    this.ended = error ?? 'in good order';
  }

  /** The client's side is gone. */
  close(): void {
    this.isOpen = false;
    this.#onClose?.();
  }

  grant(pushes: number): void {
    this.credit += pushes;
    this.#onWritable?.();
  }
}

export const topicId = 7;
export const partitions = 4;
/** Of these one whose log is not known. */
export const notServing = 3;
const info = { topicId, name: 'orders', partitions, replicas: 1, internal: false, config: {} };

const topics: GroupTopics = {
  named: (name) => (name === 'orders' ? info : undefined),
  byId: (id) => (id === topicId ? info : undefined),
  has: (id) => id === topicId,
  ends: (_topicId, partition) =>
    partition === notServing ? undefined : { start: 0, end: 1_000, recordsEnd: 1_000, logEnd: 1_001 },
  offsetForTime: () => Promise.resolve(0),
};

/** A coordinator of these tests keeps its log about as short as this. */
export const rewriteBytes = 20_000;

/** One coordinator on a log in memory, with its clock in the test's hand. */
export class CoordinatorRig {
  readonly clock: SteppedClock = new SteppedClock();
  readonly log: MemoryTaskLog = new MemoryTaskLog(this.clock);
  /** What is below is gone for the next coordinator. */
  logStart = 0;
  coordinator: GroupCoordinator = this.#make();
  readonly #offsets = new OffsetService(this.#runtime, topics);

  get #runtime() {
    return { ...nodeRuntime(silentLogger), clock: this.clock };
  }

  async start(): Promise<void> {
    this.coordinator.start();
    await this.clock.settle();
  }

  /** Another process takes over what is in the log. */
  async restart(): Promise<void> {
    this.coordinator.close();
    this.coordinator = this.#make();
    await this.start();
  }

  async join(fields: taskd.JoinGroupRequest.$Properties = {}): Promise<FakeStream> {
    const stream = new FakeStream();
    const request = { group: 'g', memberId: 'm', topics: ['orders'], sessionTimeoutMs: 6_000, ...fields };
    this.coordinator.join(taskd.JoinGroupRequest.decode(taskd.JoinGroupRequest.encode(request).finish()), stream);
    await this.clock.settle();
    return stream;
  }

  beat(memberId: string, memberEpoch: number, places: readonly number[], number = 0): void {
    const beat = { group: 'g', memberId, memberEpoch, owned: topicPartitionsOf(places), number };
    this.coordinator.beat(taskd.GroupBeat.decode(taskd.GroupBeat.encode(beat).finish()));
  }

  /** Resolves with the answer, or with the error that it failed with. */
  commit(request: taskd.CommitOffsetsRequest.$Properties, clientId = 'c'): Promise<unknown> {
    return new Promise((resolve) => {
      const call = { reply: resolve, fail: resolve, peer: { clientId } } as Partial<CommitCall> as CommitCall;
      const bytes = taskd.CommitOffsetsRequest.encode({ group: 'g', memberId: 'm', ...request }).finish();
      this.#offsets.commit(this.coordinator, taskd.CommitOffsetsRequest.decode(bytes), call);
    });
  }

  /** Time passes, with a tick each quarter of a second. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 250) {
      await this.clock.advance(250);
      this.coordinator.tick(this.clock.monotonicMs(), false);
      await this.clock.settle();
    }
  }

  #make(): GroupCoordinator {
    const assignors = new Map(ownAssignors.map((assignor) => [assignor.name, assignor] as const));
    const trimBefore = async (offset: number): Promise<void> => {
      this.logStart = offset;
    };
    const partition = { tasks: this.log, logStart: this.logStart, trimBefore };
    return new GroupCoordinator(this.#runtime, partition, topics, assignors, { rewriteBytes });
  }
}
