import type { Random } from '../../src/runtime/random.js';
import type { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { FaultPlan, fillDisk, mendDisk } from './fault-plan.js';
import type { Queue } from './queue.js';
import type { QueueRot } from './queue-rot.js';

const kinds = [
  'kill',
  'kill at an operation',
  'power loss',
  'power loss at an operation',
  'power loss at a promise',
  'stop',
  'failing sync',
  'full disk',
  'slow disk',
  'cut',
  'rot',
] as const;

type Fault = (typeof kinds)[number];

const downMsMax = 300;
/** A crash may come at any operation of a start and of what follows it. */
const operationsMax = 250;
const fullMsMax = 1_500;
const fullBytesLeft = 64 * 1024;
const slowMsMax = 600;
const keeperMs = 20;

/**
 * Breaks a queue at random while it is on. A crash comes before, in or after any operation on files: what was under way
 * then happened, or not, or in part, and a power loss takes any sectors that were not synced.
 */
export class QueueFaults {
  readonly #world: SimWorld;
  readonly #queue: Queue;
  readonly #rot: QueueRot;
  readonly #random: Random;
  readonly #plan: FaultPlan<Fault>;
  /** The power goes as soon as somebody was promised something. */
  #isLurking = false;
  /** The same, at the next answer to a producer. */
  #isLurkingForAnswer = false;
  /** A sync failed, or will: somebody looks and starts the broker again, and then the power goes at a promise. */
  #isSyncFailing = false;

  constructor(world: SimWorld, queue: Queue, rot: QueueRot) {
    this.#world = world;
    this.#queue = queue;
    this.#rot = rot;
    this.#random = world.random.fork();
    const everyMs = 100 * 2 ** (this.#random.unit() * 4);
    // Rot leaves a partition read-only, so that little else happens to it; a slow disk takes time: in some worlds only.
    const theme = this.#random.below(4);
    const weightOf = (kind: Fault): number => {
      if (kind === 'rot') return theme === 0 ? 1 + this.#random.below(3) : 0;
      return kind === 'slow disk' && theme === 1 ? 20 : this.#random.below(4);
    };
    const weights = kinds.map((kind) => [kind, weightOf(kind)] as const);
    this.#plan = new FaultPlan(world, this.#random, everyMs, weights);
  }

  /** How often each was done, as text. */
  summary(): string {
    return this.#plan.summary();
  }

  start(): void {
    this.#queue.onPromise = (isAnswer) => this.#promised(isAnswer);
    this.#keep();
    this.#plan.start((kind) => this.#strike(kind));
  }

  /** No more faults; the broker runs. */
  stop(): void {
    this.#plan.stop();
    const { broker } = this.#queue;
    this.#world.network.heal();
    if (this.#isSyncFailing) broker.kill();
    mendDisk(broker.disk);
    broker.killAfterOperations(Number.POSITIVE_INFINITY);
    if (!broker.isAlive) broker.restart();
  }

  #promised(isAnswer: boolean): void {
    const { broker } = this.#queue;
    if (!this.#plan.isOn || !broker.isAlive) return;
    if (!this.#isLurking && !(isAnswer && this.#isLurkingForAnswer)) return;
    this.#isLurking = false;
    this.#isLurkingForAnswer = false;
    broker.kill({ powerLoss: true });
  }

  /** Starts the broker again a while after it died, and after a failed sync. */
  #keep(): void {
    const { broker } = this.#queue;
    let upAtMs: number | undefined;
    const look = (): void => {
      if (broker.isAlive) upAtMs = undefined;
      else if (upAtMs === undefined) upAtMs = this.#world.nowMs + this.#random.unit() ** 2 * downMsMax;
      else if (this.#world.nowMs >= upAtMs) {
        broker.restart();
        // Often it dies again in its start, or just after.
        if (this.#plan.isOn && this.#random.below(3) === 0) this.#dieAtAnOperation();
      }
      if (this.#isSyncFailing && broker.disk.failingSyncs === 0) {
        this.#isSyncFailing = false;
        this.#world.after(this.#random.unit() * 100, () => {
          broker.kill();
          this.#isLurking ||= this.#random.below(2) === 0;
        });
      }
      this.#world.after(keeperMs, look);
    };
    look();
  }

  #dieAtAnOperation(): void {
    const powerLoss = this.#random.below(2) === 0;
    this.#queue.broker.killAfterOperations(this.#random.below(operationsMax), { powerLoss });
  }

  #strike(kind: Fault): void {
    const { broker, clients } = this.#queue;
    const { disk } = broker;
    this.#world.log.add('fault', broker.name, {}, kind);
    switch (kind) {
      case 'kill':
      case 'power loss':
        broker.kill({ powerLoss: kind === 'power loss' });
        break;
      case 'kill at an operation':
      case 'power loss at an operation':
        broker.killAfterOperations(this.#random.below(20), { powerLoss: kind !== 'kill at an operation' });
        break;
      case 'power loss at a promise':
        this.#isLurking = true;
        break;
      case 'stop':
        broker.stop();
        break;
      case 'failing sync':
        disk.failingSyncs = 1;
        this.#isSyncFailing = true;
        break;
      case 'full disk': {
        const bytesLeft = this.#random.below(fullBytesLeft);
        fillDisk(this.#world, disk, bytesLeft, this.#random.unit() ** 2 * fullMsMax);
        break;
      }
      case 'slow disk':
        this.#slowDown();
        break;
      case 'cut':
        for (const client of clients) {
          if (this.#random.below(2) === 0) this.#world.network.cut(broker.name, client.name);
        }
        break;
      case 'rot': {
        const { topicId, records } = this.#queue;
        if (topicId === undefined) break;
        const isStruck = this.#rot.strike(disk, topicId, (partition) => records.knownEnd(partition), this.#random);
        if (isStruck && this.#random.below(3) > 0) broker.kill({ powerLoss: this.#random.below(2) === 0 });
        break;
      }
    }
  }

  /**
   * While a sync takes long, a large group gathers and lies in the file, not on the disk. Then the power goes; or what
   * was sent is sent again over new connections, where it may be answered too early, and then the power goes.
   */
  #slowDown(): void {
    const { broker } = this.#queue;
    const { disk } = broker;
    const fate = this.#random.below(3);
    if (fate === 2) {
      this.#haveRepeated();
      return;
    }
    disk.syncExtraMs = 10 * 2 ** (this.#random.unit() * 5);
    const forMs = this.#random.unit() * slowMsMax;
    this.#world.after(this.#random.unit() * forMs, () => {
      if (this.#plan.isOn && fate === 1) broker.kill({ powerLoss: true });
    });
    this.#world.after(forMs, () => {
      disk.syncExtraMs = 0;
    });
  }

  /** A new connection, and the repeat on it, must fit into one sync; one of several tries may. */
  #haveRepeated(): void {
    const { broker, clients } = this.#queue;
    broker.disk.syncExtraMs = 500;
    for (let tries = 1; tries <= 4; tries++) {
      this.#world.after(tries * (40 + this.#random.unit() * 200), () => {
        if (!this.#plan.isOn) return;
        for (const client of clients) this.#world.network.cut(broker.name, client.name);
        this.#isLurkingForAnswer = true;
      });
    }
    this.#world.after(1_500, () => {
      broker.disk.syncExtraMs = 0;
    });
  }
}
