import type { Lane } from './lane.js';
import { Mark } from './run-table.js';
import { Session, type SessionInfo } from './session.js';
import { SessionHeap } from './session-heap.js';
import type { ShardState } from './shard-state.js';

const weightDefault = 100;
/** A session whose last ping was answered longer ago gets no new leases: the worker would drop them. */
const answeredWithinMs = 4_000;
const toUtf8 = new TextEncoder();

/** The sessions of one epoch, who is the current one of each worker, and which may be given leases. */
export class SessionTable {
  readonly #state: ShardState;
  readonly #byId: Map<number, Session> = new Map<number, Session>();
  readonly #byIndex: (Session | undefined)[] = [undefined];
  readonly #free: number[] = [];
  readonly #current: Map<string, Session> = new Map<string, Session>();

  readonly #freed: (session: Session) => void;

  /** `freed` is told of each session that is let go of, except by `clear`. */
  constructor(state: ShardState, freed: (session: Session) => void) {
    this.#state = state;
    this.#freed = freed;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** A session that is attached; undefined once it is closed. */
  find(sessionId: number): Session | undefined {
    return this.#byId.get(sessionId);
  }

  at(index: number): Session | undefined {
    return this.#byIndex[index];
  }

  /** The latest session of a worker, whatever its state. */
  current(appId: number, workerId: string): Session | undefined {
    return this.#current.get(`${appId}/${workerId}`);
  }

  attach(info: SessionInfo): Session {
    const { lanes, workers } = this.#state;
    const name = toUtf8.encode(info.workerId);
    const worker = workers.intern(name, 0, name.length, info.incarnation);
    const served = [...new Set(info.processors)].map((each) => lanes.at(lanes.internName(info.appId, each)));
    const index = this.#free.pop() ?? this.#byIndex.length;
    const session = new Session(index, info, worker, served);
    this.#byIndex[index] = session;
    this.#byId.set(info.sessionId, session);
    const key = `${info.appId}/${info.workerId}`;
    const before = this.#current.get(key);
    if (before !== undefined && before.info.sessionId > info.sessionId) {
      // An old connection's request came late.
      session.isSuperseded = true;
      return session;
    }
    if (before !== undefined) before.isSuperseded = true;
    this.#current.set(key, session);
    return session;
  }

  detach(session: Session): void {
    session.isClosed = true;
    this.#byId.delete(session.info.sessionId);
    const key = `${session.info.appId}/${session.info.workerId}`;
    if (this.#current.get(key) === session) this.#current.delete(key);
    session.lanes.forEach((lane, i) => {
      if (session.isOffered[i] === 1) lane.sessions!.closed();
    });
    this.freeIfGone(session);
  }

  /** Lets go of a closed session that holds no lease any more. */
  freeIfGone(session: Session): void {
    if (!session.isClosed || session.leases.size > 0 || this.#byIndex[session.index] !== session) return;
    this.#byIndex[session.index] = undefined;
    this.#free.push(session.index);
    this.#freed(session);
    this.#state.workers.release(session.worker);
    for (const lane of session.lanes) this.#state.lanes.release(lane.index);
  }

  /** Sessions with an index: attached ones, and closed ones that still hold leases. */
  *all(): IterableIterator<Session> {
    for (const session of this.#byIndex) if (session !== undefined) yield session;
  }

  attached(): IterableIterator<Session> {
    return this.#byId.values();
  }

  mayLease(session: Session, monoMs: number): boolean {
    return (
      session.isCurrent &&
      !session.isDraining &&
      session.inUse < session.info.capacity &&
      monoMs - session.answeredMs < answeredWithinMs
    );
  }

  /** Puts the session where its lanes look for one, if it may be given leases. */
  offer(session: Session, monoMs: number): void {
    if (!this.mayLease(session, monoMs)) return;
    session.lanes.forEach((lane, i) => {
      if (session.isOffered[i] === 1) return;
      session.isOffered[i] = 1;
      (lane.sessions ??= new SessionHeap()).push(session);
    });
  }

  /** The least dispatched session for this lane; undefined when none has credit. */
  pick(lane: Lane, monoMs: number): Session | undefined {
    return lane.sessions?.pick(
      (session) => this.mayLease(session, monoMs),
      (session) => {
        session.isOffered[session.lanes.indexOf(lane)] = 0;
      },
    );
  }

  /**
   * Accounts a lease. The key of virtual time: never below that of the session picked last, so that neither a newcomer
   * nor one back from a pause is flooded.
   */
  take(session: Session, lane: Lane): void {
    const { app } = lane;
    const from = Math.max(session.key, app.pickedKey);
    app.pickedKey = from;
    session.key = from + 1 / (session.info.weight || weightDefault);
    session.inUse++;
  }

  /** An attempt has ended: the worker can take another. */
  giveBack(session: Session, monoMs: number): void {
    session.inUse--;
    this.offer(session, monoMs);
  }

  /** Forgets all sessions: their leases are nobody's until claimed. Told of each one that was attached. */
  clear(each: (session: Session) => void): void {
    const { runs, workers, lanes } = this.#state;
    for (const session of this.all()) {
      const { unbound } = workers.at(session.worker);
      for (let slot = session.leases.head; slot !== 0; slot = session.leases.head) {
        session.leases.remove(runs, slot);
        unbound.push(runs, slot);
        runs.holder.set(slot, 0);
        runs.timer.set(slot, 0);
        runs.clearMark(slot, Mark.REPORTED | Mark.HUNG);
      }
      for (const lane of session.lanes) {
        lane.sessions = undefined;
        lanes.release(lane.index);
      }
      workers.release(session.worker);
      if (!session.isClosed) each(session);
    }
    this.#byId.clear();
    this.#byIndex.length = 1;
    this.#free.length = 0;
    this.#current.clear();
  }
}
