/**
 * The services that this process watches, on whichever connection the session has.
 *
 *   CLOSED ──up──▶ OPEN ──the stream ended for a passing reason──▶ CLOSED ──about 1 s──▶ OPEN
 *     ▲              ├──down──▶ CLOSED (until the next up)
 *     └──────────────┘ INVALID: refused, for good
 *
 * One stream a service, however many listen. What was known stays, and is presented to the next name server as what we
 * have seen; listeners hear of true differences only. While no name server answers, what nothing is known of comes from
 * the cache file.
 */
import { ErrorCode, isTaskdError, type TaskdError } from '../base/errors.js';
import type { ClientStream, OwnConnection } from '../rpc/caller.js';
import type { Runtime } from '../runtime/runtime.js';
import type { taskd } from '../wire/generated/messages.js';
import { watchInstances } from '../wire/methods.js';
import type { CacheFile } from './cache-file.js';
import type { Instance } from './instance.js';
import type { Session } from './session.js';
import { targetKey, type WatchTarget } from './watch-target.js';
import { WatchView } from './watch-view.js';

const creditPushes = 16;
/** Wait before a watch that failed for a passing reason is tried again on the same connection. */
const againMs = 1_000;

export interface Watch {
  /** Stops calling the listener. */
  close(): void;
}

export type InstancesListener = (instances: readonly Instance[]) => void;

/** Calls one listener, and is told when the watch is refused. */
interface Listening {
  readonly listener: InstancesListener;
  readonly onRefused: (error: TaskdError) => void;
}

interface Watched {
  readonly target: WatchTarget;
  readonly view: WatchView;
  readonly listening: Set<Listening>;
  stream: ClientStream | undefined;
  /** Which of the streams opened for it counts; what others still say is ignored. */
  turn: number;
  refusal: TaskdError | undefined;
}

export class Watches {
  readonly #runtime: Runtime;
  readonly #session: () => Session;
  readonly #watched = new Map<string, Watched>();
  readonly #cache: CacheFile | undefined;
  #connection: OwnConnection | undefined;
  /** No name server answers, and the cache is there. */
  #isCacheInUse = false;

  /** `session` gives the session that `up` comes from. */
  constructor(runtime: Runtime, session: () => Session, cache: CacheFile | undefined) {
    this.#runtime = runtime;
    this.#session = session;
    this.#cache = cache;
  }

  /** See `Registry.watch`. */
  add(target: WatchTarget, listener: InstancesListener, onRefused: (error: TaskdError) => void): Watch {
    const key = targetKey(target);
    let watched = this.#watched.get(key);
    if (watched === undefined) {
      watched = { target, view: new WatchView(), listening: new Set(), stream: undefined, turn: 0, refusal: undefined };
      this.#watched.set(key, watched);
      this.#open(watched);
      if (this.#isCacheInUse) this.#seed(watched);
    }
    const { view, listening, refusal } = watched;
    const entry: Listening = { listener, onRefused };
    listening.add(entry);
    if (view.list !== undefined || refusal !== undefined) {
      this.#runtime.clock.defer(() => {
        if (!listening.has(entry)) return;
        if (refusal !== undefined) this.#refuse(entry, target, refusal);
        else this.#call(target, () => listener(view.list!));
      });
    }
    return {
      close: () => {
        if (!listening.delete(entry) || listening.size > 0) return;
        this.#close(watched);
        if (this.#watched.get(key) === watched) this.#watched.delete(key);
      },
    };
  }

  find(target: WatchTarget): readonly Instance[] | undefined {
    return this.#watched.get(targetKey(target))?.view.list;
  }

  up(connection: OwnConnection): void {
    this.#connection = connection;
    this.#isCacheInUse = false;
    for (const watched of this.#watched.values()) this.#open(watched);
  }

  down(): void {
    this.#connection = undefined;
    for (const watched of this.#watched.values()) this.#close(watched);
  }

  /** No name server answers: what nothing is known of is as it was in an earlier life. */
  useCache(): void {
    this.#isCacheInUse = true;
    for (const watched of this.#watched.values()) if (this.#seed(watched)) this.#tell(watched);
  }

  close(): void {
    this.down();
    this.#watched.clear();
  }

  #seed({ target, view }: Watched): boolean {
    const cached = this.#cache?.find(target);
    return cached !== undefined && view.seed(cached);
  }

  #open(watched: Watched): void {
    const connection = this.#connection;
    if (connection === undefined || watched.refusal !== undefined) return;
    const { target, view } = watched;
    const turn = ++watched.turn;
    const stream = connection.open(watchInstances, { ...target, known: view.known }, creditPushes, {
      push: (event) => {
        if (watched.turn === turn) this.#take(watched, connection, event);
      },
      end: (error) => {
        if (watched.turn === turn) this.#ended(watched, connection, error);
      },
    });
    if (watched.turn === turn) watched.stream = stream;
  }

  #take(watched: Watched, connection: OwnConnection, event: taskd.WatchEvent): void {
    watched.stream?.credit(1);
    const session = this.#session();
    session.heard(connection);
    if (watched.view.apply(event)) {
      this.#cache?.put(watched.target, watched.view.list!);
      this.#tell(watched);
    }
    // Last: it may end this session.
    if (event.state?.frozen === true) session.frozen(connection);
  }

  #close(watched: Watched): void {
    watched.turn++;
    watched.stream?.cancel();
    watched.stream = undefined;
    watched.view.cut();
  }

  #ended(watched: Watched, connection: OwnConnection, error: Error | undefined): void {
    watched.turn++;
    watched.stream = undefined;
    watched.view.cut();
    const { service } = watched.target;
    if (isTaskdError(error, ErrorCode.INVALID)) {
      watched.refusal = error;
      this.#runtime.logger.error({ service, reason: error.message }, 'a watch was refused');
      for (const entry of [...watched.listening]) this.#refuse(entry, watched.target, error);
      return;
    }
    if (isTaskdError(error, ErrorCode.NOT_READY)) {
      this.#session().leave(connection, error);
      return;
    }
    // When the connection is gone, all watches are opened again on the next one.
    const { clock, random, logger } = this.#runtime;
    logger.debug({ service, reason: error?.message }, 'a watch ended');
    clock.timer(againMs * (1 + random.unit()), () => {
      const isWanted = this.#watched.get(targetKey(watched.target)) === watched;
      if (isWanted && watched.stream === undefined && this.#connection === connection) this.#open(watched);
    });
  }

  #tell({ target, view, listening }: Watched): void {
    for (const entry of [...listening]) {
      if (listening.has(entry)) this.#call(target, () => entry.listener(view.list!));
    }
  }

  #refuse({ onRefused }: Listening, target: WatchTarget, error: TaskdError): void {
    this.#call(target, () => onRefused(error));
  }

  /** A listener that throws keeps nothing from the others. */
  #call({ service }: WatchTarget, listener: () => void): void {
    try {
      listener();
    } catch (error) {
      this.#runtime.logger.error({ service, stack: (error as Error)?.stack ?? String(error) }, 'a listener failed');
    }
  }
}
