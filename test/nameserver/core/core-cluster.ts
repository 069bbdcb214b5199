import { tickMs } from '../../../src/nameserver/core/live-time.js';
import { RegistryCore, type RegistryCoreOptions } from '../../../src/nameserver/core/registry-core.js';
import { allPeers, type PeerMessage, type RegistryEffect } from '../../../src/nameserver/core/registry-effect.js';
import type { InstanceClaim } from '../../../src/nameserver/instance.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';

const wallBaseMs = 1_700_000_000_000;

export function claimOf(instanceId: string, incarnation: number, counter = 1, service = 's'): InstanceClaim {
  return {
    namespace: 'n',
    group: '',
    service,
    instanceId,
    addresses: [{ host: 'h', port: 1 }],
    zone: '',
    weight: 100,
    tags: [],
    metadata: {},
    version: { incarnation, counter },
  };
}

export function keyOf(instanceId: string): { namespace: string; group: string; service: string; instanceId: string } {
  return { namespace: 'n', group: '', service: 's', instanceId };
}

/** A few cores whose frames arrive at once, unless the way is cut: for tests that tell a story step by step. */
export class CoreCluster {
  readonly cores: Map<string, RegistryCore> = new Map();
  readonly effects: Map<string, RegistryEffect[]> = new Map();
  /** Frames that were sent, also those that a cut ate. */
  readonly frames: { from: string; to: string; message: PeerMessage }[] = [];
  nowMs = 0;
  #cut: (from: string, to: string) => boolean = () => false;
  #queue: (() => void)[] = [];
  #isDraining = false;
  readonly #options: Partial<RegistryCoreOptions>;
  readonly #size: number;

  constructor(ids: readonly string[], options: Partial<RegistryCoreOptions> = {}) {
    this.#options = options;
    this.#size = ids.length;
    for (const id of ids) this.start(id);
  }

  /** Ready and no longer cold. */
  static settled(...ids: string[]): CoreCluster {
    const cluster = new CoreCluster(ids);
    cluster.pass(40_000);
    return cluster;
  }

  core(id: string): RegistryCore {
    return this.cores.get(id)!;
  }

  /** Starts a node, or one anew in its place. */
  start(id: string, storedIncarnation = 0, wallMs: number = wallBaseMs + this.nowMs): void {
    const random = new SeededRandom(this.nowMs + id.charCodeAt(0) * 31 + id.charCodeAt(id.length - 1));
    const options = {
      peers: this.#size - 1,
      onPeerLoss: 'freeze',
      storedIncarnation,
      random,
      ...this.#options,
    } as const;
    this.cores.set(id, new RegistryCore({ nodeId: id }, options, this.nowMs, wallMs));
    this.effects.set(id, []);
    this.settle();
  }

  stop(id: string): void {
    this.cores.delete(id);
  }

  cut(cut: (from: string, to: string) => boolean): void {
    this.#cut = cut;
  }

  /** Cuts one off from all others. */
  isolate(id: string): void {
    this.cut((from, to) => from === id || to === id);
  }

  heal(): void {
    this.cut(() => false);
  }

  /** Lets time pass; `each` is called every half second. */
  pass(ms: number, each: () => void = () => {}): void {
    const untilMs = this.nowMs + ms;
    while (this.nowMs < untilMs) {
      this.nowMs = Math.min(untilMs, this.nowMs + tickMs);
      each();
      for (const core of this.cores.values()) core.tick(this.nowMs, wallBaseMs + this.nowMs);
      this.settle();
      for (const core of this.cores.values()) core.flush(this.nowMs);
      this.settle();
    }
  }

  act(id: string, action: (core: RegistryCore) => void): void {
    action(this.core(id));
    this.settle();
    this.nowMs += 25;
    for (const core of this.cores.values()) core.flush(this.nowMs);
    this.settle();
  }

  /** What each node shows of an instance: `up`, `suspect` or `-`. */
  seen(instanceId: string): string {
    return [...this.cores.values()].map((core) => core.visible(keyOf(instanceId))?.health ?? '-').join(' ');
  }

  /** Performs what is to be done, frames included, until nothing is left. */
  settle(): void {
    for (const [id, core] of this.cores) {
      for (const effect of core.takeEffects()) {
        this.effects.get(id)!.push(effect);
        if (effect.kind === 'store') this.#queue.push(() => core.incarnationStored(effect.incarnation, this.nowMs));
        else if (effect.kind === 'send') this.#send(id, effect.to, effect.message);
      }
    }
    if (this.#isDraining) return;
    this.#isDraining = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      next();
      this.settle();
    }
    this.#isDraining = false;
  }

  #send(from: string, to: string, message: PeerMessage): void {
    for (const [id, core] of this.cores) {
      if (id === from || (to !== allPeers && to !== id)) continue;
      this.frames.push({ from, to: id, message });
      if (this.#cut(from, id)) continue;
      this.#queue.push(() => core.receive(from, message, this.nowMs, wallBaseMs + this.nowMs));
    }
  }
}
