/**
 * The links to the other name servers of the cluster: one connection each, dialled by this side, over which this side's
 * frames go. Theirs come over the links that they dialled.
 *
 *   DIALLING ──hello──▶ UP ──closed, asked to leave, over-full, or silent──▶ WAITING ──a random wait──▶ DIALLING
 *      └──refused, or no answer in time──▶ WAITING
 *      └──it is this very node──▶ SELF, for good
 *
 * *Silent*: name servers beat every second. When nothing comes from one for some seconds while our link to it is up,
 * the network between is suspect, and TCP may sleep on for as long again after it is mended: a new connection doesn't.
 * The same holds when a peer that is heard says that it hears nothing of this side, and after a long stop of our own.
 *
 * Nothing is kept for a link that isn't up, and what waits in one is bounded: one that takes too little is cut. Whoever
 * misses frames finds out by digests, and pulls.
 */
import type { Logger } from '../base/logger.js';
import { Backoff } from '../rpc/backoff.js';
import { type DialShare, dial, type RpcConnection } from '../rpc/connection.js';
import type { NodeIdentity } from '../rpc/server.js';
import { RpcStats } from '../rpc/stats.js';
import type { Timer } from '../runtime/clock.js';
import { type Address, formatAddress } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import { Ticker } from '../transport/ticker.js';
import type { taskd } from '../wire/generated/messages.js';
import { registryPeer } from '../wire/methods.js';

/** Between two dials of one peer: short, as a cut shall heal in seconds. */
const firstWaitMs = 50;
const waitMsMax = 1_000;
const dialMs = 2_000;
/** Silence of a peer after which our link to it is made anew; and what this side may be late itself. */
const silentMs = 3_000;
const lateMs = 1_000;
/** After such a stop of our own the peers have cut our links, 9 s after the last beat; word of that may be lost. */
const forgottenMs = 8_000;
/** Bytes that wait in one link. A whole snapshot of the largest registry is asked for in parts and stays below. */
export const linkBytesMax: number = 64 * 1024 * 1024;

export interface PeerLinkState {
  readonly address: Address;
  /** Empty until the peer has answered once. */
  readonly nodeId: string;
  readonly isUp: boolean;
  readonly queuedBytes: number;
}

interface Link {
  readonly address: Address;
  readonly backoff: Backoff;
  nodeId: string;
  connection: RpcConnection | undefined;
  upMs: number;
  /** When it came up, or a frame of the peer came, whichever was later. */
  heardMs: number;
  isSelf: boolean;
  /** Its silence was logged; nothing more of it is until a frame of it comes. */
  isSilent: boolean;
  timer: Timer | undefined;
  /** True while the last dials failed and that was logged. */
  isMissed: boolean;
}

export class PeerLinks {
  /** Frames that were not sent, as their link was not up. */
  framesDropped = 0;
  /** Links that were cut because they took too little. */
  overflows = 0;
  framesSent = 0;
  /** Called with the peer's node id when a link came up. */
  onUp: (nodeId: string) => void = () => {};
  readonly #runtime: Runtime;
  readonly #logger: Logger;
  readonly #identity: NodeIdentity;
  readonly #share: DialShare;
  readonly #links: readonly Link[];
  readonly #bytesMax: number;
  #tickedMs: number;
  #isClosed = false;

  /** Dials at once. */
  constructor(runtime: Runtime, identity: NodeIdentity, peers: readonly Address[], bytesMax: number = linkBytesMax) {
    this.#runtime = runtime;
    this.#logger = runtime.logger;
    this.#identity = identity;
    this.#tickedMs = runtime.clock.monotonicMs();
    this.#bytesMax = bytesMax;
    this.#share = { ticker: new Ticker(runtime.clock), stats: new RpcStats() };
    this.#links = peers.map((address) => ({
      address,
      backoff: new Backoff(runtime.random, firstWaitMs, waitMsMax),
      nodeId: '',
      connection: undefined,
      upMs: 0,
      heardMs: 0,
      isSelf: false,
      isSilent: false,
      timer: undefined,
      isMissed: false,
    }));
    for (const link of this.#links) void this.#dial(link);
  }

  states(): PeerLinkState[] {
    return this.#links
      .filter((link) => !link.isSelf)
      .map(({ address, nodeId, connection }) => ({
        address,
        nodeId,
        isUp: connection !== undefined,
        queuedBytes: connection?.queuedBytes ?? 0,
      }));
  }

  /** Links that are up. */
  get upCount(): number {
    return this.#links.filter(({ connection }) => connection !== undefined).length;
  }

  /** A frame of this peer came. */
  heard(nodeId: string, nowMs: number): void {
    for (const link of this.#links) {
      if (link.nodeId !== nodeId) continue;
      link.heardMs = nowMs;
      link.isSilent = false;
    }
  }

  /**
   * A peer says that nothing from this node has arrived there for so long. A link that has been up for all that time brings
   * nothing there, or ends at a former life of the peer: it is made anew.
   */
  unheard(nodeId: string, forMs: number, nowMs: number): void {
    if (forMs < silentMs) return;
    for (const link of this.#links) {
      const { connection } = link;
      if (link.nodeId !== nodeId || connection === undefined || nowMs - link.upMs < silentMs) continue;
      this.#cut(link, connection, 'the peer does not hear this side');
    }
  }

  /** Makes links to silent peers anew. To be called about every half second. */
  tick(nowMs: number): void {
    const tookMs = nowMs - this.#tickedMs;
    const wasLate = tookMs > lateMs;
    this.#tickedMs = nowMs;
    for (const link of this.#links) {
      const { connection } = link;
      if (connection === undefined) continue;
      if (tookMs > forgottenMs) {
        this.#cut(link, connection, 'this side stood still for long');
        continue;
      }
      // After a stop of our own, what they sent meanwhile is still to be read.
      if (wasLate) link.heardMs = nowMs;
      if (nowMs - link.heardMs < silentMs) continue;
      if (!link.isSilent) {
        const hint = 'nothing comes from a name server: it is cut off, or this one is not in its --name-servers';
        this.#logger.warn({ peer: link.nodeId, address: formatAddress(link.address) }, hint);
      }
      link.isSilent = true;
      this.#cut(link, connection, 'the peer is silent');
    }
  }

  /** True for the id of a configured peer that has answered at least once. */
  knows(nodeId: string): boolean {
    return this.#links.some((link) => link.nodeId === nodeId);
  }

  /** Sends a frame to every peer whose link is up; returns to how many. */
  sendAll(frame: taskd.PeerFrame.$Properties): number {
    let sent = 0;
    for (const link of this.#links) if (this.#send(link, frame)) sent++;
    return sent;
  }

  /** Sends a frame to the peer with this node id, if its link is up. */
  send(nodeId: string, frame: taskd.PeerFrame.$Properties): boolean {
    const link = this.#links.find((each) => each.nodeId === nodeId && each.connection !== undefined);
    if (link !== undefined) return this.#send(link, frame);
    this.framesDropped++;
    return false;
  }

  /** Dials no more; what was sent still leaves. */
  close(): void {
    this.#isClosed = true;
    for (const link of this.#links) {
      link.timer?.cancel();
      link.connection?.close();
      link.connection = undefined;
    }
  }

  #send(link: Link, frame: taskd.PeerFrame.$Properties): boolean {
    const { connection } = link;
    if (connection === undefined) {
      this.framesDropped++;
      return false;
    }
    if (connection.queuedBytes > this.#bytesMax) {
      this.overflows++;
      this.framesDropped++;
      this.#logger.warn(
        { peer: link.nodeId, queuedBytes: connection.queuedBytes },
        'a peer takes too little: link cut',
      );
      this.#cut(link, connection, 'the peer takes too little');
      return false;
    }
    connection.send(registryPeer, frame);
    this.framesSent++;
    return true;
  }

  async #dial(link: Link): Promise<void> {
    link.timer = undefined;
    try {
      const self = { clientId: this.#identity.nodeId, kind: 'nameserver' };
      const connection = await dial(this.#runtime, link.address, self, dialMs, this.#share);
      this.#up(link, connection);
    } catch (error) {
      this.#missed(link, error as Error);
    }
  }

  #up(link: Link, connection: RpcConnection): void {
    if (this.#isClosed) {
      connection.close();
      return;
    }
    const { nodeId, roles, incarnation } = connection.server;
    const peer = formatAddress(link.address);
    if (nodeId === this.#identity.nodeId && incarnation === this.#identity.incarnation) {
      link.isSelf = true;
      connection.close();
      const remedy = 'write it in --name-servers as in --listen, or leave it out';
      this.#logger.error({ address: peer }, `this name server is listed as one of the others: ${remedy}`);
      return;
    }
    if (!roles.includes('nameserver')) {
      connection.close();
      this.#missed(link, new Error(`${nodeId} is no name server; correct --name-servers`));
      return;
    }
    link.nodeId = nodeId;
    link.connection = connection;
    link.upMs = link.heardMs = this.#runtime.clock.monotonicMs();
    link.backoff.succeeded();
    link.isMissed = false;
    if (!link.isSilent) this.#logger.info({ peer: nodeId, address: peer }, 'a name server is linked');
    connection.onClose((error) => this.#lost(link, connection, error?.message ?? 'closed'));
    connection.onDrain(() => this.#lost(link, connection, 'it is leaving'));
    this.onUp(nodeId);
  }

  #lost(link: Link, connection: RpcConnection, reason: string): void {
    if (link.connection !== connection) return;
    this.#logger.info({ peer: link.nodeId, reason }, 'the link to a name server is lost');
    link.connection = undefined;
    connection.close();
    this.#again(link);
  }

  #cut(link: Link, connection: RpcConnection, reason: string): void {
    link.connection = undefined;
    connection.abort(reason);
    this.#again(link);
  }

  #missed(link: Link, error: Error): void {
    if (this.#isClosed) return;
    if (!link.isMissed) {
      this.#logger.info({ address: formatAddress(link.address), reason: error.message }, 'a name server is missed');
    }
    link.isMissed = true;
    this.#again(link);
  }

  #again(link: Link): void {
    if (this.#isClosed) return;
    link.timer = this.#runtime.clock.timer(link.backoff.failed(), () => void this.#dial(link));
  }
}
