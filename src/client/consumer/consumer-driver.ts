/**
 * Runs a consumer: takes partitions, reads them, has their records handled, commits, and lets partitions go.
 *
 * States: `NEW ── run ──► RUNNING ── close, or a failure ──► CLOSING ── all let go ──► CLOSED`.
 *
 * To let a partition go, in this order: no more of it is read or handed out; what runs ends (told to stop when most of
 * the time is over); `onRevoked`; the commit is durable; only then the coordinator hears of it. A partition that was
 * lost is dropped at once: its handlers are told to stop, nothing of it is committed or moved to a retry topic.
 */
import { ErrorCode, TaskdError } from '../../base/errors.js';
import type { Timer } from '../../runtime/clock.js';
import type { QueueNetwork, TopicProducer } from '../topic-producer.js';
import { Committer, type Progress } from './committer.js';
import type { ConsumerSettings } from './consumer-options.js';
import type { ConsumerRecord } from './consumer-record.js';
import { Consumption } from './consumption.js';
import { describeError } from './failure.js';
import { GroupSession } from './group-session.js';
import type { Handling } from './handler-context.js';
import { HandlerRunner } from './handler-runner.js';
import { elapse, LeaderCaller } from './leader-caller.js';
import { LoneTopics } from './lone-topics.js';
import { type Holding, MemberCore } from './member-core.js';
import { OpenPartition, type TopicPartition } from './open-partition.js';
import { committedOf, offsetOf, type Position } from './positions.js';
import { retryTopicNames } from './retry-ladder.js';
import { RetryTopics } from './retry-topics.js';
import { WorkQueue } from './work-queue.js';

export type ConsumerState = 'new' | 'running' | 'closing' | 'closed';

/** How often positions are asked for again while nobody answers. */
const positionsMs = 10_000;
/** The pause before partitions that could not be begun with are tried again. */
const againMs = 500;

export class ConsumerDriver {
  readonly #network: QueueNetwork;
  readonly #settings: ConsumerSettings;
  readonly #memberId: string;
  readonly #leaders: LeaderCaller;
  readonly #queue: WorkQueue<ConsumerRecord>;
  readonly #consumption: Consumption;
  readonly #runner: HandlerRunner;
  readonly #producer: TopicProducer | undefined;
  readonly #core: MemberCore<OpenPartition>;
  readonly #session: GroupSession<OpenPartition> | undefined;
  readonly #committer: Committer | undefined;
  /** Names of retry topics, and the topics that they are for. */
  readonly #retryTopics = new Map<string, string>();
  /** Where to begin without a commit: 'latest' is the instant of the start, whenever a partition comes. */
  readonly #from: Position;
  /** Without a group. */
  readonly #lone: LoneTopics | undefined;
  #call: (handling: Handling) => unknown = () => undefined;
  #state: ConsumerState = 'new';
  #commitTimer: Timer | undefined;
  #ended: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined;
  #failure: { readonly error: unknown } | undefined;
  #closing: Promise<void> | undefined;
  /** Called when a closing member holds nothing any more. */
  #allGone: (() => void) | undefined;

  /** `producer` stores what goes to retry topics; it is closed with the consumer. */
  constructor(
    network: QueueNetwork,
    settings: ConsumerSettings,
    producer: TopicProducer | undefined,
    batches: boolean,
  ) {
    const { runtime } = network;
    const { group, topics, order, concurrency, batchRecords } = settings;
    this.#network = network;
    this.#settings = settings;
    this.#producer = producer;
    this.#memberId = `member-${runtime.random.u32().toString(36)}${runtime.random.u32().toString(36)}`;
    this.#leaders = new LeaderCaller(network);
    this.#queue = new WorkQueue({ order, concurrency, batchRecords: batches ? batchRecords : 1 });
    this.#from = settings.from === 'latest' ? { timeMs: runtime.clock.wallMs() + 1 } : settings.from;
    this.#core = new MemberCore(settings.sessionTimeoutMs);
    const retries =
      producer === undefined ? undefined : new RetryTopics(network, producer, group, settings.retryDelaysMs);
    if (retries !== undefined) {
      for (const topic of topics) for (const name of retryTopicNames(group, topic)) this.#retryTopics.set(name, topic);
    }
    this.#consumption = new Consumption(network, this.#leaders, this.#queue, settings, this.#retryTopics, {
      progress: () => this.#lone?.checkEnd(),
      // In a group its coordinator takes it away.
      gone: (partition) => this.#lone?.gone(partition),
      stopped: (partition, error) => {
        this.#trouble(error, partition);
        if (this.#session === undefined) this.#fail(error);
      },
      trouble: (error, partition) => this.#trouble(error, partition),
    });
    this.#runner = new HandlerRunner(
      runtime,
      this.#queue,
      {
        call: (handling) => this.#call(handling),
        mayStart: (nowMs) => this.#session === undefined || this.#core.mayStart(nowMs),
        finished: (work) => this.#consumption.finished(work),
        moveUp:
          retries === undefined
            ? undefined
            : async (record, reason, verdict) => void (await retries.moveUp(record, reason, verdict)),
        failed: (thrown) => this.#fail(thrown),
        trouble: (message, record, cause) => {
          const where = `${record.topic}/${record.partition} at ${record.offset}`;
          this.#trouble(new TaskdError(ErrorCode.INTERNAL, `${where}: ${message}`, { cause }), record);
        },
      },
      { handlerTimeoutMs: settings.handlerTimeoutMs },
    );
    this.#consumption.useRunner(this.#runner);
    if (group === '') {
      this.#lone = new LoneTopics(network, this.#leaders, this.#consumption, settings, this.#from, {
        isRunning: () => this.#state === 'running',
        assigned: (partitions) => this.#tellAssigned(partitions),
        lost: (partitions) => void this.#tell('onLost', partitions),
        ended: () => void this.close(),
        failed: (error) => this.#fail(error),
        trouble: (error) => this.#trouble(error, undefined),
      });
      return;
    }
    this.#session = new GroupSession(
      runtime,
      this.#leaders,
      this.#core,
      {
        take: (holdings) => void this.#take(holdings),
        release: (holdings) => {
          for (const holding of holdings) void this.#release(holding);
        },
        lose: (holdings) => this.#lose(holdings),
        mayStart: () => this.#runner.plan(),
        trouble: (error) => this.#trouble(error, undefined),
        fatal: (error) => this.#fail(error),
      },
      {
        group,
        memberId: this.#memberId,
        instanceId: settings.instanceId,
        topics: [...topics, ...this.#retryTopics.keys()],
        assignor: settings.assignor,
        sessionTimeoutMs: settings.sessionTimeoutMs,
        releaseTimeoutMs: settings.releaseTimeoutMs,
      },
    );
    this.#committer = new Committer(this.#leaders, group, this.#memberId, {
      partitions: () => this.partitions,
      epoch: () => this.#core.epoch,
      unknown: () => this.#session?.unknown(),
      refused: (partition, error) => this.#refused(partition, error),
    });
  }

  get memberId(): string {
    return this.#memberId;
  }

  get state(): ConsumerState {
    return this.#state;
  }

  get queue(): WorkQueue<ConsumerRecord> {
    return this.#queue;
  }

  get runner(): HandlerRunner {
    return this.#runner;
  }

  /** Those that records come from, in no order. */
  get partitions(): Set<OpenPartition> {
    return this.#consumption.partitions;
  }

  get resetsTotal(): number {
    return this.#consumption.resetsTotal;
  }

  /** Resolves when the consumer was closed, rejects when it had to end. */
  run(call: (handling: Handling) => unknown): Promise<void> {
    if (this.#state !== 'new') {
      return Promise.reject(new TaskdError(ErrorCode.CONFLICT, 'a consumer runs once: make another one'));
    }
    this.#state = 'running';
    this.#call = call;
    const { autoCommit } = this.#settings;
    if (this.#session === undefined) void this.#lone?.start();
    else {
      this.#session.start();
      if (autoCommit) this.#planCommit();
    }
    return new Promise((resolve, reject) => {
      this.#ended = { resolve, reject };
    });
  }

  /** Commits what is done now, or exactly these; durable when it resolves. */
  async commit(offsets?: readonly Progress[]): Promise<void> {
    const { releaseTimeoutMs } = this.#settings;
    if (offsets === undefined) await this.#committer?.commit(releaseTimeoutMs);
    else await this.#committer?.commitExactly(offsets, releaseTimeoutMs);
  }

  pause(partition: OpenPartition, isPaused: boolean): void {
    partition.isPaused = isPaused;
    if (partition.work !== undefined) this.#queue.pause(partition.work, isPaused);
    this.#runner.plan();
  }

  pauseAll(isPaused: boolean): void {
    this.#queue.pauseAll(isPaused);
    this.#runner.plan();
  }

  /** Lets everything go and leaves; resolves when that is done, whatever became of it. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  // ---- taking partitions

  /** What has a name soon is taken as one; the rest topic by topic, whenever brokers can tell of it. */
  async #take(holdings: readonly Holding<OpenPartition>[]): Promise<void> {
    const ids = [...new Set(holdings.map(({ topicId }) => topicId))];
    const places = await Promise.all(ids.map((id) => this.#leaders.look(id)));
    ids.forEach((id, i) => {
      if (places[i] === undefined) void this.#takeLater(holdings.filter(({ topicId }) => topicId === id));
    });
    const names = new Map(places.flatMap((place) => (place === undefined ? [] : [[place.topicId, place.name]])));
    await this.#consume(holdings, names);
  }

  /** Holdings of one topic. Ends when they have its name, or are others'. */
  async #takeLater(holdings: readonly Holding<OpenPartition>[]): Promise<void> {
    while (this.#state === 'running' && holdings.some(isWanted)) {
      try {
        const { topicId, name } = await this.#leaders.topic(holdings[0]!.topicId);
        await this.#consume(holdings, new Map([[topicId, name]]));
        return;
      } catch (error) {
        if (this.#state !== 'running') return;
        this.#trouble(error as Error, undefined);
        await elapse(this.#network.runtime.clock, againMs);
      }
    }
  }

  async #consume(holdings: readonly Holding<OpenPartition>[], names: ReadonlyMap<number, string>): Promise<void> {
    const taken: OpenPartition[] = [];
    for (const holding of holdings) {
      const name = names.get(holding.topicId);
      if (name === undefined || !isWanted(holding)) continue;
      holding.work = new OpenPartition(name, holding.topicId, holding.partition, holding);
      this.partitions.add(holding.work);
      taken.push(holding.work);
    }
    if (taken.length === 0) return;
    for (const partition of taken) partition.wasTold = true;
    await this.#tellAssigned(taken);
    for (let open = taken.filter(isHeld); open.length > 0; open = open.filter(isHeld)) {
      try {
        await this.#begin(open);
        return;
      } catch (error) {
        if (this.#state === 'closed') return;
        this.#trouble(error as Error, undefined);
        await elapse(this.#network.runtime.clock, againMs);
      }
    }
  }

  /** Finds where to go on in partitions of a group, and reads from there. */
  async #begin(partitions: readonly OpenPartition[]): Promise<void> {
    const { group } = this.#settings;
    const committed = await committedOf(this.#leaders, group, partitions, positionsMs);
    await Promise.all(
      partitions.map(async (partition, i) => {
        const from = this.#retryTopics.has(partition.topic) ? 'earliest' : this.#from;
        const offset = committed[i] ?? (await offsetOf(this.#leaders, partition, from, positionsMs));
        if (!isHeld(partition) || partition.work !== undefined) return;
        partition.committedEnd = committed[i] ?? -1;
        this.#consumption.open(partition, offset);
      }),
    );
  }

  // ---- letting partitions go

  /** See the top of the file. */
  async #release(holding: Holding<OpenPartition>): Promise<void> {
    const partition = holding.work;
    const isClosing = this.#state === 'closing';
    const limitMs = isClosing ? this.#settings.closeTimeoutMs : this.#settings.releaseTimeoutMs;
    if (partition !== undefined) {
      const { clock } = this.#network.runtime;
      const endMs = clock.monotonicMs() + limitMs * 0.9;
      await this.#consumption.quiet(partition, limitMs, isClosing ? 'closing' : 'revoked');
      if (holding.isGone) return;
      // Not told, if it was never told that it has it.
      if (partition.wasTold) await this.#within(endMs, this.#tell('onRevoked', [partition]));
      while (this.#settings.autoCommit && !holding.isGone && clock.monotonicMs() < endMs) {
        try {
          await this.#committer?.commit(Math.max(1, endMs - clock.monotonicMs()));
          break;
        } catch (error) {
          this.#trouble(error as Error, partition);
          await elapse(clock, 100);
        }
      }
      if (holding.isGone) return;
      this.#consumption.forget(partition, 'revoked');
    }
    this.#core.released(holding, this.#network.runtime.clock.monotonicMs());
    this.#session?.perform();
    if (this.#core.heldCount === 0) this.#allGone?.();
  }

  #lose(holdings: readonly Holding<OpenPartition>[]): void {
    const lost: OpenPartition[] = [];
    for (const { work: partition } of holdings) {
      if (partition === undefined || partition.isOver) continue;
      this.#consumption.forget(partition, 'lost');
      lost.push(partition);
    }
    if (lost.length > 0) void this.#tell('onLost', lost);
    if (this.#core.heldCount === 0) this.#allGone?.();
  }

  #refused(partition: OpenPartition, error: TaskdError): void {
    this.#trouble(error, partition);
    const { holding } = partition;
    // The log lost its end. The partition is ours still: its reader finds the same, and goes on or stops as it was told.
    if (error.code === ErrorCode.OFFSET_OUT_OF_RANGE) return;
    if (holding === undefined || holding.isGone) return;
    this.#core.refused(holding, this.#network.runtime.clock.monotonicMs());
    this.#session?.perform();
  }

  // ---- while it runs

  #planCommit(): void {
    this.#commitTimer = this.#network.runtime.clock.timer(this.#settings.commitIntervalMs, () => {
      if (this.#state !== 'running') return;
      this.#committer!.commit(this.#settings.commitIntervalMs * 10).catch((error: unknown) => {
        this.#trouble(error as Error, undefined);
      });
      this.#planCommit();
    });
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    void this.close();
  }

  async #close(): Promise<void> {
    const wasRunning = this.#state === 'running';
    this.#state = 'closing';
    this.#commitTimer?.cancel();
    const limitMs = this.#settings.closeTimeoutMs;
    if (wasRunning) {
      const { clock } = this.#network.runtime;
      await this.#within(clock.monotonicMs() + limitMs, this.#letAllGo(limitMs));
      await this.#session?.leave();
    }
    this.#state = 'closed';
    this.#runner.close();
    this.#runner.abort(undefined, 'closing');
    for (const partition of [...this.partitions]) this.#consumption.forget(partition, 'closing');
    this.#leaders.close();
    await this.#producer?.close();
    if (this.#failure === undefined) this.#ended?.resolve();
    else this.#ended?.reject(this.#failure.error);
  }

  async #letAllGo(limitMs: number): Promise<void> {
    if (this.#session === undefined) {
      await Promise.all([...this.partitions].map((each) => this.#consumption.quiet(each, limitMs, 'closing')));
      return;
    }
    const gone = new Promise<void>((resolve) => {
      this.#allGone = resolve;
    });
    this.#core.releaseAll();
    this.#session.perform();
    if (this.#core.heldCount > 0) await gone;
  }

  /** A callback that never resolves must not keep partitions from everybody for ever. */
  async #tellAssigned(partitions: readonly OpenPartition[]): Promise<void> {
    const { clock } = this.#network.runtime;
    const limitMs = this.#settings.releaseTimeoutMs;
    let isThrough = false;
    const told = this.#tell('onAssigned', partitions).then(() => {
      isThrough = true;
    });
    await this.#within(clock.monotonicMs() + limitMs, told);
    if (isThrough || this.#state !== 'running') return;
    const names = partitions.slice(0, 3).map(({ name }) => name);
    const which = `${names.join(', ')}${partitions.length > names.length ? ' and others' : ''}`;
    const message = `onAssigned did not resolve within ${limitMs} ms (releaseTimeoutMs): ${which} are consumed all the same; let it resolve sooner, or give it more time`;
    this.#trouble(new TaskdError(ErrorCode.DEADLINE, message), undefined);
  }

  /** Calls the program back, with the topics that it has asked for; what it throws is told and changes nothing. */
  async #tell(name: 'onAssigned' | 'onRevoked' | 'onLost', partitions: readonly OpenPartition[]): Promise<void> {
    const callback = this.#settings.callbacks[name];
    const told = partitions.filter(({ topic }) => !this.#retryTopics.has(topic));
    if (callback === undefined || told.length === 0) return;
    try {
      await callback(told.map(({ topic, partition }) => ({ topic, partition })));
    } catch (cause) {
      this.#trouble(
        new TaskdError(ErrorCode.INTERNAL, `${name} failed: ${describeError(cause)}`, { cause }),
        undefined,
      );
    }
  }

  #trouble(error: Error, partition: TopicPartition | undefined): void {
    const place = partition === undefined ? undefined : { topic: partition.topic, partition: partition.partition };
    const { onTrouble } = this.#settings.callbacks;
    const { logger } = this.#network.runtime;
    const fields = { group: this.#settings.group, ...place, error: error.message };
    if (onTrouble === undefined) logger.warn(fields, 'a consumer has trouble');
    else {
      logger.debug(fields, 'a consumer has trouble');
      onTrouble(error, place);
    }
  }

  /** Until `work` is through, or that instant has come. */
  #within(untilMs: number, work: Promise<void>): Promise<void> {
    const { clock } = this.#network.runtime;
    return new Promise((resolve, reject) => {
      const timer = clock.timer(Math.max(0, untilMs - clock.monotonicMs()), resolve);
      work.then(resolve, reject).finally(() => timer.cancel());
    });
  }
}

/** True while it is this member's to keep. */
function isWanted({ isReleasing, isGone }: Holding<OpenPartition>): boolean {
  return !isReleasing && !isGone;
}

/** True while the group counts it as this member's, and it is to be consumed. */
function isHeld({ holding, isOver }: OpenPartition): boolean {
  return !isOver && holding !== undefined && isWanted(holding);
}
