import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import { Broker } from '../../src/broker/broker.js';
import { Consumer } from '../../src/client/consumer/consumer.js';
import type { ConsumerRecord } from '../../src/client/consumer/consumer-record.js';
import type { HandlerContext } from '../../src/client/consumer/handler-context.js';
import { DeadRecords } from '../../src/client/dead-records.js';
import { Groups } from '../../src/client/groups.js';
import { fixedBrokers, TopicDirectory } from '../../src/client/topic-directory.js';
import { type QueueNetwork, TopicProducer } from '../../src/client/topic-producer.js';
import { Topics } from '../../src/client/topics.js';
import { Connections } from '../../src/rpc/connections.js';
import { RpcServer } from '../../src/rpc/server.js';
import type { Clock } from '../../src/runtime/clock.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import type { SimProcess } from '../../src/runtime/sim/sim-process.js';
import type { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { ConsumeChecks, type Piece, type Started } from './consume-checks.js';

const address = { host: '127.0.0.1', port: 7400 };
const topic = 'work';
const group = 'crew';
const partitions = 3;
const keys = 7;
const retryDelaysMs = [200, 700];
const hopeless = 99;

const elapse = (clock: Clock, ms: number): Promise<void> => new Promise((resolve) => void clock.timer(ms, resolve));

function networkOf(runtime: Runtime, clientId: string): QueueNetwork {
  const callers = new Connections(runtime, { clientId, kind: 'client' });
  return { runtime, callers, topics: new TopicDirectory(runtime, callers, fixedBrokers(address)) };
}

/** One broker, a producer, and three members of a group with a retry ladder, whose handlers take their time and fail. */
export class Consume {
  readonly checks: ConsumeChecks;
  readonly broker: SimProcess;
  readonly members: readonly SimProcess[];
  readonly processes: readonly SimProcess[];
  readonly #world: SimWorld;
  readonly #slowEvery: number;
  readonly #failEvery: number;
  readonly #order: 'partition' | 'key';
  readonly #everyMs: number;
  #isSettling = false;
  #isAudited = false;
  #open = 0;

  constructor(world: SimWorld) {
    this.#world = world;
    const { random } = world;
    this.#slowEvery = 3 + random.below(40);
    this.#failEvery = 4 + random.below(30);
    this.#order = random.below(4) === 0 ? 'partition' : 'key';
    this.#everyMs = 5 * 2 ** (random.unit() * 5);
    this.checks = new ConsumeChecks(retryDelaysMs.length + 1, (error) => world.fail(error));
    this.broker = world.process('broker');
    this.members = ['member-1', 'member-2', 'member-3'].map((name) => world.process(name));
    this.processes = [this.broker, world.process('producer'), ...this.members];
  }

  /** Dead letters that the audit waits for. */
  missing: readonly string[] = [];
  /** Called when all is done, before the members are told to go. */
  onLeaving: () => void = () => {};

  get isSettled(): boolean {
    return this.#isAudited;
  }

  start(): void {
    this.broker.start((runtime) => this.#serve(runtime));
    this.#world.process('producer').start((runtime) => this.#produce(runtime));
    for (const member of this.members) member.start((runtime) => this.#consume(runtime, member));
  }

  /** Sends nothing more, waits until all has come to its end, lets the members go, and looks at what is committed. */
  settle(): void {
    this.#isSettling = true;
    this.#world.process('auditor').start((runtime) => this.#audit(runtime));
  }

  /** What is committed is looked at now, as if every member had died here. */
  async look(runtime: Runtime): Promise<void> {
    const groups = new Groups(networkOf(runtime, 'looker'));
    for (;;) {
      try {
        const { partitions: found } = await groups.describe(group);
        for (const { topic: of, partition, committed } of found) {
          if (of === topic && committed !== undefined) this.checks.committed(partition, committed);
        }
      } catch (error) {
        if (!isTaskdError(error)) this.#world.fail(error);
      }
      await elapse(runtime.clock, 300);
    }
  }

  async #serve(runtime: Runtime): Promise<void> {
    const identity = { nodeId: 'broker-1', incarnation: this.broker.lives, roles: ['broker'], clusterId: '' };
    const server = new RpcServer(runtime, identity);
    try {
      const options = { dataFolder: '/data/taskd', autoCreateTopics: false, segmentBytes: 256 * 1024 };
      const broker = await Broker.start(runtime, server, identity, () => address, options);
      await server.listen(address);
      runtime.process.onStop(() => {
        server.close();
        void broker.stop().then(() => runtime.process.exit(0));
      });
    } catch (error) {
      const { STORAGE_FAILED, STORAGE_FULL, OUTCOME_UNKNOWN } = ErrorCode;
      if (!isTaskdError(error, STORAGE_FAILED, STORAGE_FULL, OUTCOME_UNKNOWN)) throw error;
      runtime.process.exit(1);
    }
  }

  async #produce(runtime: Runtime): Promise<void> {
    const { clock, random } = runtime;
    runtime.process.onStop(() => runtime.process.exit(0));
    const network = networkOf(runtime, 'producer');
    const topics = new Topics(network.topics);
    for (;;) {
      try {
        await topics.create(topic, { partitions, ifAbsent: true, retryDelaysMs });
        break;
      } catch (error) {
        if (!isTaskdError(error)) this.#world.fail(error);
        await elapse(clock, 100);
      }
    }
    const producer = new TopicProducer(network);
    while (!this.#isSettling) {
      const failing = random.below(this.#failEvery) === 0;
      const failures = !failing ? 0 : random.below(4) === 0 ? hopeless : 1 + random.below(retryDelaysMs.length);
      const piece: Piece = { id: `p${this.#open++}`, key: `k${random.below(keys)}`, failures };
      producer.send(topic, { key: piece.key, value: JSON.stringify(piece) }).then(
        (place) => this.checks.acknowledged(piece, place),
        (error: unknown) => {
          if (!isTaskdError(error)) this.#world.fail(error);
        },
      );
      await elapse(clock, random.unit() * 2 * this.#everyMs);
    }
  }

  async #consume(runtime: Runtime, process: SimProcess): Promise<void> {
    const life = process.lives;
    const isMine = (): boolean => process.isAlive && process.lives === life;
    const member = `${process.name}#${life}`;
    const consumer = new Consumer(networkOf(runtime, process.name), {
      group,
      topics: [topic],
      order: this.#order,
      concurrency: 6,
      releaseTimeoutMs: 5_000,
      closeTimeoutMs: 8_000,
      commitIntervalMs: 150,
      onAssigned: (places) => {
        for (const { partition } of places) this.checks.given(partition, member);
      },
    });
    runtime.process.onStop(() => {
      void consumer.close().then(() => runtime.process.exit(0));
    });
    await consumer.run((record, context) => this.#handle(runtime, member, isMine, record, context));
  }

  async #handle(
    { clock, random }: Runtime,
    member: string,
    isMine: () => boolean,
    record: ConsumerRecord,
    context: HandlerContext,
  ): Promise<void> {
    const piece = record.json<Piece>();
    const { partition, offset, attempt } = record;
    const { signal } = context;
    const call: Started = { piece, partition, offset, attempt, member, isGoodFor: () => isMine() && !signal.aborted };
    if (record.topic !== topic) this.#world.fail(new Error(`a record of ${record.topic}`));
    if (isMine()) this.checks.started(call);
    const isSlow = random.below(this.#slowEvery) === 0;
    await Promise.race([
      elapse(clock, isSlow ? random.unit() * 3_000 : random.unit() * 30),
      new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())),
    ]);
    const isFailing = attempt <= piece.failures;
    if (isMine()) this.checks.ended(call, signal.aborted ? 'stopped' : isFailing ? 'failed' : 'done');
    signal.throwIfAborted();
    if (isFailing) throw new Error(`${piece.id} fails ${piece.failures} times`);
  }

  async #audit(runtime: Runtime): Promise<void> {
    const { clock } = runtime;
    while (this.checks.pending().length > 0) await elapse(clock, 200);
    const network = networkOf(runtime, 'auditor');
    this.missing = this.checks.notDead(await this.#dead(network));
    // On their way from one try to the next they are in no topic of the group.
    while (this.missing.length > 0) {
      await elapse(clock, 500);
      this.missing = this.checks.notDead(await this.#dead(network));
    }
    const groups = new Groups(network);
    const lag = async (): Promise<number> => {
      const description = await groups.describe(group);
      return description.lag;
    };
    // Copies of records that were stored twice may still be on their way: quiet is what lasts longer than the ladder.
    for (let quietMs = 0; quietMs < 3_000; quietMs += 200) {
      if ((await lag()) > 0) quietMs = 0;
      await elapse(clock, 200);
    }
    this.onLeaving();
    for (const member of this.members) member.stop();
    while (this.members.some(({ isAlive }) => isAlive)) await elapse(clock, 100);
    const { members, partitions: found } = await groups.describe(group);
    if (members.length > 0) this.#world.fail(new Error(`${members.length} members did not leave`));
    for (const { topic: of, partition, committed, lag: left } of found) {
      if (left > 0) this.#world.fail(new Error(`${of}/${partition} has a lag of ${left} after all have left`));
      if (of === topic) this.checks.committed(partition, committed ?? 0);
    }
    this.#isAudited = true;
  }

  async #dead(network: QueueNetwork): Promise<Set<string>> {
    const dead = await new DeadRecords(network).list(group, {}, 10_000);
    return new Set(dead.map(({ value }) => (JSON.parse(value!.toString()) as Piece).id));
  }
}
