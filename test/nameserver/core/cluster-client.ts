import type { OwnerPosition } from '../../../src/nameserver/core/view-state.js';
import { compareVersions, type InstanceVersion } from '../../../src/nameserver/instance.js';
import type { ListMessage, Message } from './cluster-node.js';
import { ClusterNode } from './cluster-node.js';
import type { ClusterWorld, Party } from './cluster-world.js';

const beatMs = 3_000;
const suspectMs = 9_000;
const longAgo = -1e9;
const wallBaseMs = 1_700_000_000_000;
const none: InstanceVersion = { incarnation: 0, counter: 0 };

/** Who looks on: the checks. */
export interface ListOnlooker {
  listed(client: ClusterClient, node: ClusterNode, message: ListMessage): void;
  dropped(client: ClusterClient, node: ClusterNode, id: number): void;
}

/**
 * A client of the registry in the simulated world: registers one instance, or watches one service. It follows the rules
 * that the real client follows: one connection, another node when there is no reply for 6 s, a higher version each time.
 */
export class ClusterClient implements Party {
  readonly key: string;
  readonly id: number;
  /** The service that it watches; undefined: it registers itself. */
  readonly watch: number | undefined;
  readonly #world: ClusterWorld;
  readonly #nodes: readonly ClusterNode[];
  readonly #onlooker: ListOnlooker;
  isUp = true;
  boot = 1;
  upMs = 0;
  wokeMs: number = longAgo;
  pause: Party['pause'];
  skewMs: number;
  node: ClusterNode | undefined;
  conn = 0;
  state: 'idle' | 'dialling' | 'up' = 'idle';
  version: InstanceVersion = none;
  wants: boolean;
  isEnding = false;
  /** Which node answered its last registration. */
  owner: ClusterNode | undefined;
  held: ClusterNode | undefined;
  formerOwner: ClusterNode | undefined;
  registeredMs = 0;
  bornMs = 0;
  contactMs: number = longAgo;
  /** When it came back from a long silence. */
  backMs: number = longAgo;
  deadMs = -1;
  isGoneEverywhere = false;
  massUntilMs: number = longAgo;
  massAt: ClusterNode | undefined;
  cameMs = 0;
  list: Map<number, InstanceVersion> = new Map();
  known: readonly OwnerPosition[] | undefined;
  formerNode: ClusterNode | undefined;
  formerList: Map<number, InstanceVersion> = new Map();
  #replyMs = 0;
  #askedMs = 0;
  #avoid: Party | undefined;
  #frozenAt: ClusterNode | undefined;

  constructor(
    world: ClusterWorld,
    nodes: readonly ClusterNode[],
    onlooker: ListOnlooker,
    id: number,
    watch: number | undefined,
  ) {
    this.#world = world;
    this.#nodes = nodes;
    this.#onlooker = onlooker;
    this.id = id;
    this.watch = watch;
    this.key = `${watch === undefined ? 'c' : 'w'}${id}`;
    this.wants = watch === undefined;
    this.skewMs = world.int(-1_000, 1_000);
  }

  /** It is there, and means to be registered. */
  get isLive(): boolean {
    return this.isUp && this.wants;
  }

  begin(): void {
    this.version = { incarnation: this.#wall, counter: 0 };
    this.#world.timer(this, this.#world.int(0, 500), () => this.#dial());
    this.#world.timer(this, this.#world.int(100, beatMs), () => this.#beat());
  }

  on(from: Party, raw: unknown): void {
    const message = raw as Message;
    const node = from as ClusterNode;
    if (message.kind === 'peeked') {
      if (this.#frozenAt !== undefined && this.#frozenAt === this.node && this.state === 'up') this.move(node);
      this.#frozenAt = undefined;
      return;
    }
    if (!('conn' in message) || message.conn !== this.conn) return;
    this.#replyMs = this.#world.nowMs;
    switch (message.kind) {
      case 'ok':
        this.state = 'up';
        this.#touched();
        this.cameMs = this.#world.nowMs;
        this.register();
        break;
      case 'no':
        this.state = 'idle';
        this.#avoid = node;
        this.#world.timer(this, this.#world.int(100, 500), () => this.#dial());
        break;
      case 'gone':
        this.closed(this.conn);
        break;
      case 'registered':
        this.#onRegistered(node, message.version);
        break;
      case 'ended':
        this.isEnding = false;
        break;
      case 'pong':
        this.#onPong(node, message);
        break;
      case 'superseded':
        this.#onSuperseded(message.seen);
        break;
      case 'list':
        if (this.state === 'up' && node === this.node) this.#onList(node, message);
        break;
    }
  }

  closed(conn: number): void {
    if (conn !== this.conn || !this.isUp) return;
    if (this.pause !== undefined) {
      this.pause.timers.push(() => this.closed(conn));
      return;
    }
    this.state = 'idle';
    this.owner = undefined;
    this.#avoid = this.node;
    this.conn = this.#world.connection();
    this.#world.timer(this, this.#world.int(50, 500), () => this.#dial());
  }

  move(to?: ClusterNode): void {
    if (this.state !== 'up' || this.pause !== undefined) return;
    this.#world.log(this.key, 'moves');
    this.#say({ kind: 'bye', conn: this.conn });
    this.state = 'idle';
    this.#avoid = this.node;
    this.owner = undefined;
    this.#dial(to);
  }

  register(): void {
    if (this.watch !== undefined) return;
    this.#askedMs = this.#world.nowMs;
    if (this.wants) {
      this.owner = undefined;
      this.#say({ kind: 'register', conn: this.conn, version: this.#raised() });
    } else if (this.isEnding) {
      this.#say({ kind: 'deregister', conn: this.conn, version: this.#raised() });
    }
  }

  deregister(): void {
    this.wants = false;
    this.isEnding = true;
    this.gone();
    this.#askedMs = this.#world.nowMs;
    if (this.owner !== undefined) this.#say({ kind: 'deregister', conn: this.conn, version: this.version });
    this.owner = undefined;
  }

  die(): void {
    if (!this.isUp) return;
    this.#world.log(this.key, 'dies');
    const { node, conn, state } = this;
    this.isUp = false;
    this.pause = undefined;
    this.gone();
    if (state === 'up' && node !== undefined && this.#world.chance(0.7)) {
      this.#world.send(this, node, { kind: 'bye', conn } satisfies Message);
    }
    this.state = 'idle';
    this.owner = undefined;
  }

  /** A new process in its place. */
  reborn(): void {
    if (this.isUp) return;
    const { nowMs } = this.#world;
    this.isUp = true;
    this.boot++;
    this.upMs = nowMs;
    this.node = undefined;
    this.conn = this.#world.connection();
    this.state = 'idle';
    this.owner = undefined;
    this.wants = true;
    this.isEnding = false;
    this.#avoid = undefined;
    this.bornMs = nowMs;
    this.contactMs = longAgo;
    this.deadMs = -1;
    this.isGoneEverywhere = false;
    this.#world.log(this.key, 'is reborn');
    this.begin();
  }

  gone(): void {
    this.deadMs = this.#world.nowMs;
    this.isGoneEverywhere = false;
  }

  get #wall(): number {
    return wallBaseMs + Math.floor(this.#world.nowMs) + this.skewMs;
  }

  #raised(seen: InstanceVersion = none): InstanceVersion {
    if (compareVersions(seen, this.version) >= 0) {
      this.version = { incarnation: Math.max(this.#wall, seen.incarnation + 1), counter: 1 };
    } else {
      this.version = { incarnation: this.version.incarnation, counter: this.version.counter + 1 };
    }
    return this.version;
  }

  #say(message: Message): void {
    if (this.node !== undefined) this.#world.send(this, this.node, message);
  }

  #dial(to?: ClusterNode): void {
    if (this.state !== 'idle') return;
    const node = to ?? this.#world.pick(this.#nodes.filter((each) => each !== this.#avoid));
    this.node = node;
    this.conn = this.#world.connection();
    this.state = 'dialling';
    this.#replyMs = this.#world.nowMs;
    const { conn } = this;
    this.#say({ kind: 'hello', conn, watch: this.watch, known: this.known });
    this.#world.timer(this, 1_000, () => {
      if (this.conn === conn && this.state === 'dialling') this.closed(conn);
    });
  }

  #beat(): void {
    this.#world.timer(this, beatMs, () => this.#beat());
    if (this.state !== 'up') return;
    if (this.#world.nowMs - this.#replyMs > 2 * beatMs) {
      this.#say({ kind: 'bye', conn: this.conn });
      this.closed(this.conn);
    } else {
      this.#say({ kind: 'ping', conn: this.conn });
    }
  }

  #touched(): void {
    const { nowMs } = this.#world;
    if (nowMs - this.contactMs >= suspectMs) this.backMs = nowMs;
    this.contactMs = nowMs;
  }

  #onRegistered(node: ClusterNode, version: InstanceVersion): void {
    if (compareVersions(version, this.version) !== 0 || !this.wants) return;
    if (this.owner !== node) {
      this.registeredMs = this.#world.nowMs;
      this.formerOwner = this.held;
    }
    this.owner = this.held = node;
    this.#touched();
  }

  #onPong(node: ClusterNode, { held, isFrozen }: Message & { kind: 'pong' }): void {
    this.#touched();
    if (this.watch === undefined && this.#world.nowMs - this.#askedMs > beatMs && held !== (this.wants ? 1 : 0)) {
      this.#world.log(this.key, 'asks again');
      if (!this.wants) this.isEnding = true;
      this.register();
    }
    if (!isFrozen) return;
    this.#frozenAt = node;
    for (const other of this.#nodes) {
      if (other !== node) this.#world.send(this, other, { kind: 'peek' } satisfies Message);
    }
  }

  #onSuperseded(seen: InstanceVersion): void {
    if (compareVersions(seen, this.version) < 0) return;
    this.owner = undefined;
    this.#askedMs = this.#world.nowMs;
    if (this.wants) this.#say({ kind: 'register', conn: this.conn, version: this.#raised(seen) });
  }

  #onList(node: ClusterNode, message: ListMessage): void {
    this.#onlooker.listed(this, node, message);
    const next = new Map(message.list);
    for (const [id, version] of this.list) {
      if (next.has(id)) continue;
      const ended = message.ended.find(([each]) => each === id)?.[1];
      if (!message.isFull && !(ended !== undefined && compareVersions(ended, version) >= 0)) continue;
      this.list.delete(id);
      this.#onlooker.dropped(this, node, id);
    }
    for (const [id, version] of next) this.list.set(id, version);
    this.known = message.isFull ? message.revision : highest(message.revision, this.known ?? []);
    this.formerNode = this.#world.nowMs - this.cameMs >= 4_000 ? node : (this.formerNode ?? node);
    if (this.formerNode === node) this.formerList = new Map(this.list);
  }
}

function highest(a: readonly OwnerPosition[], b: readonly OwnerPosition[]): OwnerPosition[] {
  const positions = new Map<string, OwnerPosition>();
  for (const each of [...a, ...b]) {
    const before = positions.get(each.owner);
    const isHigher =
      before === undefined ||
      each.incarnation > before.incarnation ||
      (each.incarnation === before.incarnation && each.sequence > before.sequence);
    if (isHigher) positions.set(each.owner, each);
  }
  return [...positions.values()];
}

/** True for a party that registers or watches. */
export function isClient(party: Party): party is ClusterClient {
  return !(party instanceof ClusterNode);
}
