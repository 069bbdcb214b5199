import { MetricSet } from '../../src/base/counters.js';
import { delayedIdText, delayLevelCount, delayPartition, delayTopicName } from '../../src/base/delay-level.js';
import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import { BatchClass, headerBytes } from '../../src/batch/header.js';
import { type NewRecord, readRecords } from '../../src/batch/record.js';
import { Broker } from '../../src/broker/broker.js';
import { Fetcher } from '../../src/client/fetcher.js';
import type { Delivered, Producer } from '../../src/client/producer.js';
import { RpcServer } from '../../src/rpc/server.js';
import type { Clock } from '../../src/runtime/clock.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import type { SimProcess } from '../../src/runtime/sim/sim-process.js';
import type { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { deleteTopic, openDelayLevel } from '../../src/wire/methods.js';
import { ClientKit } from '../support/broker-node.js';
import { DelayedSends } from '../support/delayed-sends.js';
import { DelayedRecords, type Place } from './delayed-records.js';

const address = { host: '127.0.0.1', port: 7400 };
const folder = '/data/taskd';
const targetPartitions = 3;

const elapse = (clock: Clock, ms: number): Promise<void> => new Promise((resolve) => void clock.timer(ms, resolve));

export interface DelayedOptions {
  readonly records: number;
  /** All records are due within so long. */
  readonly spanMs: number;
  readonly segmentBytes: number;
  readonly trimBytes: number;
  /** Share of the records that are cancelled, and of those whose topic is deleted. */
  readonly cancelShare: number;
  readonly doomedShare: number;
  /** Due times are multiples of this. */
  readonly gridMs: number;
  /** How long a reader's poll waits. */
  readonly pollMs: number;
  /** Records that one partition of the last level holds. Default: the broker's. */
  readonly heldMax?: number;
}

/** One broker, a client that sends delayed records and cancels some, readers of their targets. */
export class Delayed {
  readonly records: DelayedRecords;
  readonly broker: SimProcess;
  readonly #world: SimWorld;
  readonly #options: DelayedOptions;
  readonly #targets = new Map<string, number>();
  #metrics = new MetricSet();
  #parkedBefore = 0;
  #open = 0;
  #isSent = false;
  /** The most delayed records that were in the broker's memory at once, by looks every virtual second. */
  heldMax = 0;

  constructor(world: SimWorld, options: DelayedOptions) {
    this.#world = world;
    this.#options = options;
    this.broker = world.process('broker');
    this.records = new DelayedRecords(options.records, (error) => world.fail(error));
  }

  /** True when all was sent and has its outcome. */
  get isSent(): boolean {
    return this.#isSent && this.#open === 0;
  }

  start(): void {
    this.broker.start((runtime) => this.#serve(runtime));
    this.#world.process('client').start((runtime) => this.#client(runtime));
    const look = (): void => {
      for (const { name, read } of this.#metrics.all()) {
        if (name === 'delay_held_records') this.heldMax = Math.max(this.heldMax, read());
      }
      this.#world.after(1_000, look);
    };
    look();
  }

  /** The next write to one of the targets fails: that partition takes nothing any more until the broker starts again. */
  breakTarget(): void {
    const topicId = this.#targets.get('target');
    if (topicId === undefined) return;
    const { disk } = this.broker;
    disk.failingUnder = `${folder}/data/${topicId}/0-`;
    disk.failingSyncs = 1;
  }

  /** Records that went round since their target took none. */
  get parked(): number {
    return this.#parkedBefore + this.metric('delay_parked_total');
  }

  metric(name: string): number {
    let sum = 0;
    for (const metric of this.#metrics.all()) if (metric.name === name) sum += metric.read();
    return sum;
  }

  async #serve(runtime: Runtime): Promise<void> {
    const identity = { nodeId: 'broker-1', incarnation: this.broker.lives, roles: ['broker'], clusterId: '' };
    this.records.startedMs = runtime.clock.wallMs();
    const server = new RpcServer(runtime, identity);
    const { segmentBytes, trimBytes, heldMax } = this.#options;
    const broker = await Broker.start(runtime, server, identity, () => address, {
      dataFolder: folder,
      autoCreateTopics: false,
      segmentBytes,
      delay: { partitions: 2, trimBytes, ...(heldMax === undefined ? {} : { heldMax }) },
    });
    this.#parkedBefore = this.parked;
    this.#metrics = new MetricSet();
    broker.registerMetrics(this.#metrics);
    await server.listen(address);
  }

  async #client(runtime: Runtime): Promise<void> {
    const kit = new ClientKit(runtime, address);
    const { clock } = runtime;
    for (const [name, partitions] of [
      ['target', targetPartitions],
      ['doomed', 1],
    ] as const) {
      this.#targets.set(name, (await kit.topics.create(name, partitions, true)).topicId);
    }
    for (let partition = 0; partition < targetPartitions; partition++) {
      this.#read(kit, this.#targets.get('target')!, partition, 'target');
    }
    const sends = new DelayedSends({ runtime, callers: kit.connections, topics: kit.topics });
    const producer = kit.producer({ batchBytes: 8_192 });
    const { records, spanMs, doomedShare } = this.#options;
    const bursts = Math.min(records, Math.max(200, Math.ceil(records / 500)));
    const beganMs = clock.wallMs();
    if (doomedShare > 0) void this.#delete(kit, spanMs / 2);
    for (let burst = 0, id = 0; burst < bursts; burst++) {
      for (; id < (records * (burst + 1)) / bursts; id++) void this.#send(kit, sends, producer, id, beganMs);
      await elapse(clock, ((spanMs * 0.9) / bursts) * 2 * this.#world.random.unit());
      await producer.flush();
    }
    this.#isSent = true;
  }

  async #send(kit: ClientKit, sends: DelayedSends, producer: Producer, id: number, beganMs: number): Promise<void> {
    const { random } = this.#world;
    const { clock } = kit.runtime;
    const { cancelShare, doomedShare, spanMs, gridMs } = this.#options;
    const sentMs = clock.wallMs();
    const leftMs = Math.max(1, beganMs + spanMs - sentMs);
    const longestMs = [-100, 100, 2_000, 20_000, leftMs, leftMs][random.below(6)]!;
    const waitMs = random.unit() * Math.min(longestMs, leftMs);
    const dueMs = Math.ceil((sentMs + waitMs) / gridMs) * gridMs;
    const isDoomed = random.unit() < doomedShare;
    const value = new Uint8Array(4);
    new DataView(value.buffer).setUint32(0, id);
    this.#open++;
    this.records.sending({ id, dueMs, sentMs, isDoomed });
    try {
      const topicId = this.#targets.get(isDoomed ? 'doomed' : 'target')!;
      const partition = isDoomed ? 0 : random.below(targetPartitions);
      const args = [producer, topicId, partition, { value }, dueMs] as const;
      const { delayedId, appendTimestampMs } = await (random.below(12) === 0
        ? this.#sendAnywhere(kit, ...args)
        : sends.send(...args));
      this.records.wasStored(id, appendTimestampMs);
      if (random.unit() < cancelShare) await this.#cancel(clock, sends, id, delayedId!);
    } catch (error) {
      this.records.wasNotStored(id, isTaskdError(error, ErrorCode.OUTCOME_UNKNOWN));
    }
    this.#open--;
  }

  /** As `DelayedSends` does it, but into any level. */
  async #sendAnywhere(
    kit: ClientKit,
    producer: Producer,
    targetTopicId: number,
    targetPartition: number,
    record: NewRecord,
    deliverAtMs: number,
  ): Promise<Delivered> {
    const level = this.#world.random.below(delayLevelCount);
    await kit.topics.ask(openDelayLevel, { level });
    const { topicId, partitions } = await kit.topics.named(delayTopicName(level));
    const partition = delayPartition(targetTopicId, targetPartition, partitions);
    const delayed = { ...record, deliverAtMs, targetTopicId, targetPartition };
    const stored = await producer.send(topicId, partition, delayed, BatchClass.CLIENT);
    return { ...stored, delayedId: delayedIdText({ partition, level, offset: stored.offset, deliverAtMs }) };
  }

  /** At any moment before the record is due, or a little after. */
  async #cancel(clock: Clock, sends: DelayedSends, id: number, delayedId: string): Promise<void> {
    const leftMs = this.records.dueOf(id) + 50 - clock.wallMs();
    await elapse(clock, Math.max(0, leftMs) * this.#world.random.unit());
    this.records.cancelling(id);
    const isCancelled = await sends.cancel(delayedId).catch(() => false);
    if (isCancelled) this.records.wasCancelled(id);
  }

  async #delete(kit: ClientKit, afterMs: number): Promise<void> {
    const { clock } = kit.runtime;
    await elapse(clock, afterMs);
    this.records.deletedFromMs = clock.wallMs();
    await kit.topics.ask(deleteTopic, { name: 'doomed' }).catch((error) => {
      // The answer to an earlier attempt was lost.
      if (!isTaskdError(error, ErrorCode.NOT_FOUND)) throw error;
    });
    this.records.deletedToMs = clock.wallMs();
    for (;;) {
      try {
        const { topicId } = await kit.topics.named('dlq.delay');
        this.#read(kit, topicId, 0, 'dead letters');
        return;
      } catch (error) {
        if (!isTaskdError(error, ErrorCode.NOT_FOUND)) throw error;
        await elapse(clock, 1_000);
      }
    }
  }

  #read(kit: ClientKit, topicId: number, partition: number, place: Place): void {
    const delivered = this.records.reading(place);
    const events = {
      batch: (header: { baseOffset: number; recordCount: number; appendTimestamp: number }, bytes: Uint8Array) => {
        readRecords(bytes.subarray(headerBytes), header.baseOffset, header.recordCount, ({ value }) => {
          delivered(new DataView(value!.buffer, value!.byteOffset).getUint32(0), header.appendTimestamp);
        });
      },
      lost: (_start: number, error: Error) => this.#world.fail(error),
    };
    const options = { waitMs: this.#options.pollMs };
    new Fetcher(kit.runtime, kit.connections, kit.topics, { topicId, partition, offset: 0 }, events, options);
  }
}
