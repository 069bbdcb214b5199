import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import { BatchClass, headerBytes } from '../../src/batch/header.js';
import { readRecords } from '../../src/batch/record.js';
import { Broker } from '../../src/broker/broker.js';
import { Fetcher } from '../../src/client/fetcher.js';
import type { Producer } from '../../src/client/producer.js';
import { RpcServer } from '../../src/rpc/server.js';
import type { Clock } from '../../src/runtime/clock.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import type { SimProcess } from '../../src/runtime/sim/sim-process.js';
import type { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { ClientKit } from '../support/broker-node.js';
import { type Damaged, QueueRecords, recordValue } from './queue-records.js';

const address = { host: '127.0.0.1', port: 7400 };
export const queueFolder = '/data/taskd';
const topicName = 'queue';
const partitions = 2;

const elapse = (clock: Clock, ms: number): Promise<void> => new Promise((resolve) => void clock.timer(ms, resolve));

/** One broker, producers that send to it, a consumer that reads from the start again and again. */
export class Queue {
  readonly records: QueueRecords;
  readonly broker: SimProcess;
  readonly clients: readonly SimProcess[];
  /** Of the topic, once it is known. */
  topicId: number | undefined;
  /** Called when somebody outside was promised something: a producer by an answer, a consumer by a record. */
  onPromise: (isAnswer: boolean) => void = () => {};
  readonly #world: SimWorld;
  readonly #segmentBytes: number;
  readonly #valueBytesMax: number;
  readonly #batchBytes: number;
  readonly #deliveryTimeoutMs: number;
  readonly #burstMax: number;
  readonly #damaged: Damaged;
  #open = 0;
  #isSettling = false;
  #isAudited = false;

  constructor(world: SimWorld, damaged: Damaged) {
    this.#world = world;
    this.#damaged = damaged;
    const { random } = world;
    this.#segmentBytes = 4_096 * 2 ** random.below(7);
    // Large values make write groups of several pages, of which a crash may leave any.
    this.#valueBytesMax = [60, 600, 9_000][random.below(3)]!;
    this.#batchBytes = 200 * 2 ** random.below(8);
    this.#deliveryTimeoutMs = random.below(3) === 0 ? 400 : 120_000;
    this.#burstMax = 1 + random.below(12);
    this.records = new QueueRecords(partitions, damaged, (error) => world.fail(error));
    this.broker = world.process('broker');
    this.clients = ['producer-1', 'producer-2', 'consumer'].map((name) => world.process(name));
  }

  /** True when everything was read again and all checkers were content. */
  get isSettled(): boolean {
    return this.#isAudited;
  }

  start(): void {
    const [first, second, consumer] = this.clients;
    this.broker.start((runtime) => this.#serve(runtime));
    for (const producer of [first!, second!]) producer.start((runtime) => this.#produce(runtime, producer.name));
    consumer!.start((runtime) => this.#consume(runtime));
  }

  /** Sends nothing new, waits for the outcomes that are open, and reads everything. */
  settle(): void {
    this.#isSettling = true;
    this.#world.process('auditor').start((runtime) => this.#audit(runtime));
  }

  async #serve(runtime: Runtime): Promise<void> {
    const identity = { nodeId: 'broker-1', incarnation: this.broker.lives, roles: ['broker'], clusterId: '' };
    const server = new RpcServer(runtime, identity);
    try {
      const options = { dataFolder: queueFolder, autoCreateTopics: false, segmentBytes: this.#segmentBytes };
      const broker = await Broker.start(runtime, server, identity, () => address, options);
      await server.listen(address);
      runtime.process.onStop(() => {
        server.close();
        void broker.stop().then(() => runtime.process.exit(0));
      });
    } catch (error) {
      // The cluster's own log may fail under the first record that the start itself writes.
      const { STORAGE_FAILED, STORAGE_FULL, OUTCOME_UNKNOWN } = ErrorCode;
      if (!isTaskdError(error, STORAGE_FAILED, STORAGE_FULL, OUTCOME_UNKNOWN)) throw error;
      runtime.logger.warn({ reason: error.message }, 'the broker did not start');
      runtime.process.exit(1);
    }
  }

  async #produce(runtime: Runtime, name: string): Promise<void> {
    const { clock, random } = runtime;
    const kit = new ClientKit(runtime, address);
    const topicId = await this.#topic(runtime, kit);
    const producer = kit.producer({ batchBytes: this.#batchBytes, deliveryTimeoutMs: this.#deliveryTimeoutMs });
    const numbers = new Array<number>(partitions).fill(0);
    while (!this.#isSettling) {
      for (let burst = 1 + random.below(this.#burstMax); burst > 0; burst--) {
        const partition = random.below(partitions);
        const length = Math.floor(random.unit() ** 2 * this.#valueBytesMax);
        const value = recordValue(name, partition, numbers[partition]!++, length);
        void this.#send(producer, topicId, partition, value);
      }
      await elapse(clock, random.unit() ** 3 * 120);
    }
  }

  async #send(producer: Producer, topicId: number, partition: number, value: Uint8Array): Promise<void> {
    this.#open++;
    try {
      const { offset } = await producer.send(topicId, partition, { value }, BatchClass.CLIENT);
      this.records.acknowledged(value, partition, offset);
      this.onPromise(true);
    } catch (error) {
      if (!isTaskdError(error)) this.#world.fail(error);
      else if (error.code === ErrorCode.OUTCOME_UNKNOWN) this.records.unknown();
      else this.records.refused(value);
    }
    this.#open--;
  }

  async #topic(runtime: Runtime, kit: ClientKit): Promise<number> {
    for (;;) {
      try {
        const { topicId } = await kit.topics.create(topicName, partitions, true);
        this.topicId = topicId;
        return topicId;
      } catch (error) {
        if (!isTaskdError(error)) this.#world.fail(error);
        await elapse(runtime.clock, 50);
      }
    }
  }

  async #consume(runtime: Runtime): Promise<void> {
    const { clock, random } = runtime;
    const kit = new ClientKit(runtime, address);
    const topicId = await this.#topic(runtime, kit);
    for (;;) {
      const readers = Array.from({ length: partitions }, (_, partition) => {
        const read = (offset: number, value: Uint8Array): void => {
          this.records.saw(partition, offset, value);
          this.onPromise(false);
        };
        return this.#read(runtime, kit, topicId, partition, 0, read, () => {});
      });
      await elapse(clock, 100 + random.unit() * 1_500);
      for (const reader of readers) reader.close();
    }
  }

  /** Reads a partition from `offset` on, over places that were damaged on purpose. */
  #read(
    runtime: Runtime,
    kit: ClientKit,
    topicId: number,
    partition: number,
    offset: number,
    read: (offset: number, value: Uint8Array) => void,
    caughtUp: (end: number) => void,
  ): { close(): void } {
    let isClosed = false;
    let current: Fetcher | undefined;
    const begin = (offset: number): void => {
      const events = {
        batch: (header: { baseOffset: number; recordCount: number }, bytes: Uint8Array) => {
          readRecords(bytes.subarray(headerBytes), header.baseOffset, header.recordCount, (record) => {
            read(record.offset, record.value!);
          });
        },
        caughtUp,
        trouble: (error: Error) => runtime.logger.debug({ partition, error: error.message }, 'a fetch failed'),
        lost: (logStart: number, error: Error) => {
          const gap = isTaskdError(error, ErrorCode.DATA_LOSS) ? /^(\d+)-(\d+)/.exec(error.hint) : null;
          const [from, to] = [Number(gap?.[1]), Number(gap?.[2])];
          if (gap !== null && this.#damaged.has(partition, from) && to > from) {
            if (!isClosed) begin(to);
          } else this.#world.fail(new Error(`partition ${partition}, log from ${logStart}: ${error.message}`));
        },
      };
      const place = { topicId, partition, offset };
      const bytesMax = 1 << (8 + runtime.random.below(12));
      current = new Fetcher(runtime, kit.connections, kit.topics, place, events, { bytesMax, waitMs: 200 });
    };
    begin(offset);
    return {
      close: () => {
        isClosed = true;
        current?.close();
      },
    };
  }

  async #audit(runtime: Runtime): Promise<void> {
    const kit = new ClientKit(runtime, address);
    const topicId = await this.#topic(runtime, kit);
    while (this.#open > 0) await elapse(runtime.clock, 20);
    runtime.logger.debug({}, 'every outcome is known');
    await this.#probe(kit.producer(), topicId);
    const found = Array.from({ length: partitions }, () => new Set<number>());
    const ends = new Array<number>(partitions).fill(0);
    await Promise.all(
      found.map((offsets, partition) => {
        return new Promise<void>((resolve) => {
          const knownEnd = this.records.knownEnd(partition);
          const read = (offset: number, value: Uint8Array): void => {
            this.records.saw(partition, offset, value);
            offsets.add(offset);
          };
          const caughtUp = (end: number): void => {
            const isShort = end < knownEnd && !this.#damaged.has(partition, end);
            if (isShort) this.#world.fail(new Error(`partition ${partition} ends at ${end}, was known to ${knownEnd}`));
            ends[partition] = end;
            reader.close();
            resolve();
          };
          const reader = this.#read(runtime, kit, topicId, partition, 0, read, caughtUp);
        });
      }),
    );
    this.records.audit(found, ends);
    this.#isAudited = true;
  }

  /** Every partition takes records again once all faults are over, unless its bytes were damaged. */
  async #probe(producer: Producer, topicId: number): Promise<void> {
    for (let partition = 0; partition < partitions; partition++) {
      const value = recordValue('probe', partition, 1, 40);
      try {
        const { offset } = await producer.send(topicId, partition, { value }, BatchClass.CLIENT);
        this.records.acknowledged(value, partition, offset);
      } catch (error) {
        const isExpected = isTaskdError(error, ErrorCode.STORAGE_FAILED) && this.#damaged.has(partition, -1);
        if (!isExpected) this.#world.fail(error);
      }
    }
  }
}
