import { isTaskdError } from '../../../src/base/errors.js';
import { tickMs } from '../../../src/nameserver/core/live-time.js';
import { RegistryCore } from '../../../src/nameserver/core/registry-core.js';
import { allPeers, type PeerMessage, type RegistryEffect } from '../../../src/nameserver/core/registry-effect.js';
import type { OwnerPosition } from '../../../src/nameserver/core/view-state.js';
import type { InstanceVersion } from '../../../src/nameserver/instance.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import type { ClusterWorld, Party } from './cluster-world.js';

/** Behind ends after so long when the answer is complete otherwise. */
const behindMs = 30_000;
const idleConnectionMs = 30_000;
export const services = 3;

/** What clients and name servers say to each other. */
export type Message =
  | { kind: 'hello'; conn: number; watch: number | undefined; known: readonly OwnerPosition[] | undefined }
  | { kind: 'ok' | 'no' | 'gone' | 'bye' | 'ping' | 'ended'; conn: number }
  | { kind: 'register' | 'deregister' | 'registered'; conn: number; version: InstanceVersion }
  | { kind: 'superseded'; conn: number; seen: InstanceVersion }
  | { kind: 'pong'; conn: number; held: number; isFrozen: boolean }
  | { kind: 'peek' | 'peeked' }
  | ListMessage;

export interface ListMessage {
  kind: 'list';
  conn: number;
  list: readonly [number, InstanceVersion][];
  ended: readonly [number, InstanceVersion][];
  isAuthoritative: boolean;
  /** Absence removes. */
  isFull: boolean;
  revision: readonly OwnerPosition[];
}

interface Watching {
  readonly party: Party;
  readonly service: number;
  known: readonly OwnerPosition[] | undefined;
  readonly sinceMs: number;
  sent: string;
}

/** Who looks on: the checks. */
export interface Onlooker {
  /** `owner`: the node that held it, as this one saw it. */
  removed(node: ClusterNode, id: number, owner: string): void;
  appeared(node: ClusterNode, id: number): void;
  /** The node has answered a deregistration of this version. */
  ended(node: ClusterNode, id: number, version: InstanceVersion): void;
}

const wallBaseMs = 1_700_000_000_000;

/** A name server in the simulated world: the real core, and a driver that does what the real one must do. */
export class ClusterNode implements Party {
  readonly key: string;
  readonly #world: ClusterWorld;
  readonly #onlooker: Onlooker;
  peers: readonly ClusterNode[] = [];
  skewMs: number;
  disk = 0;
  isUp = false;
  boot = 0;
  upMs = 0;
  wokeMs = -1e9;
  pause: Party['pause'];
  isLeaving = false;
  core!: RegistryCore;
  /** What this node shows, by the ids of clients. */
  view: Map<number, InstanceVersion> = new Map();
  /** And the owners of those. */
  #owners = new Map<number, string>();
  #monotonicBaseMs = 0;
  #connections = new Map<number, { readonly party: Party; heardMs: number }>();
  #watching = new Map<number, Watching>();
  #isPushDue = false;
  /** Names of instances that may look different since the watchers were last told. */
  #changed = new Set<string>();

  constructor(world: ClusterWorld, onlooker: Onlooker, number: number) {
    this.#world = world;
    this.#onlooker = onlooker;
    this.key = `n${number}`;
    this.skewMs = world.int(-50, 50);
  }

  get isReady(): boolean {
    return this.isUp && this.core.viewState().isReady;
  }

  /** Clients that are connected here. */
  get connected(): readonly (readonly [number, Party])[] {
    return [...this.#connections].map(([conn, { party }]) => [conn, party]);
  }

  start(): void {
    const { random, nowMs } = this.#world;
    this.isUp = true;
    this.isLeaving = false;
    this.boot++;
    this.upMs = nowMs;
    this.pause = undefined;
    this.view = new Map();
    this.#connections = new Map();
    this.#watching = new Map();
    this.#isPushDue = false;
    this.#changed = new Set();
    this.#monotonicBaseMs = this.#world.int(0, 1_000_000);
    const options = {
      peers: this.peers.length,
      onPeerLoss: 'freeze',
      storedIncarnation: this.disk,
      random: new SeededRandom(random.u32()),
    } as const;
    this.core = new RegistryCore({ nodeId: this.key }, options, this.#now, this.#wall);
    this.#world.log(this.key, 'starts, disk', this.disk);
    this.#perform();
    this.#armTick();
  }

  /** Dies: what it holds open breaks. */
  stop(): void {
    this.isUp = false;
    for (const [conn, { party }] of this.#connections) {
      if (!this.#world.isCut(this, party)) {
        this.#world.after(this.#world.int(1, 20), () => (party as Party & { closed(c: number): void }).closed(conn));
      }
    }
  }

  leave(): void {
    this.isLeaving = true;
    this.core.leave(this.#now);
    this.#perform();
  }

  on(from: Party, message: unknown): void {
    if (from instanceof ClusterNode) {
      // As bytes, so that the codec is in it.
      const frame = taskd.PeerFrame.decode(message as Uint8Array);
      this.core.receive(frame.sender, frame, this.#now, this.#wall);
    } else {
      this.#onClient(from, message as Message);
    }
    this.#perform();
  }

  /** The connection broke at this end. */
  broken(conn: number): void {
    this.#watching.delete(conn);
    if (this.#connections.delete(conn)) this.core.closed(conn, this.#now);
    this.#perform();
  }

  get #now(): number {
    return this.#world.nowMs + this.#monotonicBaseMs;
  }

  get #wall(): number {
    return wallBaseMs + Math.floor(this.#world.nowMs) + this.skewMs;
  }

  #armTick(): void {
    this.#world.timer(this, tickMs, () => {
      this.#armTick();
      this.core.tick(this.#now, this.#wall);
      for (const [conn, { heardMs }] of this.#connections) {
        if (heardMs < this.#world.nowMs - idleConnectionMs) {
          this.#connections.delete(conn);
          this.#watching.delete(conn);
        }
      }
      this.#perform();
      // Whoever waits until this node covers what it knew is looked at as time passes.
      for (const { known } of this.#watching.values()) if (known !== undefined) this.#pushSoon();
    });
  }

  #onClient(from: Party, message: Message): void {
    if (message.kind === 'peek') {
      const { isReady, isFrozen } = this.core.viewState();
      if (isReady && !isFrozen) this.#tell(from, { kind: 'peeked' });
      return;
    }
    if (!('conn' in message)) return;
    const { conn } = message;
    if (message.kind === 'hello') {
      if (!this.core.viewState().isReady) {
        this.#tell(from, { kind: 'no', conn });
        return;
      }
      this.#connections.set(conn, { party: from, heardMs: this.#world.nowMs });
      this.#tell(from, { kind: 'ok', conn });
      if (message.watch === undefined) return;
      const { watch: service, known } = message;
      this.#watching.set(conn, { party: from, service, known, sinceMs: this.#world.nowMs, sent: '' });
      this.#world.timer(this, 501, () => this.#pushSoon());
      this.#pushSoon();
      return;
    }
    const connection = this.#connections.get(conn);
    if (message.kind === 'bye') this.broken(conn);
    else if (connection === undefined) this.#tell(from, { kind: 'gone', conn });
    else this.#onConnection(from, connection, message);
  }

  #onConnection(from: Party, connection: { heardMs: number }, message: Message & { conn: number }): void {
    connection.heardMs = this.#world.nowMs;
    if (message.kind === 'ping') this.#onPing(from, message.conn);
    else if (message.kind === 'register' || message.kind === 'deregister') this.#onWrite(from, message);
  }

  #onPing(from: Party, conn: number): void {
    const { superseded, isFrozen, held } = this.core.beat(conn, this.#now);
    this.#tell(from, { kind: 'pong', conn, held, isFrozen });
    for (const { seen } of superseded) this.#tell(from, { kind: 'superseded', conn, seen });
  }

  #onWrite(from: Party, message: Message & { kind: 'register' | 'deregister' | 'registered' }): void {
    const { conn, version } = message;
    const key = keyOf(from.key);
    try {
      if (message.kind === 'register') {
        const addresses = [{ host: 'h', port: 1 }];
        const claim = { ...key, addresses, zone: '', weight: 100, tags: [], metadata: {}, version };
        this.core.register(conn, claim, this.#now);
        this.#tell(from, { kind: 'registered', conn, version });
      } else {
        this.core.deregister(conn, key, version, this.#now);
        this.#onlooker.ended(this, Number(from.key.slice(1)), version);
        this.#tell(from, { kind: 'ended', conn });
      }
    } catch (error) {
      if (!isTaskdError(error)) throw error;
      const [incarnation, counter] = error.hint.split('.').map(Number);
      if (error.hint !== '') {
        this.#tell(from, { kind: 'superseded', conn, seen: { incarnation: incarnation!, counter: counter! } });
      }
    }
  }

  #tell(to: Party, message: Message): void {
    this.#world.send(this, to, message);
  }

  #perform(): void {
    for (const effect of this.core.takeEffects()) this.#performOne(effect);
  }

  #performOne(effect: RegistryEffect): void {
    switch (effect.kind) {
      case 'changed':
        this.#changed.add(effect.instanceId);
        this.#pushSoon();
        break;
      case 'send':
        this.#sendPeers(effect.to, effect.message);
        break;
      case 'store':
        this.#world.timer(this, this.#world.int(0, 5), () => {
          this.disk = effect.incarnation;
          this.core.incarnationStored(effect.incarnation, this.#now);
          this.#world.log(this.key, 'has incarnation', effect.incarnation);
          this.#perform();
        });
        break;
      case 'wake':
        this.#world.timer(this, effect.atMs - this.#now, () => {
          this.core.flush(this.#now);
          this.#perform();
        });
        break;
      case 'end':
        this.#end(effect.sessionId);
        break;
      case 'state':
        this.#world.log(this.key, 'is', JSON.stringify({ ...this.core.viewState(), revision: undefined }));
        this.#pushSoon();
        break;
      case 'protection':
        break;
      case 'stop':
        this.#world.fail('e', `${this.key} stops itself: ${effect.reason}`);
        break;
    }
  }

  #sendPeers(to: string, message: PeerMessage): void {
    const bytes = taskd.PeerFrame.encode(message).finish();
    for (const peer of this.peers) if (to === allPeers || to === peer.key) this.#world.send(this, peer, bytes);
  }

  #end(conn: number): void {
    const connection = this.#connections.get(conn);
    this.#connections.delete(conn);
    this.#watching.delete(conn);
    if (connection !== undefined) this.#tell(connection.party, { kind: 'gone', conn });
  }

  #look(name: string): void {
    const id = Number(name.slice(1));
    const key = keyOf(name);
    const was = this.view.has(id);
    const shown = this.core.visible(key);
    const version = shown?.claim.version;
    if (version === undefined) this.view.delete(id);
    else this.view.set(id, version);
    if (shown !== undefined) this.#owners.set(id, shown.owner);
    if (was && version === undefined) {
      this.#world.log(this.key, 'loses', name);
      this.#onlooker.removed(this, id, this.#owners.get(id) ?? '');
    } else if (!was && version !== undefined) {
      this.#world.log(this.key, 'gains', name, JSON.stringify(version), this.core.visible(key)?.owner);
      this.#onlooker.appeared(this, id);
    }
  }

  #pushSoon(): void {
    if (this.#isPushDue) return;
    this.#isPushDue = true;
    this.#world.timer(this, 10, () => {
      this.#isPushDue = false;
      for (const name of this.#changed) this.#look(name);
      this.#changed.clear();
      for (const [conn, watching] of this.#watching) this.#push(conn, watching);
    });
  }

  #push(conn: number, watching: Watching): void {
    const { isComplete, revision } = this.core.viewState();
    const waitedMs = this.#world.nowMs - watching.sinceMs;
    let isBehind = watching.known !== undefined && !this.core.covers(watching.known);
    if (isBehind && isComplete && waitedMs > 500 + behindMs) isBehind = false;
    if (!isBehind) watching.known = undefined;
    else if (waitedMs < 500) return;
    const list: [number, InstanceVersion][] = [];
    for (const [id, version] of this.view) if (id % services === watching.service) list.push([id, version]);
    const ended: [number, InstanceVersion][] = [];
    for (const { key } of this.#world.parties) {
      if (!key.startsWith('c') || Number(key.slice(1)) % services !== watching.service) continue;
      const version = this.core.endedVersion(keyOf(key));
      if (version !== undefined) ended.push([Number(key.slice(1)), version]);
    }
    const isFull = !isBehind && isComplete;
    const isAuthoritative = isFull;
    const content = JSON.stringify([list, isBehind, isAuthoritative, ended]);
    if (content === watching.sent) return;
    watching.sent = content;
    this.#tell(watching.party, { kind: 'list', conn, list, ended, isAuthoritative, isFull, revision });
  }
}

/** What a client registers itself as. */
function keyOf(name: string): { namespace: string; group: string; service: string; instanceId: string } {
  return { namespace: 'n', group: '', service: `s${Number(name.slice(1)) % services}`, instanceId: name };
}
