/**
 * Reads open partitions into the work queue, and lets them go: what partitions of a group and partitions that a
 * consumer reads on its own have in common.
 *
 * ```
 *   open ──► READING ── quiet ──► nothing new is handed out ──► idle ── forget ──► (gone)
 *              │  └── the log has no such offset, or lost data: goes on elsewhere, or stops with a problem
 *              └──────────────────── forget: at once, its handlers are told to stop ──► (gone)
 * ```
 */
import { ErrorCode, isTaskdError, TaskdError } from '../../base/errors.js';
import type { QueueNetwork } from '../topic-producer.js';
import type { ConsumerSettings, LostData } from './consumer-options.js';
import type { ConsumerRecord } from './consumer-record.js';
import type { AbortCause } from './handler-context.js';
import type { HandlerRunner } from './handler-runner.js';
import type { LeaderCaller } from './leader-caller.js';
import type { OpenPartition, TopicPartition } from './open-partition.js';
import { PartitionReader } from './partition-reader.js';
import { offsetOf } from './positions.js';
import type { PartitionWork, WorkQueue } from './work-queue.js';

export interface ConsumptionEvents {
  /** Records of the partition are done, or its reader has reached the end. */
  progress(): void;
  /** The partition's reading has ended for good. */
  stopped(partition: OpenPartition, error: TaskdError): void;
  /** The partition is not there any more, with its topic; its reading has ended. */
  gone(partition: OpenPartition): void;
  trouble(error: Error, partition: TopicPartition | undefined): void;
}

const leastShareBytes = 64 * 1024;
/** How long the end of a log is asked for. */
const endMs = 60_000;

export class Consumption {
  readonly #network: QueueNetwork;
  readonly #leaders: LeaderCaller;
  readonly #queue: WorkQueue<ConsumerRecord>;
  readonly #settings: ConsumerSettings;
  /** Names of retry topics, and the topics that they are for. */
  readonly #retryTopics: ReadonlyMap<string, string>;
  readonly #events: ConsumptionEvents;
  readonly #byWork = new Map<PartitionWork<ConsumerRecord>, OpenPartition>();
  readonly partitions: Set<OpenPartition> = new Set<OpenPartition>();
  /** Positions that had to be found anew because the log had nothing there. */
  resetsTotal = 0;
  #runner!: HandlerRunner;

  constructor(
    network: QueueNetwork,
    leaders: LeaderCaller,
    queue: WorkQueue<ConsumerRecord>,
    settings: ConsumerSettings,
    retryTopics: ReadonlyMap<string, string>,
    events: ConsumptionEvents,
  ) {
    this.#network = network;
    this.#leaders = leaders;
    this.#queue = queue;
    this.#settings = settings;
    this.#retryTopics = retryTopics;
    this.#events = events;
  }

  /** Who handles the records; once, before anything is opened. */
  useRunner(runner: HandlerRunner): void {
    this.#runner = runner;
  }

  open(partition: OpenPartition, offset: number): void {
    const { topicId, topic, partition: number } = partition;
    const { group, prefetchBytes } = this.#settings;
    const work = this.#queue.open(topicId, number, offset);
    partition.work = work;
    this.#byWork.set(work, partition);
    if (partition.isPaused) this.#queue.pause(work, true);
    const origin = this.#retryTopics.get(topic);
    partition.reader = new PartitionReader(
      this.#network,
      this.#queue,
      work,
      {
        added: () => this.#runner.plan(),
        caughtUp: () => this.#events.progress(),
        outOfRange: (at, logStart, error) => void this.#outOfRange(partition, at, logStart, error),
        gone: () => this.#events.gone(partition),
        dataLost: (from, to, error, isGivenUp) => this.#dataLost(partition, { from, to, error, isGivenUp }),
        trouble: (error) => this.#network.runtime.logger.debug({ partition: partition.name, error }, 'a fetch failed'),
      },
      {
        topic: origin ?? topic,
        retryOf: origin === undefined ? undefined : group,
        bytesMax: () => Math.max(leastShareBytes, Math.floor(prefetchBytes / Math.max(1, this.partitions.size))),
      },
    );
  }

  /** Something of this partition was handled. */
  finished(work: PartitionWork<ConsumerRecord>): void {
    const partition = this.#byWork.get(work);
    if (partition === undefined) return;
    partition.reader?.balance();
    if (partition.idle !== undefined && this.#queue.isIdle(work)) partition.idle();
    this.#events.progress();
  }

  /**
   * Hands out nothing more of it but what lies below records that were started already. Resolves when nothing of it
   * runs: after half of `limitMs` nothing more is started, after 80 % its handlers are told to stop.
   */
  async quiet(partition: OpenPartition, limitMs: number, cause: AbortCause): Promise<void> {
    const { work, reader } = partition;
    if (work === undefined) return;
    const { clock } = this.#network.runtime;
    reader?.close();
    this.#queue.stop(work);
    this.#runner.plan();
    if (this.#queue.isIdle(work)) return;
    const drop = clock.timer(limitMs * 0.5, () => {
      this.#queue.drop(work);
      this.finished(work);
    });
    const abort = clock.timer(limitMs * 0.8, () => this.#runner.abort(work, cause));
    await new Promise<void>((resolve) => {
      partition.idle = resolve;
    });
    drop.cancel();
    abort.cancel();
  }

  /** Ends everything about it; `cause` is told to handlers that still run. */
  forget(partition: OpenPartition, cause: AbortCause): void {
    if (partition.isOver) return;
    partition.isOver = true;
    partition.reader?.close();
    this.partitions.delete(partition);
    const { work } = partition;
    if (work !== undefined) {
      this.#queue.close(work);
      this.#byWork.delete(work);
      this.#runner.abort(work, cause);
    }
    partition.idle?.();
  }

  async #outOfRange(partition: OpenPartition, at: number, logStart: number, error: TaskdError): Promise<void> {
    const policy = this.#retryTopics.has(partition.topic) ? 'earliest' : this.#settings.outOfRange;
    if (policy === 'error') {
      this.#stop(partition, error, 'reset the group with "taskctl groups reset", or set outOfRange');
      return;
    }
    const { work } = partition;
    try {
      const to = policy === 'earliest' ? logStart : await offsetOf(this.#leaders, partition, 'latest', endMs);
      if (partition.isOver || work === undefined || work.isStopped) return;
      this.resetsTotal++;
      const message = `${partition.name} has nothing at offset ${at} (it begins at ${logStart}): it goes on at ${to}`;
      this.#events.trouble(new TaskdError(ErrorCode.OFFSET_OUT_OF_RANGE, message), partition);
      if (to > at) {
        partition.reader?.goOnAt(to);
        return;
      }
      // The log is shorter than it was: what is there now is new.
      this.#byWork.delete(work);
      this.#queue.close(work);
      this.open(partition, to);
    } catch (problem) {
      this.#stop(partition, problem as Error, 'start the consumer anew');
    }
  }

  #dataLost(partition: OpenPartition, lost: Omit<LostData, keyof TopicPartition>): void {
    const { topic, partition: number } = partition;
    const { from, to, error, isGivenUp } = lost;
    const decision = this.#settings.callbacks.onDataLoss?.({ topic, partition: number, ...lost }) ?? 'stop';
    const at = partition.work?.fetchedEnd ?? from;
    if (decision === 'skip' && to > at) {
      this.#events.trouble(error, partition);
      partition.reader?.goOnAt(to);
      return;
    }
    if (error.code === ErrorCode.MALFORMED) {
      const range = `offsets ${at} to ${to - 1} were written as something else than records`;
      this.#stop(partition, error, `${range}; to go past them return 'skip' from onDataLoss`);
      return;
    }
    if (isGivenUp) {
      this.#stop(partition, error, "to go past them return 'skip' from onDataLoss");
      return;
    }
    const range = to > at ? `offsets ${from} to ${to - 1} are gone` : 'how much is gone is not known';
    this.#stop(partition, error, `${range}; see "taskctl log inspect", or return 'skip' from onDataLoss`);
  }

  /** Nothing more is read of it; what was read is handled and committed. */
  #stop(partition: OpenPartition, cause: Error, remedy: string): void {
    partition.reader?.close();
    const code = isTaskdError(cause) ? cause.code : ErrorCode.INTERNAL;
    const message = `${partition.name} is not consumed any more: ${cause.message}; ${remedy}`;
    partition.problem = new TaskdError(code, message, { cause });
    this.#events.stopped(partition, partition.problem as TaskdError);
  }
}
