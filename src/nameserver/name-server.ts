/**
 * The name server of one node: puts the registry core on the wire, among the other nodes and clients.
 *
 * Order of effects after every input: the core's effects in the order in which it gives them, which are
 *
 *   1. store     a new incarnation goes to disk; nothing that carries it comes from the core before it is there, or the
 *                disk was found full
 *   2. send      frames to the peers whose links are up
 *   3. changed   names of what watchers must hear, kept in the watch set; sessions that shall end are cut
 *   4. answer    of the call that was the input
 *   5. watchers  at the end of the turn, or 20 ms after the last time when that is later
 *
 * Nothing that a client registers is on disk: what is durable are the incarnation and the overrides (`node-folder.ts`).
 *
 *   STARTING ──incarnation stored, and ready by the core──▶ READY ──leave──▶ LEAVING ──stop──▶ stopped
 *      all calls but `registry.nodes` are answered NOT_READY, retry OTHER, in every state but READY
 */
import type { MetricSet } from '../base/counters.js';
import { ErrorCode, isTaskdError, Retry, TaskdError } from '../base/errors.js';
import type { Logger } from '../base/logger.js';
import type { NodeIdentity } from '../rpc/server.js';
import type { Peer, ServerCall, ServiceRegistry } from '../rpc/service.js';
import type { Clock, Timer } from '../runtime/clock.js';
import type { Address } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import type { taskd } from '../wire/generated/messages.js';
import {
  beat,
  deregister,
  listInstances,
  listNodes,
  listOverrides,
  listServices,
  register,
  registryPeer,
  setOverride,
  watchInstances,
} from '../wire/methods.js';
import { Catalog } from './catalog.js';
import { ClientTable } from './client-table.js';
import { tickMs } from './core/live-time.js';
import { RegistryCore } from './core/registry-core.js';
import { allPeers, type RegistryEffect } from './core/registry-effect.js';
import { checkVersion, claimFrom, type InstanceClaim, versionFrom } from './instance.js';
import { addNameServerMetrics } from './name-server-metrics.js';
import { NodeFolder } from './node-folder.js';
import { checkTarget, overrideMessage, overrideModeOf, overrideWeightMax } from './override-message.js';
import { OverrideStore } from './override-store.js';
import { PeerGate } from './peer-gate.js';
import { PeerLinks } from './peer-links.js';
import { PeerTraffic } from './peer-traffic.js';
import { RegistryReads } from './registry-reads.js';
import { StaticEntries } from './static-entries.js';
import { WatchService } from './watch-service.js';
import { WatchSet } from './watch-set.js';

export interface NameServerOptions {
  /** A folder of its own, made when missing. */
  readonly folder: string;
  /** The other name servers of the cluster; empty: it is alone. */
  readonly peers: readonly Address[];
  /** What a name server of two does without the other one. */
  readonly onPeerLoss: 'freeze' | 'expire';
  readonly staticInstances: readonly InstanceClaim[];
  /** Called once when this process must not go on: another living one has its node id. */
  readonly onFatal: (reason: string) => void;
}

/** Between two tries to store an incarnation. */
const storeAgainMs = 1_000;
/** How long a name server that leaves waits for the others to have all of its log, and how often it looks. */
const leaveMs = 1_000;
const lookMs = 20;

export class NameServer {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #options: NameServerOptions;
  readonly #folder: NodeFolder;
  readonly #core: RegistryCore;
  readonly #catalog: Catalog;
  readonly #clients = new ClientTable();
  readonly #watches: WatchSet;
  readonly #watching: WatchService;
  readonly #reads: RegistryReads;
  readonly #overrides: OverrideStore;
  readonly #links: PeerLinks;
  readonly #gate: PeerGate;
  readonly #traffic = new PeerTraffic();
  readonly #followed = new Set<number>();
  #ticker: Timer | undefined;
  #waker: Timer | undefined;
  #storing: Promise<void> = Promise.resolve();
  #isLeaving = false;
  #isStopped = false;

  private constructor(runtime: Runtime, identity: NodeIdentity, folder: NodeFolder, options: NameServerOptions) {
    const { clock, random, logger } = runtime;
    const { peers, onPeerLoss } = options;
    const { nodeId } = identity;
    this.#clock = clock;
    this.#logger = logger;
    this.#options = options;
    this.#folder = folder;
    this.#overrides = new OverrideStore(folder, logger, nodeId, {
      changed: ({ namespace, group, service, instanceId }) => {
        this.#watches.changed(namespace, group, service, instanceId);
        this.#watching.flushSoon();
      },
      send: (to, body) => this.#send(to, { ...body, sender: nodeId, incarnation: this.#core.incarnation }),
    });
    this.#core = new RegistryCore(
      { nodeId },
      { peers: peers.length, onPeerLoss, storedIncarnation: folder.incarnation, random },
      clock.monotonicMs(),
      clock.wallMs(),
    );
    const { overrides } = this.#overrides;
    this.#catalog = new Catalog(this.#core, new StaticEntries(options.staticInstances), overrides);
    this.#watches = new WatchSet(this.#catalog, this.#core);
    this.#watching = new WatchService(clock, this.#watches, this.#clients);
    this.#reads = new RegistryReads(this.#core, this.#catalog, overrides);
    this.#gate = new PeerGate(peers.length > 0);
    this.#links = new PeerLinks(runtime, identity, peers);
    this.#links.onUp = (peer) => {
      this.#core.linked(peer, clock.monotonicMs());
      this.#settle();
    };
    this.#settle();
    this.#armTick();
  }

  /**
   * Takes its folder and serves the registry's methods. One that is alone is ready when this resolves; one of several
   * becomes so once it has talked to the others, which needs the server to listen. Rejects as `NodeFolder.open` does.
   */
  static async start(
    runtime: Runtime,
    services: ServiceRegistry,
    identity: NodeIdentity,
    options: NameServerOptions,
  ): Promise<NameServer> {
    const folder = await NodeFolder.open(runtime, options.folder);
    const server = new NameServer(runtime, identity, folder, options);
    services.onCall(register, (request, call) => server.#serve(call, () => server.#register(request, call.peer)));
    services.onCall(deregister, (request, call) => server.#serve(call, () => server.#deregister(request, call.peer)));
    services.onCall(listInstances, (request, call) => server.#serve(call, () => server.#reads.instances(request)));
    services.onCall(listServices, (request, call) => server.#serve(call, () => server.#reads.services(request)));
    services.onCall(listOverrides, (request, call) => server.#serve(call, () => server.#reads.overrides(request)));
    services.onCall(beat, (_, call) => server.#serve(call, () => server.#beat(call.peer)));
    services.onCall(listNodes, (_, call) => call.reply(server.#nodes()));
    services.onCall(setOverride, (request, call) => {
      server.#setOverride(request, call.peer).then(
        (answer) => call.reply(answer),
        (error) => call.fail(error),
      );
    });
    services.onStream(watchInstances, (request, stream) => {
      try {
        server.#refuseUnlessReady();
        server.#watching.open(request, stream);
      } catch (error) {
        stream.end(error);
      }
    });
    services.onSend(registryPeer, (frame, peer) => server.#hearPeer(frame, peer));
    await server.#storing;
    return server;
  }

  /** What this name server knows, for those who look on. */
  get core(): RegistryCore {
    return this.#core;
  }

  /** Instances in the merged view. */
  get instanceCount(): number {
    return this.#core.instanceCount;
  }

  get sessionCount(): number {
    return this.#core.sessionCount;
  }

  get watcherCount(): number {
    return this.#watches.size;
  }

  /** Links to other name servers that are up. */
  get linkCount(): number {
    return this.#links.upCount;
  }

  get isReady(): boolean {
    return !this.#isLeaving && this.#core.isReady;
  }

  registerMetrics(metrics: MetricSet): void {
    addNameServerMetrics(metrics, this.#core, this.#links, this.#gate, this.#overrides.overrides, this.#watches);
    this.#traffic.registerMetrics(metrics);
  }

  /**
   * Says goodbye: the other name servers keep what is registered here until it has moved, calls are refused, watches
   * end, so that clients go elsewhere. Resolves when all others have all that they must have of it, or after a second.
   * The connections are the server's to close.
   */
  async leave(): Promise<void> {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    this.#core.leave(this.#clock.monotonicMs());
    this.#settle();
    this.#watching.stop(notReady('is stopping'));
    const untilMs = this.#clock.monotonicMs() + leaveMs;
    while (this.linkCount > 0 && !this.#core.isHandedOver && this.#clock.monotonicMs() < untilMs) {
      await new Promise<void>((resolve) => this.#clock.timer(lookMs, resolve));
    }
  }

  /** Stops the clockwork, refuses calls, lets the links and the folder go. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#isLeaving = true;
    this.#ticker?.cancel();
    this.#waker?.cancel();
    this.#watching.stop(notReady('is stopping'));
    this.#links.close();
    await this.#folder.release();
  }

  #serve<A>(call: ServerCall<A>, answer: () => A): void {
    try {
      this.#refuseUnlessReady();
      const message = answer();
      this.#settle();
      call.reply(message);
    } catch (error) {
      this.#settle();
      call.fail(error);
    }
  }

  #refuseUnlessReady(): void {
    if (this.#isLeaving) throw notReady('is stopping');
    if (!this.#core.isReady) throw notReady('is starting and has not caught up with the others yet');
  }

  #register(request: taskd.RegisterRequest, peer: Peer): taskd.RegisterResponse.$Properties {
    const claim = claimFrom(request.instance as taskd.Instance | null | undefined);
    checkVersion(claim.version);
    const nowMs = this.#clock.monotonicMs();
    this.#clients.write(peer, nowMs);
    this.#core.register(peer.id, claim, nowMs);
    this.#follow(peer);
    return {};
  }

  #deregister(request: taskd.DeregisterRequest, peer: Peer): taskd.DeregisterResponse.$Properties {
    const { namespace, group, service, instanceId } = request;
    const target = { namespace, group, service, instanceId };
    checkTarget(target);
    const version = versionFrom(request.version);
    checkVersion(version);
    const nowMs = this.#clock.monotonicMs();
    this.#clients.write(peer, nowMs);
    return { removed: this.#core.deregister(peer.id, target, version, nowMs) };
  }

  #beat(peer: Peer): taskd.BeatResponse.$Properties {
    const { superseded, isFrozen, held } = this.#core.beat(peer.id, this.#clock.monotonicMs());
    return { superseded: [...superseded], frozen: isFrozen, held };
  }

  async #setOverride(request: taskd.SetOverrideRequest, peer: Peer): Promise<taskd.SetOverrideResponse.$Properties> {
    this.#refuseUnlessReady();
    const { namespace, group, service, instanceId } = request;
    const weight = request.weight ?? undefined;
    const target = { namespace, group, service, instanceId };
    checkTarget(target);
    const mode = overrideModeOf(request.mode);
    if (mode === undefined && request.mode === 0 && weight === undefined) {
      throw new TaskdError(ErrorCode.INVALID, 'an override says something: a mode from 1 to 3, a weight, or both');
    }
    if (mode === undefined && request.mode !== 0) {
      throw new TaskdError(ErrorCode.INVALID, `there is no mode ${request.mode} of an override; use 0 to 3`);
    }
    if (weight !== undefined && weight > overrideWeightMax) {
      throw new TaskdError(
        ErrorCode.INVALID,
        `a weight is 1 to ${overrideWeightMax}, or 0 as registered, not ${weight}`,
      );
    }
    this.#clients.write(peer, this.#clock.monotonicMs());
    const change = { ...(mode === undefined ? {} : { mode }), ...(weight === undefined ? {} : { weight }) };
    const override = await this.#overrides.set(target, change, this.#clock.wallMs());
    const isRegistered = this.#catalog.find(namespace, group, service, instanceId) !== undefined;
    return { override: overrideMessage(override), isRegistered };
  }

  #nodes(): taskd.NodesResponse.$Properties {
    const nodes = this.#reads.nodes(this.#links.states(), this.#watches.size);
    return this.#isLeaving ? { ...nodes, ready: false } : nodes;
  }

  /** Hears of a client's frames and of its end, from its first registration on. */
  #follow(peer: Peer): void {
    if (this.#followed.has(peer.id)) return;
    this.#followed.add(peer.id);
    peer.onActivity(() => {
      this.#core.heard(peer.id, this.#clock.monotonicMs());
      this.#settle();
    });
    peer.onClose(() => {
      this.#followed.delete(peer.id);
      this.#core.closed(peer.id, this.#clock.monotonicMs());
      this.#settle();
    });
  }

  #hearPeer(frame: taskd.PeerFrame, peer: Peer): void {
    if (this.#isStopped) return;
    const nowMs = this.#clock.monotonicMs();
    const { sender } = frame;
    const refusal = this.#gate.refusal(sender, peer.clientId, nowMs);
    if (refusal !== undefined) {
      peer.abort(refusal);
      return;
    }
    const order = this.#gate.orderOf(sender, peer.id);
    if (order === 'old') return;
    if (order === 'new') this.#core.linked(sender, nowMs);
    this.#traffic.received(frame);
    this.#links.heard(sender, nowMs);
    if (frame.digest) this.#links.unheard(sender, this.#core.unheardMs(frame.digest), nowMs);
    const { digest, overrides, overridesPull } = frame;
    if (overridesPull) this.#overrides.answerPull(sender);
    else if (overrides) this.#overrides.receive(overrides);
    else {
      if (digest) this.#overrides.compare(sender, [digest.overridesA ?? 0, digest.overridesB ?? 0], nowMs);
      this.#core.receive(sender, frame, nowMs, this.#clock.wallMs());
    }
    this.#settle();
  }

  #armTick(): void {
    this.#ticker = this.#clock.timer(tickMs, () => {
      this.#armTick();
      const nowMs = this.#clock.monotonicMs();
      this.#core.tick(nowMs, this.#clock.wallMs());
      this.#links.tick(nowMs);
      this.#overrides.tick(nowMs);
      this.#settle();
      this.#watching.catchUp(nowMs);
    });
  }

  /** Performs what the last input led to. */
  #settle(): void {
    const effects = this.#core.takeEffects();
    for (const effect of effects) this.#perform(effect);
    if (effects.length > 0 || this.#watches.isOutrun) this.#watching.flushSoon();
  }

  #perform(effect: RegistryEffect): void {
    switch (effect.kind) {
      case 'store':
        this.#storing = this.#store(effect.incarnation);
        break;
      case 'send':
        this.#send(effect.to, effect.message);
        break;
      case 'changed':
        this.#watches.changed(effect.namespace, effect.group, effect.service, effect.instanceId);
        break;
      case 'end':
        this.#logger.info({ session: effect.sessionId }, 'a session was ended: its client registers anew');
        this.#clients.peer(effect.sessionId)?.abort('the session is over: register anew');
        break;
      case 'state':
        this.#watches.stateChanged();
        break;
      case 'protection':
        this.#protect(effect);
        break;
      case 'wake':
        this.#wake(effect.atMs);
        break;
      case 'stop':
        this.#logger.error({ reason: effect.reason }, 'this name server must not go on');
        this.#options.onFatal(effect.reason);
        break;
    }
  }

  #send(to: string, message: taskd.PeerFrame.$Properties): void {
    let frame = message;
    if (message.digest) {
      const [overridesA, overridesB] = this.#overrides.overrides.hash;
      frame = { ...message, digest: { ...message.digest, overridesA, overridesB } };
    }
    const peers = to === allPeers ? this.#links.sendAll(frame) : Number(this.#links.send(to, frame));
    if (peers === 0 && to !== allPeers) this.#core.unsent(to);
    this.#traffic.sent(frame, peers);
  }

  /**
   * Stores it, however often that takes, and lets the core use it then. A full disk is the exception: the clock and what
   * the others know keep the next start above it, so it is used at once, and stored when there is room. Resolves when it
   * is used, or when this server was stopped before.
   */
  #store(incarnation: number): Promise<void> {
    return new Promise((resolve) => {
      let isUsed = false;
      const use = (): void => {
        if (!isUsed && !this.#isStopped) {
          isUsed = true;
          this.#core.incarnationStored(incarnation, this.#clock.monotonicMs());
          this.#settle();
        }
        resolve();
      };
      void this.#tryStore(incarnation, use);
    });
  }

  async #tryStore(incarnation: number, use: () => void): Promise<void> {
    try {
      if (!this.#isStopped) await this.#folder.storeIncarnation(incarnation);
      use();
    } catch (error) {
      this.#logger.warn({ error: (error as Error).message }, 'the incarnation is not on disk; trying again');
      if (isTaskdError(error, ErrorCode.STORAGE_FULL)) use();
      // A later one has a try of its own.
      if (this.#core.incarnation <= incarnation) {
        this.#clock.timer(storeAgainMs, () => void this.#tryStore(incarnation, use));
      }
    }
  }

  #protect(effect: RegistryEffect & { kind: 'protection' }): void {
    const { namespace, group, service, isProtected } = effect;
    const what = isProtected ? 'most of a service fell sick at once: it is served whole' : 'a service has recovered';
    this.#logger.warn({ namespace, group, service }, what);
    this.#watches.protectionChanged(namespace, group, service, isProtected);
  }

  #wake(atMs: number): void {
    this.#waker?.cancel();
    this.#waker = this.#clock.timer(Math.max(0, atMs - this.#clock.monotonicMs()), () => {
      this.#core.flush(this.#clock.monotonicMs());
      this.#settle();
    });
  }
}

function notReady(why: string): TaskdError {
  return new TaskdError(ErrorCode.NOT_READY, `this name server ${why}; ask another one`, { retry: Retry.OTHER });
}
