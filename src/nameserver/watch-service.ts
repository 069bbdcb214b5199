/**
 * The watch streams: limits, and when watchers are told. The first change after a quiet time is told at the end of the
 * turn that brought it; what follows gathers for at most 20 ms.
 */
import { ErrorCode, TaskdError } from '../base/errors.js';
import type { ServerStream } from '../rpc/service.js';
import type { Clock, Timer } from '../runtime/clock.js';
import { Encoded } from '../wire/encoded.js';
import { taskd } from '../wire/generated/messages.js';
import type { ClientTable } from './client-table.js';
import { checkName } from './instance.js';
import { Selector } from './selector.js';
import type { Watcher, WatchSet, WatchTarget } from './watch-set.js';
import { behindMs } from './watcher.js';

const gatherMs = 20;
/** A vector that a client presents: more than there are name servers, with those replaced. */
const knownMax = 256;

type WatchStream = ServerStream<taskd.WatchEvent.$Properties>;

export class WatchService {
  readonly #clock: Clock;
  readonly #watches: WatchSet;
  readonly #clients: ClientTable;
  readonly #streams = new Map<WatchStream, Watcher>();
  #flusher: Timer | undefined;
  #isFlushDue = false;
  #flushedMs = Number.NEGATIVE_INFINITY;
  #catchUp: Timer | undefined;
  #isStopped = false;
  /** The last event that was told, until the end of the flush. */
  #encoded: { readonly event: taskd.WatchEvent.$Properties; readonly bytes: Encoded } | undefined;

  constructor(clock: Clock, watches: WatchSet, clients: ClientTable) {
    this.#clock = clock;
    this.#watches = watches;
    this.#clients = clients;
  }

  /** Serves a stream. Throws INVALID for what is no watch, and QUOTA at the limits. */
  open(request: taskd.WatchRequest, stream: WatchStream): void {
    const target = targetFrom(request);
    const { peer } = stream;
    this.#clients.watch(peer);
    const push = (event: taskd.WatchEvent.$Properties): boolean => {
      if (stream.push(this.#encode(event))) return true;
      stream.onWritable(() => {
        this.#watches.resume(watcher);
        this.flushSoon();
      });
      return false;
    };
    const watcher: Watcher = this.#watches.add(target, push, this.#clock.monotonicMs());
    this.#streams.set(stream, watcher);
    stream.onClose(() => this.#close(stream));
    this.flushSoon();
    this.#awaitCover();
  }

  /** To be called after whatever may have given watchers something to hear. */
  flushSoon(): void {
    if (this.#isFlushDue || this.#isStopped || !(this.#watches.isDirty || this.#watches.isOutrun)) return;
    this.#isFlushDue = true;
    const waitMs = this.#flushedMs + gatherMs - this.#clock.monotonicMs();
    if (waitMs <= 0) this.#clock.defer(() => this.#flush());
    else this.#flusher = this.#clock.timer(waitMs, () => this.#flush());
  }

  /** Looks after those that have seen more than is known here. To be called with every tick, and when logs move on. */
  catchUp(nowMs: number): void {
    if (!this.#watches.isOutrun) return;
    this.#watches.catchUp(nowMs);
    this.flushSoon();
  }

  /** Ends all streams with this error. */
  stop(error: TaskdError): void {
    this.#isStopped = true;
    this.#flusher?.cancel();
    this.#catchUp?.cancel();
    for (const stream of [...this.#streams.keys()]) {
      this.#close(stream);
      stream.end(error);
    }
  }

  /** What several watchers are told one after the other is encoded once. */
  #encode(event: taskd.WatchEvent.$Properties): Encoded {
    if (this.#encoded?.event !== event) {
      this.#encoded = { event, bytes: new Encoded(taskd.WatchEvent.encode(event).finish()) };
    }
    return this.#encoded.bytes;
  }

  #close(stream: WatchStream): void {
    const watcher = this.#streams.get(stream);
    if (watcher === undefined) return;
    this.#streams.delete(stream);
    this.#watches.remove(watcher);
    this.#clients.unwatch(stream.peer);
  }

  #flush(): void {
    this.#isFlushDue = false;
    if (this.#isStopped) return;
    const nowMs = this.#clock.monotonicMs();
    this.#flushedMs = nowMs;
    if (this.#watches.isOutrun) this.#watches.catchUp(nowMs);
    const isMore = this.#watches.flush();
    this.#encoded = undefined;
    if (!isMore) return;
    // Much to tell: others get their turn in between.
    this.#isFlushDue = true;
    this.#flusher = this.#clock.timer(0, () => this.#flush());
  }

  /** While somebody waits for what this node doesn't have yet, looks again when the wait is over. */
  #awaitCover(): void {
    if (this.#catchUp !== undefined || !this.#watches.isOutrun) return;
    this.#catchUp = this.#clock.timer(behindMs, () => {
      this.#catchUp = undefined;
      this.catchUp(this.#clock.monotonicMs());
    });
  }
}

function targetFrom(request: taskd.WatchRequest): WatchTarget {
  const { namespace, group, service } = request;
  checkName('namespace', namespace);
  if (group !== '') checkName('group', group);
  if (service !== '') checkName('service', service);
  if (request.known.length > knownMax) {
    const text = `a watch names at most ${knownMax} owners that its client knows, not ${request.known.length}`;
    throw new TaskdError(ErrorCode.INVALID, text);
  }
  const known = request.known.map(({ owner, incarnation, sequence }) => ({
    owner: owner ?? '',
    incarnation: incarnation ?? 0,
    sequence: sequence ?? 0,
  }));
  return { namespace, group, service, selector: Selector.parse(request.selector), known };
}
