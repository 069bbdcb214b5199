import { isTaskdError } from '../../../src/base/errors.js';
import { Connections } from '../../../src/rpc/connections.js';
import type { Runtime } from '../../../src/runtime/runtime.js';
import type { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import { listOverrides, setOverride } from '../../../src/wire/methods.js';
import { namespace, type RegistryClient } from './client.js';
import type { RegistryNode } from './node.js';

const everyMs = 6_000;
const deadlineMs = 3_000;

/** What somebody said of an instance, mode or weight. */
interface Word {
  readonly atMs: number;
  readonly nodeId: string;
  readonly value: number;
  /** Whoever took it lost its disk since: it may be gone. */
  isAtRisk: boolean;
}

/**
 * A person who drains, disables and weighs instances at any name server, and keeps what was acknowledged. When all is
 * quiet every name server says the same, and of each instance the latest word of each kind that was acknowledged, or a
 * later one.
 */
export class OverridesAgree {
  acknowledged = 0;
  readonly #world: SimWorld;
  readonly #nodes: readonly RegistryNode[];
  readonly #clients: readonly RegistryClient[];
  readonly #words = new Map<string, Word[]>();
  /** Instances with a word whose outcome is unknown: it may have been the last. */
  readonly #unknown = new Set<string>();
  #connections!: Connections;
  #isOn = true;

  constructor(world: SimWorld, nodes: readonly RegistryNode[], clients: readonly RegistryClient[]) {
    this.#world = world;
    this.#nodes = nodes;
    this.#clients = clients;
  }

  start(): void {
    this.#world.process('person').start((runtime) => this.#main(runtime));
  }

  /** Says nothing new. */
  stop(): void {
    this.#isOn = false;
  }

  /** The disk of this name server is lost. */
  wiped(node: RegistryNode): void {
    for (const words of this.#words.values()) {
      for (const word of words) if (word.nodeId === node.name) word.isAtRisk = true;
    }
  }

  /** Asks every name server, compares, and leaves. */
  check(): Promise<void> {
    return new Promise((resolve, reject) => {
      const { runtime } = this.#world.process('person');
      runtime.clock.timer(0, () => {
        this.#check().then(resolve, reject);
      });
    });
  }

  async #main({ clock, random }: Runtime): Promise<void> {
    this.#connections = new Connections(this.#world.process('person').runtime, { clientId: 'person', kind: 'client' });
    while (this.#isOn) {
      await new Promise<void>((resolve) => clock.timer(random.unit() * 2 * everyMs, resolve));
      if (!this.#isOn) return;
      const node = this.#nodes[random.below(this.#nodes.length)]!;
      const client = this.#clients[random.below(this.#clients.length)]!;
      const mode = random.below(4);
      const weight = mode === 0 || random.below(3) === 0 ? random.below(200) : undefined;
      await this.#set(node, client, mode, weight);
    }
  }

  async #set(node: RegistryNode, client: RegistryClient, mode: number, weight: number | undefined): Promise<void> {
    const target = { namespace, group: '', service: client.service, instanceId: client.name };
    const request = { ...target, mode, ...(weight === undefined ? {} : { weight }) };
    const sentMs = this.#world.nowMs;
    try {
      const caller = this.#connections.to(node.address);
      const { message } = await caller.call(setOverride, request, { deadlineMs });
      const { modeAtMs, modeNodeId, weightAtMs, weightNodeId } = new taskd.Override(message.override!);
      const isAtRisk = node.wipedMs >= sentMs;
      this.acknowledged++;
      if (mode !== 0) this.#note(`mode ${client.name}`, { atMs: modeAtMs, nodeId: modeNodeId, value: mode, isAtRisk });
      if (weight === undefined) return;
      this.#note(`weight ${client.name}`, { atMs: weightAtMs, nodeId: weightNodeId, value: weight, isAtRisk });
    } catch (error) {
      if (!isTaskdError(error)) throw error;
      this.#unknown.add(client.name);
    }
  }

  #note(what: string, word: Word): void {
    const words = this.#words.get(what) ?? [];
    words.push(word);
    this.#words.set(what, words);
  }

  async #check(): Promise<void> {
    let first: string | undefined;
    for (const node of this.#nodes) {
      const { message } = await this.#connections.to(node.address).call(listOverrides, { namespace });
      const { overrides } = message;
      const text = JSON.stringify(overrides);
      first ??= text;
      if (text !== first) throw new Error(`${node.name} has the overrides ${text}, ${this.#nodes[0]!.name} ${first}`);
      for (const client of this.#clients) this.#compare(node, client, overrides);
    }
    await this.#connections.close();
  }

  #compare(node: RegistryNode, { name }: RegistryClient, overrides: readonly taskd.Override.$Properties[]): void {
    const found = overrides.find(({ instanceId }) => instanceId === name);
    const mode = latest(this.#words.get(`mode ${name}`));
    const weight = latest(this.#words.get(`weight ${name}`));
    // One that changes nothing is not listed.
    if (found === undefined) {
      const isNothing =
        this.#mayBe(`mode ${name}`, mode, taskd.OverrideMode.OVERRIDE_ENABLED) &&
        this.#mayBe(`weight ${name}`, weight, 0);
      if (!isNothing && !this.#unknown.has(name)) throw new Error(`${node.name} forgot what was said of ${name}`);
      return;
    }
    const modeSaid = { atMs: found.modeAtMs ?? 0, nodeId: found.modeNodeId ?? '', value: found.mode ?? 0 };
    const weightSaid = { atMs: found.weightAtMs ?? 0, nodeId: found.weightNodeId ?? '', value: found.weight ?? 0 };
    for (const [said, wanted] of [
      [modeSaid, mode],
      [weightSaid, weight],
    ] as const) {
      if (wanted === undefined) continue;
      const order = compareWords(said, wanted);
      if (order > 0 || (order === 0 && said.value === wanted.value)) continue;
      const text = `${JSON.stringify(said)}, not ${JSON.stringify(wanted)}`;
      throw new Error(`${node.name} says of ${name} ${text}`);
    }
  }

  /** The word that must be kept has this value, or a later one has it that may be kept. Undefined: nothing was said. */
  #mayBe(what: string, kept: Word | undefined, value: number): boolean {
    if (kept === undefined || kept.value === value) return true;
    return this.#words.get(what)!.some((word) => word.value === value && compareWords(word, kept) > 0);
  }
}

function latest(words: readonly Word[] | undefined): Word | undefined {
  let found: Word | undefined;
  for (const word of words ?? []) {
    if (word.isAtRisk) continue;
    if (found === undefined || compareWords(word, found) > 0) found = word;
  }
  return found;
}

function compareWords(a: Pick<Word, 'atMs' | 'nodeId'>, b: Pick<Word, 'atMs' | 'nodeId'>): number {
  return a.atMs - b.atMs || (a.nodeId < b.nodeId ? -1 : a.nodeId > b.nodeId ? 1 : 0);
}
