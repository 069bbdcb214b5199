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

/**
 * What was sent into a block is sent again at growing intervals, so after a block TCP sleeps on for up to as long as it
 * has tried in vain; but no less than the first of these, and no more than the last.
 */
const retransmitMs = 200;
const retransmitMsMax = 60_000;
/** A SYN without an answer is sent again after so long, then after twice that, and so on. */
const synAgainMs = 1_000;
/** No dial waits longer. */
const synTriesMax = 6;

interface Slow {
  readonly extraMs: number;
  readonly untilMs: number;
}

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
  /** `from>to` → what everything takes longer. */
  readonly #slow = new Map<string, Slow>();
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
    const untilMs = Math.max(this.#blockedUntil(from, to), this.#loop.nowMs + forMs);
    this.#blocked.set(`${from}>${to}`, untilMs);
  }

  /** Everything from `from` to `to` takes up to `extraMs` longer for `forMs`. */
  slow(from: string, to: string, extraMs: number, forMs: number): void {
    this.#slow.set(`${from}>${to}`, { extraMs, untilMs: this.#loop.nowMs + forMs });
  }

  /** Ends of connections that some living process holds open. */
  get openEnds(): number {
    let count = 0;
    for (const { isOver } of this.#connections) if (!isOver) count++;
    return count;
  }

  /** Ends all blocks, and all that was slow. */
  heal(): void {
    this.#blocked.clear();
    this.#slow.clear();
  }

  /** A host lost its power, or has it again. */
  setDark(processName: string, isDark: boolean): void {
    if (isDark) {
      this.#dark.add(processName);
      for (const connection of this.#connections) {
        if (connection.owner.processName === processName) this.#loseHost(connection);
      }
    } else {
      this.#dark.delete(processName);
      for (const orphan of this.#orphans) {
        if (orphan.owner.processName !== processName) continue;
        this.#orphans.delete(orphan);
        this.#loop.at(this.#random.unit() * retransmitMs, undefined, () => this.carry(orphan, 'rst'));
      }
    }
  }

  /** Nobody is there who would send again what a block keeps back. */
  #loseHost(connection: SimConnection): void {
    connection.isHostLost = true;
    if (connection.heldUntilMs > this.#loop.nowMs) connection.underWay.length = 0;
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
    this.#syn(owner, address, done, 0);
  }

  carry(from: SimConnection, segment: Segment): void {
    const [sender, receiver] = [from.owner.processName, from.peer.owner.processName];
    const { nowMs } = this.#loop;
    const arrivalMs = nowMs + this.#latencyMs(sender, receiver);
    this.#hold(from);
    // One direction stays in order, also after a block.
    from.lastArrivalMs = Math.max(from.lastArrivalMs, from.heldUntilMs, arrivalMs);
    from.underWay.push(segment);
    this.#loop.at(from.lastArrivalMs - nowMs, undefined, () => this.#arrive(from));
  }

  /** What meets a block is sent again, some time after it. */
  #hold(from: SimConnection): void {
    const { nowMs } = this.#loop;
    const blockedUntilMs = this.#blockedUntil(from.owner.processName, from.peer.owner.processName);
    if (blockedUntilMs <= nowMs || from.heldUntilMs > nowMs) return;
    const sleepMs = Math.min(retransmitMsMax, Math.max(retransmitMs, blockedUntilMs - nowMs));
    from.heldUntilMs = blockedUntilMs + this.#random.unit() * sleepMs;
    if (from.isHostLost) from.underWay.length = 0;
  }

  /** The next segment of this direction arrives, or meets a block. */
  #arrive(from: SimConnection): void {
    const to = from.peer;
    const { nowMs } = this.#loop;
    this.#hold(from);
    if (from.heldUntilMs > nowMs) {
      from.lastArrivalMs = Math.max(from.lastArrivalMs, from.heldUntilMs);
      this.#loop.at(from.heldUntilMs - nowMs, undefined, () => this.#arrive(from));
      return;
    }
    const segment = from.underWay.shift();
    if (segment === undefined) return;
    if (to.isOver && this.#dark.has(to.owner.processName)) this.#orphans.add(to);
    else to.arrive(segment);
    if (from.isOver && to.isOver) this.#forget(from, to);
  }

  #syn(
    owner: SimConnection['owner'],
    address: Address,
    done: (result: SimConnection | NetError) => void,
    tries: number,
  ): void {
    const key = `${address.host}:${address.port}`;
    const dialler = owner.processName;
    const target = this.#lastListener.get(key) ?? '';
    const again = (): void => {
      if (tries >= synTriesMax) return;
      this.#loop.at(synAgainMs * 2 ** tries, undefined, () => {
        if (owner.isAlive) this.#syn(owner, address, done, tries + 1);
      });
    };
    const isCut = (): boolean => {
      const { nowMs } = this.#loop;
      return this.#blockedUntil(dialler, target) > nowMs || this.#blockedUntil(target, dialler) > nowMs;
    };
    if (isCut() || this.#dark.has(target)) {
      again();
      return;
    }
    this.#loop.at(this.#latencyMs(dialler, target), undefined, () => {
      if (isCut() || this.#dark.has(target)) {
        again();
        return;
      }
      const listener = this.#listeners.get(key);
      if (listener === undefined) {
        const refusal = new NetError('ECONNREFUSED', `connect to ${key}: ECONNREFUSED`);
        this.#loop.at(this.#latencyMs(target, dialler), undefined, () => done(refusal));
        return;
      }
      if (!owner.isAlive) return;
      const here = { host: address.host, port: this.#nextPort++ };
      const dialled = this.#end(owner, { local: here, remote: address });
      const accepted = this.#end(listener.owner, { local: address, remote: here });
      dialled.peer = accepted;
      accepted.peer = dialled;
      listener.offer(accepted);
      this.#loop.at(this.#latencyMs(target, dialler), undefined, () => done(dialled));
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

  #latencyMs(from: string, to: string): number {
    const { slowChance, slowMs, typicalMs } = this.#speed;
    const slow = this.#slow.size === 0 ? undefined : this.#slow.get(`${from}>${to}`);
    const extraMs = slow !== undefined && slow.untilMs > this.#loop.nowMs ? this.#random.unit() * slow.extraMs : 0;
    if (this.#random.unit() < slowChance) return extraMs + this.#random.unit() * slowMs;
    return extraMs + typicalMs * (0.5 + this.#random.unit());
  }
}
