import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { Consume } from './consume.js';
import { Faults } from './faults.js';
import type { ScenarioOptions, WorldResult } from './world-result.js';

const faultsMs = 15_000;
const settleMs = 120_000;
const downMsMax = 2_000;
/** A member that was told to go is gone after so long, also behind a silence; and how often that is looked for. */
const goingMsMax = 60_000;
const lookMs = 500;
/** From less than a session to more than a connection lives in silence. */
const silenceMsMax = 14_000;

/**
 * Members that die and leave, and come back; nothing else happens, so that everybody knows who has what. Or the network
 * loses all that some of them say and hear for a while, without a word to anybody.
 */
class Comings {
  readonly #world: SimWorld;
  readonly #consume: Consume;
  readonly #everyMs: number;
  readonly #hasSilences: boolean;
  #isOn = false;
  #isOver = false;
  #count = 0;
  #silences = 0;

  constructor(world: SimWorld, consume: Consume, hasSilences: boolean) {
    this.#world = world;
    this.#hasSilences = hasSilences;
    this.#consume = consume;
    this.#everyMs = 150 * 2 ** (world.random.unit() * 4);
  }

  start(): void {
    this.#isOn = true;
    this.#plan();
  }

  stop(): void {
    this.#isOn = false;
    this.#world.network.heal();
    this.#keepUp(goingMsMax / lookMs);
  }

  /** Whoever is still going when this begins comes back, too. */
  #keepUp(looks: number): void {
    if (looks === 0 || this.#isOver) return;
    for (const member of this.#consume.members) if (!member.isAlive) member.restart();
    this.#world.after(lookMs, () => this.#keepUp(looks - 1));
  }

  /** From now on whoever goes stays away. */
  end(): void {
    this.#isOver = true;
  }

  summary(): string {
    return `${this.#count} comings and goings, ${this.#silences} silences`;
  }

  #plan(): void {
    const { random } = this.#world;
    this.#world.after(random.unit() * 2 * this.#everyMs, () => {
      if (!this.#isOn) return;
      const member = this.#consume.members[random.below(this.#consume.members.length)]!;
      if (this.#hasSilences && random.below(2) === 0) {
        this.#silence(member.name);
        this.#plan();
        return;
      }
      this.#count++;
      if (!member.isAlive) member.restart();
      else if (random.below(3) === 0) member.kill();
      else member.stop();
      // One that is stopping may need seconds; whoever is down is back in the end.
      this.#world.after(random.unit() * downMsMax, () => {
        if (!member.isAlive) member.restart();
      });
      this.#plan();
    });
  }

  /** Connections stand all the while, and sends go well. */
  #silence(name: string): void {
    const { random, network } = this.#world;
    const forMs = random.unit() * silenceMsMax;
    this.#silences++;
    network.block(name, this.#consume.broker.name, forMs);
    network.block(this.#consume.broker.name, name, forMs);
  }
}

/** Runs a group of consumers under one seed: every second seed with kills of members alone or with silences, the others with all faults. */
export async function runConsumeSeed(seed: number, options: ScenarioOptions = {}): Promise<WorldResult> {
  const world = new SimWorld(seed, options);
  const consume = new Consume(world);
  const isMembersOnly = seed % 2 === 0;
  const hasSilences = seed % 4 === 2;
  consume.checks.isCalm = isMembersOnly && !hasSilences;
  const faults = isMembersOnly
    ? new Comings(world, consume, hasSilences)
    : new Faults(world, consume.processes, consume.broker);
  consume.onLeaving = () => faults.end();
  let problem: Error | undefined;
  try {
    consume.start();
    world.process('looker').start((runtime) => consume.look(runtime));
    await world.run({ untilMs: 500 + world.random.unit() * 2_000 });
    faults.start();
    await world.run({ untilMs: world.nowMs + faultsMs });
    faults.stop();
    consume.settle();
    // Handlers may be slow, and much may wait: it is enough when something goes on.
    for (let before = -1; before !== consume.checks.handled; ) {
      before = consume.checks.handled;
      if (await world.run({ untilMs: world.nowMs + settleMs, until: () => consume.isSettled })) break;
    }
    if (!consume.isSettled) {
      const open = [...consume.checks.pending(), ...consume.missing].slice(0, 5);
      throw new Error(`seed ${seed}: nothing went on for ${settleMs} ms, and there is no end: ${open.join(', ')}`);
    }
  } catch (error) {
    problem = error as Error;
  }
  return {
    seed,
    problem,
    counts: { sent: consume.checks.sentCount, handled: consume.checks.handled },
    events: world.events,
    virtualMs: world.nowMs,
    digest: world.digest,
    faults: faults.summary(),
    log: world.log.lines,
  };
}
