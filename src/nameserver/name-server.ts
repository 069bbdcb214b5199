/**
 * The name server of one node: puts the registry core on the wire.
 *
 * Order of effects after every input: the core's changes go to the watch set, then the answer is sent; the watchers
 * are told at the end of the turn, or 20 ms after the last time when that is later.
 */
import type { MetricSet } from '../base/counters.js';
import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import type { Logger } from '../base/logger.js';
import type { NodeIdentity } from '../rpc/server.js';
import type { Peer, ServerCall, ServerStream, ServiceRegistry } from '../rpc/service.js';
import type { Clock, Timer } from '../runtime/clock.js';
import type { Runtime } from '../runtime/runtime.js';
import type { taskd } from '../wire/generated/messages.js';
import { beat, deregister, listInstances, register, watchInstances } from '../wire/methods.js';
import { RegistryCore, tickMs } from './core/registry-core.js';
import type { RegistryEffect } from './core/registry-effect.js';
import { checkName, claimFrom, instanceMessage, versionFrom } from './instance.js';
import { type Watcher, WatchSet } from './watch-set.js';

/** Changes gather at most so long before watchers hear of them; the first after a quiet time goes at once. */
const gatherMs = 20;
const listBytesAim = 256 * 1_024;
const watchersMax = 50_000;

export class NameServer {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #core: RegistryCore;
  readonly #watches: WatchSet;
  readonly #peers = new Map<number, Peer>();
  readonly #streams = new Map<ServerStream<taskd.WatchEvent.$Properties>, Watcher>();
  #ticker: Timer | undefined;
  #flusher: Timer | undefined;
  #isFlushDue = false;
  #flushedMs = Number.NEGATIVE_INFINITY;
  #isStopped = false;

  private constructor(runtime: Runtime, identity: NodeIdentity) {
    this.#clock = runtime.clock;
    this.#logger = runtime.logger;
    this.#core = new RegistryCore(
      { nodeId: identity.nodeId },
      { peers: 0, onPeerLoss: 'freeze', storedIncarnation: 0, random: runtime.random },
      runtime.clock.monotonicMs(),
      runtime.clock.wallMs(),
    );
    this.#watches = new WatchSet(this.#core, () => this.#viewState());
    this.#settle();
    this.#armTick();
  }

  /** Serves the registry's methods. Nothing is kept on disk: what is registered comes back from the clients. */
  static async start(runtime: Runtime, services: ServiceRegistry, identity: NodeIdentity): Promise<NameServer> {
    const server = new NameServer(runtime, identity);
    services.onCall(register, (request, call) => server.#serve(call, () => server.#register(request, call.peer)));
    services.onCall(deregister, (request, call) => server.#serve(call, () => server.#deregister(request, call.peer)));
    services.onCall(listInstances, (request, call) => server.#serve(call, () => server.#list(request)));
    services.onCall(beat, (_, call) => server.#serve(call, () => server.#beat(call.peer)));
    services.onStream(watchInstances, (request, stream) => server.#watch(request, stream));
    return server;
  }

  /** Instances registered. */
  get instanceCount(): number {
    return this.#core.instanceCount;
  }

  get sessionCount(): number {
    return this.#core.sessionCount;
  }

  get watcherCount(): number {
    return this.#watches.size;
  }

  registerMetrics(metrics: MetricSet): void {
    metrics.gauge('nameserver_instances', 'Instances registered', () => this.instanceCount);
    metrics.gauge('nameserver_sessions', 'Connections that hold instances', () => this.sessionCount);
    metrics.gauge('nameserver_watchers', 'Watches open', () => this.watcherCount);
    metrics.counter('nameserver_changes_total', 'Changes of instances since the start', () => this.#core.sequence);
  }

  /**
   * Stops the clockwork, ends the watches and refuses calls, so that clients go to another name server. To be called
   * before the server drains; the connections are its to close.
   */
  stop(): void {
    this.#isStopped = true;
    this.#ticker?.cancel();
    this.#flusher?.cancel();
    for (const [stream, watcher] of this.#streams) {
      this.#watches.remove(watcher);
      stream.end(stopping());
    }
    this.#streams.clear();
  }

  #serve<A>(call: ServerCall<A>, answer: () => A): void {
    try {
      this.#refuseWhenStopped();
      const message = answer();
      this.#settle();
      call.reply(message);
    } catch (error) {
      this.#settle();
      call.fail(error);
    }
  }

  #refuseWhenStopped(): void {
    if (this.#isStopped) throw stopping();
  }

  #register(request: taskd.RegisterRequest, peer: Peer): taskd.RegisterResponse.$Properties {
    const claim = claimFrom(request.instance as taskd.Instance | null | undefined);
    this.#core.register(peer.id, claim, this.#clock.monotonicMs());
    this.#follow(peer);
    return {};
  }

  #deregister(request: taskd.DeregisterRequest, peer: Peer): taskd.DeregisterResponse.$Properties {
    const { namespace, group, service, instanceId } = request;
    checkName('namespace', namespace);
    checkName('service', service);
    checkName('instance id', instanceId);
    const version = versionFrom(request.version);
    const nowMs = this.#clock.monotonicMs();
    return { removed: this.#core.deregister(peer.id, { namespace, group, service, instanceId }, version, nowMs) };
  }

  #beat(peer: Peer): taskd.BeatResponse.$Properties {
    const { superseded, isFrozen } = this.#core.beat(peer.id, this.#clock.monotonicMs());
    return { superseded: [...superseded], frozen: isFrozen };
  }

  #list(request: taskd.ListInstancesRequest): taskd.ListInstancesResponse.$Properties {
    const { namespace, service, after } = request;
    checkName('namespace', namespace);
    if (service !== '') checkName('service', service);
    const instances: taskd.Instance.$Properties[] = [];
    let bytes = 0;
    for (const name of service === '' ? this.#core.serviceNames(namespace, '') : [service]) {
      for (const id of this.#core.ids(namespace, '', name).sort()) {
        const place = `${name}\n${id}`;
        if (after !== '' && place <= after) continue;
        if (bytes >= listBytesAim) return { instances, state: this.#viewState(), next: lastPlace(instances) };
        const { claim, health } = this.#core.visible({ namespace, group: '', service: name, instanceId: id })!;
        instances.push(instanceMessage(claim, health));
        bytes += 200 + JSON.stringify(claim.metadata).length;
      }
    }
    return { instances, state: this.#viewState(), next: '' };
  }

  #watch(request: taskd.WatchRequest, stream: ServerStream<taskd.WatchEvent.$Properties>): void {
    try {
      this.#refuseWhenStopped();
      checkName('namespace', request.namespace);
      checkName('service', request.service);
      if (this.#watches.size >= watchersMax) {
        throw new TaskdError(
          ErrorCode.QUOTA,
          `this name server has its limit of ${watchersMax} watchers; use another one`,
        );
      }
    } catch (error) {
      stream.end(error);
      return;
    }
    const watcher: Watcher = this.#watches.add(request.namespace, request.service, (event) => {
      if (stream.push(event)) return true;
      stream.onWritable(() => {
        this.#watches.resume(watcher);
        this.#flushSoon();
      });
      return false;
    });
    this.#streams.set(stream, watcher);
    stream.onClose(() => {
      this.#streams.delete(stream);
      this.#watches.remove(watcher);
    });
    this.#flushSoon();
  }

  /** Hears of a peer's frames and of its end, from its first registration on. */
  #follow(peer: Peer): void {
    if (this.#peers.has(peer.id)) return;
    this.#peers.set(peer.id, peer);
    peer.onActivity(() => {
      this.#core.heard(peer.id, this.#clock.monotonicMs());
      this.#settle();
    });
    peer.onClose(() => {
      this.#peers.delete(peer.id);
      this.#core.closed(peer.id, this.#clock.monotonicMs());
      this.#settle();
    });
  }

  #armTick(): void {
    this.#ticker = this.#clock.timer(tickMs, () => {
      this.#armTick();
      this.#core.tick(this.#clock.monotonicMs(), this.#clock.wallMs());
      this.#settle();
    });
  }

  /** Passes on what the last input changed. */
  #settle(): void {
    for (const effect of this.#core.takeEffects()) this.#perform(effect);
    if (this.#watches.isDirty) this.#flushSoon();
  }

  #perform(effect: RegistryEffect): void {
    switch (effect.kind) {
      case 'changed':
        this.#watches.changed(effect.namespace, effect.service, effect.instanceId);
        break;
      case 'end':
        this.#logger.info({ peer: effect.sessionId }, 'a silent session was removed');
        this.#peers.get(effect.sessionId)?.abort('no beat for too long: register anew');
        break;
      case 'store':
        // A name server that is alone has no use for it after its end.
        this.#core.incarnationStored(effect.incarnation, this.#clock.monotonicMs());
        break;
      case 'state':
        // What never came back can be dropped once an absence is to be believed.
        this.#watches.listAll();
        break;
    }
  }

  #flushSoon(): void {
    if (this.#isFlushDue || this.#isStopped) return;
    this.#isFlushDue = true;
    const waitMs = this.#flushedMs + gatherMs - this.#clock.monotonicMs();
    if (waitMs <= 0) this.#clock.defer(() => this.#flush());
    else this.#flusher = this.#clock.timer(waitMs, () => this.#flush());
  }

  #flush(): void {
    this.#isFlushDue = false;
    if (this.#isStopped) return;
    this.#flushedMs = this.#clock.monotonicMs();
    this.#watches.flush();
  }

  #viewState(): taskd.ViewState.$Properties {
    const { revision, staleMs, isCold, isComplete, isFrozen } = this.#core.viewState();
    return { revision: [...revision], staleMs, cold: isCold, authoritative: isComplete, frozen: isFrozen };
  }
}

function stopping(): TaskdError {
  return new TaskdError(ErrorCode.NOT_READY, 'this name server is stopping; ask another one', { retry: Retry.OTHER });
}

function lastPlace(instances: readonly taskd.Instance.$Properties[]): string {
  const last = instances.at(-1)!;
  return `${last.service}\n${last.instanceId}`;
}
