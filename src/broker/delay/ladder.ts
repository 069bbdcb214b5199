/**
 * The ladder of delay of this broker: the topics of its levels, which are made when they are first needed, the movers
 * between them, and the last level.
 *
 * A delayed record goes through one partition number of all levels, so the number of partitions is fixed when the last
 * level is made, which is before any other.
 */
import type { MetricSet } from '../../base/counters.js';
import { delayTopicName, lastDelayLevel } from '../../base/delay-level.js';
import { ErrorCode, TaskdError } from '../../base/errors.js';
import { headersMax } from '../../base/limits.js';
import type { BatchHeader } from '../../batch/header.js';
import type { StoredRecord } from '../../batch/record.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { Cluster } from '../cluster.js';
import type { TopicInfo } from '../cluster-shard.js';
import type { Partition } from '../partition.js';
import type { Partitions } from '../partitions.js';
import type { TopicService } from '../topic-service.js';
import { admitCancel, admitDelayed } from './delayed-gate.js';
import { type Onward, originOf } from './delayed-record.js';
import type { Pending } from './fire-target.js';
import { type Destination, LastLevel, type LastLevelHost } from './last-level.js';
import { Lateness } from './lateness.js';
import { LevelMover, type MoverHost } from './level-mover.js';
import { parked } from './parked-record.js';
import { StuckTargets } from './stuck-targets.js';

/** Where records go whose target was deleted. */
export const delayDeadLetters = 'dlq.delay';

const makeAgainMs = 5_000;

export interface LadderOptions {
  /** Of each level, fixed at the first use. Default 4. */
  readonly partitions?: number;
  /** Records that one partition of the last level holds in memory. Default 100,000. */
  readonly heldMax?: number;
  /** A level's log is trimmed from so many bytes on. Default 96 MiB: whole segments go only. */
  readonly trimBytes?: number;
}

export class DelayLadder implements MoverHost, LastLevelHost {
  readonly runtime: Runtime;
  readonly trimBytes: number;
  readonly heldMax: number | undefined;
  readonly lateness: Lateness = new Lateness();
  readonly stuck: StuckTargets;
  readonly #partitions: Partitions;
  readonly #cluster: Cluster;
  readonly #topics: TopicService;
  readonly #newPartitions: number;
  /** By level, once its topic is there. */
  readonly #levels: (TopicInfo | undefined)[] = [];
  readonly #byTopic = new Map<number, number>();
  readonly #opening = new Map<number, Promise<TopicInfo>>();
  /** By level, then partition; a partition that does not serve has none. */
  readonly #movers: (LevelMover | undefined)[][] = [];
  readonly #lasts: (LastLevel | undefined)[] = [];
  /** Topics that are being made, or could not be a moment ago. */
  readonly #making = new Set<string>();
  #isStopped = false;
  /** Records that went to the dead letters, and those that were parked, for metrics. */
  deadLetters = 0;
  parked = 0;

  constructor(
    runtime: Runtime,
    partitions: Partitions,
    cluster: Cluster,
    topics: TopicService,
    options: LadderOptions = {},
  ) {
    this.runtime = runtime;
    this.stuck = new StuckTargets(runtime.clock, runtime.logger);
    this.#partitions = partitions;
    this.#cluster = cluster;
    this.#topics = topics;
    this.#newPartitions = options.partitions ?? 4;
    this.heldMax = options.heldMax;
    this.trimBytes = options.trimBytes ?? 96 * 1024 * 1024;
  }

  /** Takes up the levels that are there; their partitions are open. */
  start(): void {
    for (let level = lastDelayLevel; level >= 0; level--) {
      const topic = this.#cluster.shard.topicNamed(delayTopicName(level));
      if (topic !== undefined) this.#take(level, topic);
    }
  }

  stop(): void {
    this.#isStopped = true;
    for (const movers of this.#movers) for (const mover of movers ?? []) mover?.stop();
    for (const last of this.#lasts) last?.stop();
  }

  wasDeleted(topicId: number): boolean {
    return this.#cluster.shard.wasDeleted(topicId);
  }

  /** What a client's records for this partition are checked by, if it is one of a level. BUSY when it takes none now. */
  admission(topicId: number, partition: number): ((record: StoredRecord, header: BatchHeader) => void) | undefined {
    const level = this.#byTopic.get(topicId);
    return level === undefined ? undefined : admitDelayed(this, level, partition, this.runtime.clock.wallMs());
  }

  topic(topicId: number): TopicInfo | undefined {
    return this.#cluster.shard.topic(topicId);
  }

  /**
   * The topic of a level. Where it is not there it is made, after all those that its records may have to go through.
   * INVALID for a level that does not exist.
   */
  async open(level: number): Promise<TopicInfo> {
    if (!(Number.isInteger(level) && level >= 0 && level <= lastDelayLevel)) {
      throw new TaskdError(ErrorCode.INVALID, `delay has the levels 0 to ${lastDelayLevel}, and no ${level}`);
    }
    const known = this.#levels[level];
    if (known !== undefined) return known;
    let opening = this.#opening.get(level);
    if (opening === undefined) {
      opening = this.#openOnce(level);
      this.#opening.set(level, opening);
      const over = (): void => {
        this.#opening.delete(level);
      };
      opening.then(over, over);
    }
    return opening;
  }

  /** True when the record will not be delivered; durable when it resolves. INVALID for a time that no record can have. */
  async cancel(partition: number, level: number, offset: number, dueMs: number): Promise<boolean> {
    admitCancel(dueMs, this.runtime.clock.wallMs());
    const last = this.#lasts[partition];
    // Whoever has an id has stored a record, and then the last level is there.
    if (last === undefined || level > lastDelayLevel || offset > 2 ** 48) return false;
    return last.cancel(originOf(level, offset), dueMs);
  }

  /** Whether the last level takes records that are due now. */
  hasRoom(partition: number): boolean {
    return this.#lasts[partition]?.hasRoom ?? false;
  }

  destination(level: number, partition: number): Partition | undefined {
    const topic = this.#levels[level];
    if (topic === undefined) {
      this.#make(delayTopicName(level), () => this.open(level));
      return undefined;
    }
    if (level === lastDelayLevel && !this.hasRoom(partition)) return undefined;
    return this.#partitions.find(topic.topicId, partition);
  }

  target(topicId: number, partition: number): Destination {
    const topic = this.#cluster.shard.topic(topicId);
    if (topic === undefined) return { kind: 'gone', instead: this.#deadLetters() };
    const found = this.#partitions.find(topicId, partition);
    if (found === undefined || !takesRecords(found)) return { kind: 'away', why: found?.problem ?? 'it is not open' };
    if (this.#byTopic.has(topicId)) return { kind: 'serving', partition: found, rewrite: parked, isLevel: true };
    if (topic.name !== delayDeadLetters) return { kind: 'serving', partition: found, rewrite: delivered };
    return { kind: 'serving', partition: found, rewrite: (record, delta) => this.#deadLetter(record, delta, topicId) };
  }

  parking(level: number, partition: number): number | undefined {
    const found = this.destination(level, partition);
    return found !== undefined && takesRecords(found) ? found.topicId : undefined;
  }

  hasPassed(partition: number, dueMs: number): boolean {
    // From the top down: records only move down. Those that are parked go up, but they are due, and no Cancel waits for one.
    for (let level = lastDelayLevel - 1; level >= 0; level--) {
      if (this.#levels[level] !== undefined && !this.#movers[level]?.[partition]?.hasPassed(dueMs)) return false;
    }
    return true;
  }

  /** Records in memory, in all levels. */
  get held(): number {
    let held = 0;
    for (const movers of this.#movers) for (const mover of movers ?? []) held += mover?.held ?? 0;
    for (const last of this.#lasts) held += last?.core.held ?? 0;
    return held;
  }

  registerMetrics(metrics: MetricSet): void {
    for (let level = 0; level <= lastDelayLevel; level++) {
      const labels = { level: level === lastDelayLevel ? 'last' : String(level) };
      const help = 'Delayed records that wait, about';
      metrics.gauge('delay_waiting_records', help, () => this.#waiting(level), labels);
    }
    const last = (read: (last: LastLevel) => number): number =>
      this.#lasts.reduce((sum, each) => sum + (each === undefined ? 0 : read(each)), 0);
    metrics.gauge('delay_held_records', 'Delayed records in memory', () => this.held);
    metrics.gauge('delay_held_bytes', 'Bytes of delayed records in memory', () =>
      last(({ core }) => core.payloadBytes),
    );
    metrics.counter('delay_fires_total', 'Batches of delayed records decided', () => last(({ core }) => core.fires));
    metrics.gauge('delay_live_cancels', 'Cancels of records that have not come', () =>
      last(({ core }) => core.liveCancels),
    );
    metrics.counter('delay_cancelled_total', 'Delayed records cancelled', () => last(({ core }) => core.struck));
    metrics.counter('delay_dead_letters_total', 'Delayed records without a target', () => this.deadLetters);
    const help = 'Partitions that have taken none of their due delayed records for half a minute or longer';
    metrics.gauge('delay_stuck_targets', help, () => this.stuck.count);
    metrics.counter('delay_parked_total', 'Due records sent round, since their target takes none', () => this.parked);
    this.lateness.register(metrics);
  }

  async #openOnce(level: number): Promise<TopicInfo> {
    const below = level === 0 ? lastDelayLevel : level - 1;
    const partitions = level === lastDelayLevel ? this.#newPartitions : (await this.open(below)).partitions;
    const there = this.#cluster.shard.topicNamed(delayTopicName(level));
    const wanted = { name: delayTopicName(level), partitions: there?.partitions ?? partitions, replicas: 1 };
    const topic = await this.#topics.create({ ...wanted, ifAbsent: true });
    if (this.#levels[level] === undefined && !this.#isStopped) this.#take(level, topic);
    return topic;
  }

  #take(level: number, topic: TopicInfo): void {
    this.#levels[level] = topic;
    this.#byTopic.set(topic.topicId, level);
    const movers: (LevelMover | undefined)[] = [];
    for (let number = 0; number < topic.partitions; number++) {
      const partition = this.#partitions.find(topic.topicId, number);
      if (partition?.isActive !== true) {
        const place = { topic: topic.name, partition: number };
        this.runtime.logger.error(place, 'delayed records of a level wait, since its partition does not serve');
      } else if (level === lastDelayLevel) {
        const last = new LastLevel(this, partition);
        this.#lasts[number] = last;
        last.start();
      } else {
        const mover = new LevelMover(this, partition, level);
        movers[number] = mover;
        mover.start();
      }
    }
    if (level !== lastDelayLevel) this.#movers[level] = movers;
  }

  /** Makes a topic that is needed now, and not again and again when that fails. */
  #make(name: string, make: () => Promise<unknown>): void {
    if (this.#making.has(name) || this.#isStopped) return;
    this.#making.add(name);
    make().then(
      () => this.#making.delete(name),
      (error) => {
        this.runtime.logger.warn({ topic: name, error }, 'a topic that delayed records need could not be made');
        this.runtime.clock.timer(makeAgainMs, () => this.#making.delete(name));
      },
    );
  }

  #deadLetters(): number | undefined {
    const topic = this.#cluster.shard.topicNamed(delayDeadLetters);
    if (topic !== undefined && this.#partitions.find(topic.topicId, 0)?.isActive) return topic.topicId;
    const partitions = topic?.partitions ?? 1;
    const wanted = { name: delayDeadLetters, partitions, replicas: 1, ifAbsent: true };
    this.#make(delayDeadLetters, () => this.#topics.create(wanted));
    return undefined;
  }

  /** Says where the record was to go, as far as its headers have room for it. */
  #deadLetter(record: Pending, timestampDelta: number, deadLettersId: number): Onward {
    const { topicId, partition } = record.target;
    if (topicId === deadLettersId) return delivered(record, timestampDelta);
    this.deadLetters++;
    const onward = delivered(record, timestampDelta);
    const added = [
      { name: 'delay.target', value: Buffer.from(`${topicId}/${partition}`) },
      { name: 'delay.deliverAtMs', value: Buffer.from(String(record.dueMs)) },
      { name: 'delay.error', value: Buffer.from('NOT_FOUND: its topic was deleted') },
    ];
    return { ...onward, headers: [...onward.headers, ...added].slice(0, headersMax) };
  }

  #waiting(level: number): number {
    if (level === lastDelayLevel) return this.#lasts.reduce((sum, last) => sum + (last?.core.pending ?? 0), 0);
    return (this.#movers[level] ?? []).reduce((sum, mover) => sum + (mover?.waiting ?? 0), 0);
  }
}

/** One whose disk failed, or whose log is damaged, takes none until a person has mended it. */
function takesRecords({ isActive, problem }: Partition): boolean {
  return isActive && problem === undefined;
}

function delivered({ record }: Pending, timestampDelta: number): Onward {
  const { key, value, headers } = record!;
  const targetTopicId = 0;
  return { key, value, headers, timestampDelta, type: 0, deliverAtMs: 0, targetTopicId, targetPartition: 0, origin: 0 };
}
