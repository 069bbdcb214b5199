import { BatchClass } from '../../src/batch/header.js';
import type { NewRecord } from '../../src/batch/record.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { BrokerNode } from '../support/broker-node.js';
import { GroupLedger } from './group-ledger.js';
import { GroupMember } from './group-member.js';
import type { ScenarioOptions, WorldResult } from './world-result.js';

const address = { host: '127.0.0.1', port: 7_600 };
const topic = 'work';
const partitions = 12;
/** More than the members of one run ever consume of a partition. */
const recordsPerStart = 2_000;
/** The first two share an instance id, so that only one of them is in. */
const instanceIds = ['twin', 'twin', 'static', '', '', ''];
/** The log of the group is written anew again and again. */
const rewriteBytes = 500;
const faultsMs = 30_000;
const settleMs = 60_000;

/** A broker and the members of one group under one seed: faults for a while, then everybody comes to rest. */
export async function runGroupSeed(seed: number, options: ScenarioOptions = {}): Promise<WorldResult> {
  const world = new SimWorld(seed, options);
  const groups = new GroupWorld(world);
  let problem: Error | undefined;
  try {
    groups.start();
    await world.run({ untilMs: faultsMs });
    groups.stopFaults();
    if (!(await world.run({ untilMs: world.nowMs + settleMs, until: () => groups.isAtRest }))) {
      throw new Error(`seed ${seed}: no rest within ${settleMs} ms after the last fault`);
    }
  } catch (error) {
    problem = error as Error;
  }
  const { grants, commits, outs } = groups.ledger;
  return {
    seed,
    problem,
    counts: { grants, commits, outs },
    events: world.events,
    virtualMs: world.nowMs,
    digest: world.digest,
    faults: groups.faults(),
    log: world.log.lines,
  };
}

class GroupWorld {
  readonly ledger: GroupLedger;
  readonly #world: SimWorld;
  readonly #members: readonly (GroupMember | undefined)[] = [];
  readonly #counts = new Map<string, number>();
  #areFaultsOn = true;

  constructor(world: SimWorld) {
    this.#world = world;
    this.ledger = new GroupLedger(world);
    this.#members = instanceIds.map(() => undefined);
  }

  /** Every partition is consumed by one member, and nobody has many more than another. */
  get isAtRest(): boolean {
    const shares = this.ledger.sharesAtRest(partitions);
    return shares !== undefined && Math.max(...shares) - Math.min(...shares) <= 1;
  }

  faults(): string {
    return [...this.#counts].map(([kind, count]) => `${count} ${kind}`).join(', ');
  }

  start(): void {
    this.#broker.start(async (runtime) => {
      const node = await BrokerNode.start(runtime, '/data', { port: address.port, groups: { rewriteBytes } });
      const topicId = await node.broker.ensureTopic(topic, partitions);
      // What members commit must be there to be read.
      const records = new Array<NewRecord>(recordsPerStart).fill({});
      for (let i = 0; i < partitions; i++) await node.broker.taskLog(topicId, i).append(records, BatchClass.CLIENT);
    });
    const members = this.#members as (GroupMember | undefined)[];
    for (const [i, instanceId] of instanceIds.entries()) {
      const process = this.#process(i);
      this.#world.after(this.#world.random.below(8_000), () => {
        process.start((runtime) => {
          members[i] = new GroupMember(runtime, process, this.ledger, { address, topic, instanceId });
          members[i]!.start();
        });
      });
    }
    this.#disturb();
  }

  stopFaults(): void {
    this.#areFaultsOn = false;
    this.#broker.killAfterOperations(Number.POSITIVE_INFINITY);
    if (!this.#broker.isAlive) this.#broker.restart();
  }

  get #broker() {
    return this.#world.process('broker');
  }

  #process(i: number) {
    return this.#world.process(`member-${i}`);
  }

  #disturb(): void {
    this.#world.after(300 + this.#world.random.below(2_500), () => {
      if (!this.#areFaultsOn) return;
      this.#fault();
      this.#disturb();
    });
  }

  #fault(): void {
    const { random, network } = this.#world;
    const i = random.below(instanceIds.length);
    const member = this.#process(i);
    const die = random.below(10);
    if (die < 2) {
      this.#count('kills of the broker');
      const powerLoss = random.below(2) === 0;
      this.#broker.killAfterOperations(random.below(30), { powerLoss });
      this.#world.after(50 + random.below(1_500), () => this.#broker.restart());
    } else if (die < 3) {
      this.#count('pauses of the broker');
      this.#broker.pause(random.below(8_000));
    } else if (die < 5) {
      this.#count('kills of members');
      member.kill({ powerLoss: random.below(3) === 0 });
      this.#world.after(random.below(9_000), () => this.#again(i));
    } else if (die < 6) {
      this.#count('members that leave');
      const left = this.#members[i]?.stop();
      void left?.then(() => member.kill());
      this.#world.after(random.below(9_000), () => this.#again(i));
    } else if (die < 8) {
      this.#count('cuts');
      this.ledger.trouble(member.name, 0);
      network.cut('broker', member.name);
    } else {
      this.#count('pauses of members');
      const forMs = random.below(12_000);
      this.ledger.trouble(member.name, forMs);
      member.pause(forMs);
    }
  }

  /** The process is there again, if it ever was. */
  #again(i: number): void {
    const member = this.#process(i);
    if (!member.isAlive && member.lives > 0) member.restart();
  }

  #count(kind: string): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
  }
}
