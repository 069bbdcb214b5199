import type { Random } from '../../runtime/random.js';
import { askAgainMs, hearsayMax, Incarnation } from './incarnation.js';
import type { LiveTime } from './live-time.js';
import type { OwnerLog } from './owner-log.js';
import { allPeers, type PeerMessage, type RegistryEffect } from './registry-effect.js';

/**
 * Who this node is: its id, its incarnation, and the number that tells this process from others with its id. It asks
 * the peers before it draws an incarnation, goes above what they know of a former life, and stops when another living
 * process has its id.
 */
export class Identity {
  readonly nodeId: string;
  readonly boot: number;
  readonly #time: LiveTime;
  readonly #log: OwnerLog;
  readonly #incarnation: Incarnation;
  readonly #emit: (effect: RegistryEffect) => void;
  readonly #send: (to: string, body: PeerMessage) => void;
  #hasTwin = false;

  constructor(
    log: OwnerLog,
    time: LiveTime,
    options: { readonly peers: number; readonly storedIncarnation: number; readonly random: Random },
    emit: (effect: RegistryEffect) => void,
    send: (to: string, body: PeerMessage) => void,
  ) {
    this.nodeId = log.owner;
    this.boot = 1 + options.random.u32();
    this.#time = time;
    this.#log = log;
    this.#incarnation = new Incarnation(options.peers, options.storedIncarnation, options.random, time.nowMs);
    this.#emit = emit;
    this.#send = send;
  }

  /** 0 until the first one is stored. */
  get incarnation(): number {
    return this.#incarnation.current;
  }

  /** Until there is an incarnation: asks for it, draws it. `wallMs` 0: there is no wall clock to draw it from now. */
  start(wallMs: number): void {
    if (!this.#incarnation.isAsking) return;
    const { nowMs, realMs } = this.#time;
    if (this.#incarnation.mayAsk(nowMs)) {
      this.#send(allPeers, { incarnationQuestion: {} });
      this.#emit({ kind: 'wake', atMs: realMs + askAgainMs });
    }
    const drawn = wallMs > 0 ? this.#incarnation.draw(nowMs, wallMs) : 0;
    if (drawn > 0) this.#emit({ kind: 'store', incarnation: drawn });
  }

  /** The incarnation is durable; false when a higher one was drawn meanwhile. The log is numbered anew in it. */
  stored(incarnation: number): boolean {
    if (!this.#incarnation.stored(incarnation)) return false;
    this.#log.renumber(incarnation, this.#time.nowMs);
    return true;
  }

  /** A peer knows so much of our own log. More than we do: it is of a former life, and we go above it. */
  told(from: string, incarnation: number, sequence: number, wallMs: number): void {
    if (incarnation > hearsayMax) return;
    this.#incarnation.told(from, incarnation);
    this.start(wallMs);
    if (this.#log.covers(incarnation, sequence) || this.incarnation === 0) return;
    const drawn = this.#incarnation.raise(incarnation, this.#time.nowMs, wallMs);
    if (drawn === undefined) this.#stop('peers keep hearing of higher incarnations of it');
    else if (drawn > 0) this.#emit({ kind: 'store', incarnation: drawn });
  }

  /** A frame whose sender has our id: our own, by some loop, or another process's; of two, the newer one goes on. */
  meet({ boot, incarnation }: PeerMessage): void {
    if (boot === this.boot || this.incarnation === 0) return;
    const order = (incarnation ?? 0) - this.incarnation || (boot ?? 0) - this.boot;
    if (order > 0) this.#stop('it is alive and has the higher incarnation');
  }

  #stop(how: string): void {
    if (this.#hasTwin) return;
    this.#hasTwin = true;
    const reason = `another name server has the node id ${this.nodeId}: ${how}; give each of them an id of its own`;
    this.#emit({ kind: 'stop', reason });
  }
}
