import { type Address, NetError } from '../net.js';
import type { Random } from '../random.js';
import type { EventLoop } from './event-loop.js';
import { type Carrier, type Segment, SimConnection } from './sim-connection.js';
import type { SimListener } from './sim-net.js';

/** How long segments travel: `typicalMs` on average, now and then up to `slowMs` (a retransmission). */
export interface NetworkSpeed {
  readonly typicalMs: number;
  readonly slowMs: number;
  readonly slowChance: number;
}

/** After a partition heals, TCP sends again within so long. */
const retransmitMs = 200;

/**
 * The wires between all processes, which share one address space, so that every process can be on loopback. Segments
 * of one connection stay in order; connections do not wait for one another.
 */
export class SimNetwork implements Carrier {
  readonly #loop: EventLoop;
  readonly #random: Random;
  readonly #speed: NetworkSpeed;
  readonly #listeners = new Map<string, SimListener>();
  readonly #connections = new Set<SimConnection>();
  /** `from>to` → virtual time until which nothing passes. */
  readonly #blocked = new Map<string, number>();
  /** Processes without power: nothing answers there, not even with a refusal. */
  readonly #dark = new Set<string>();
  /** Address → name of the process that listened there last. */
  readonly #lastListener = new Map<string, string>();
  /** Ends of dead hosts that still get segments: they answer RST when the host is up again. */
  readonly #orphans = new Set<SimConnection>();
  #nextPort = 40_000;

  constructor(loop: EventLoop, random: Random, speed: NetworkSpeed) {
    this.#loop = loop;
    this.#random = random;
    this.#speed = speed;
  }

  /** Cuts every connection between two processes with RST; what was under way is lost. Returns how many there were. */
  cut(a: string, b: string): number {
    let count = 0;
    for (const connection of this.#connections) {
      const from = connection.owner.processName;
      const to = connection.peer.owner.processName;
      if (!((from === a && to === b) || (from === b && to === a)) || connection.isOver) continue;
      connection.cut('cut by the network');
      count++;
    }
    this.#sweep();
    return count;
  }

  /** Lets nothing pass from `from` to `to` for `forMs`; connections live on and catch up afterwards. */
  block(from: string, to: string, forMs: number): void {
    this.#blocked.set(`${from}>${to}`, this.#loop.nowMs + forMs);
  }

  /** Ends all blocks. */
  heal(): void {
    this.#blocked.clear();
  }

  /** A host lost its power, or has it again. */
  setDark(processName: string, isDark: boolean): void {
    if (isDark) this.#dark.add(processName);
    else {
      this.#dark.delete(processName);
      for (const orphan of this.#orphans) {
        if (orphan.owner.processName !== processName) continue;
        this.#orphans.delete(orphan);
        this.#loop.at(this.#random.unit() * retransmitMs, undefined, () => this.carry(orphan, 'rst'));
      }
    }
  }

  listen(address: Address, listener: SimListener): Address {
    const bound = address.port === 0 ? { host: address.host, port: this.#nextPort++ } : address;
    const key = `${bound.host}:${bound.port}`;
    if (this.#listeners.has(key)) throw new NetError('EADDRINUSE', `listen on ${key}: EADDRINUSE`);
    this.#listeners.set(key, listener);
    this.#lastListener.set(key, listener.owner.processName);
    return bound;
  }

  unlisten(address: Address, listener: SimListener): void {
    const key = `${address.host}:${address.port}`;
    if (this.#listeners.get(key) === listener) this.#listeners.delete(key);
  }

  /**
   * A SYN leaves `owner`. `done` is called in the world's name with the dialling end or the refusal; not at all when
   * nothing answers.
   */
  connect(owner: SimConnection['owner'], address: Address, done: (result: SimConnection | NetError) => void): void {
    const key = `${address.host}:${address.port}`;
    const target = this.#lastListener.get(key) ?? '';
    if (this.#blockedUntil(owner.processName, target) > this.#loop.nowMs) return;
    this.#loop.at(this.#latencyMs(), undefined, () => {
      if (this.#dark.has(this.#lastListener.get(key) ?? '')) return;
      const listener = this.#listeners.get(key);
      if (listener === undefined) {
        const refusal = new NetError('ECONNREFUSED', `connect to ${key}: ECONNREFUSED`);
        this.#loop.at(this.#latencyMs(), undefined, () => done(refusal));
        return;
      }
      if (!owner.isAlive) return;
      const here = { host: address.host, port: this.#nextPort++ };
      const dialled = this.#end(owner, { local: here, remote: address });
      const accepted = this.#end(listener.owner, { local: address, remote: here });
      dialled.peer = accepted;
      accepted.peer = dialled;
      listener.offer(accepted);
      this.#loop.at(this.#latencyMs(), undefined, () => done(dialled));
    });
  }

  carry(from: SimConnection, segment: Segment): void {
    const to = from.peer;
    const blockedUntilMs = this.#blockedUntil(from.owner.processName, to.owner.processName);
    let arrivalMs = this.#loop.nowMs + this.#latencyMs();
    if (blockedUntilMs > this.#loop.nowMs) arrivalMs = blockedUntilMs + this.#random.unit() * retransmitMs;
    // One direction stays in order, also after a block.
    from.lastArrivalMs = Math.max(from.lastArrivalMs, arrivalMs);
    this.#loop.at(from.lastArrivalMs - this.#loop.nowMs, undefined, () => {
      if (to.isOver && this.#dark.has(to.owner.processName)) this.#orphans.add(to);
      else to.arrive(segment);
      if (from.isOver && to.isOver) this.#forget(from, to);
    });
  }

  #end(owner: SimConnection['owner'], addresses: { local: Address; remote: Address }): SimConnection {
    const end = new SimConnection(this.#loop, this, this.#random, owner, addresses);
    this.#connections.add(end);
    owner.holdings.add(end);
    return end;
  }

  #forget(a: SimConnection, b: SimConnection): void {
    this.#connections.delete(a);
    this.#connections.delete(b);
  }

  #sweep(): void {
    for (const connection of this.#connections) {
      if (connection.isOver && connection.peer.isOver) this.#connections.delete(connection);
    }
  }

  #blockedUntil(from: string, to: string): number {
    return this.#blocked.get(`${from}>${to}`) ?? 0;
  }

  #latencyMs(): number {
    const { slowChance, slowMs, typicalMs } = this.#speed;
    if (this.#random.unit() < slowChance) return this.#random.unit() * slowMs;
    return typicalMs * (0.5 + this.#random.unit());
  }
}
