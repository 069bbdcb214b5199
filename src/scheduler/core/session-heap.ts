import type { Session } from './session.js';

/** So few closed sessions are not worth a pass over the heap. */
const closedMin = 16;

/**
 * The sessions that may take a lane's runs, least dispatched first: a binary heap by a key that each dispatch raises.
 * Keys only grow, so an entry's key may be older (lower) than the session's; it is put right when it comes to the top.
 */
export class SessionHeap {
  #sessions: Session[] = [];
  #keys: number[] = [];
  /** Closed ones among them. */
  #closed = 0;

  get size(): number {
    return this.#sessions.length;
  }

  /** `session` must not be in the heap. */
  push(session: Session): void {
    let at = this.#sessions.length;
    this.#sessions.push(session);
    this.#keys.push(session.key);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#keys[parent]! <= session.key) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#put(at, session, session.key);
  }

  /** One of its sessions was closed. It leaves when it comes to the top, or with the others once they are the most. */
  closed(): void {
    if (++this.#closed <= this.#sessions.length / 2 + closedMin) return;
    const open = this.#sessions.filter((session) => !session.isClosed);
    this.#sessions = [];
    this.#keys = [];
    this.#closed = 0;
    for (const session of open) this.push(session);
  }

  /** The session with the lowest key among those that `mayLease` takes; others leave the heap through `left`. */
  pick(mayLease: (session: Session) => boolean, left: (session: Session) => void): Session | undefined {
    while (this.#sessions.length > 0) {
      const top = this.#sessions[0]!;
      if (!mayLease(top)) {
        this.#popTop();
        left(top);
      } else if (top.key > this.#keys[0]!) {
        this.#sink(0, top, top.key);
      } else {
        return top;
      }
    }
    return undefined;
  }

  #popTop(): void {
    const session = this.#sessions.pop()!;
    const key = this.#keys.pop()!;
    if ((this.#sessions[0] ?? session).isClosed) this.#closed--;
    if (this.#sessions.length > 0) this.#sink(0, session, key);
  }

  #sink(at: number, session: Session, key: number): void {
    const size = this.#sessions.length;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= size) break;
      if (child + 1 < size && this.#keys[child + 1]! < this.#keys[child]!) child++;
      if (this.#keys[child]! >= key) break;
      this.#move(child, at);
      at = child;
    }
    this.#put(at, session, key);
  }

  #move(from: number, to: number): void {
    this.#put(to, this.#sessions[from]!, this.#keys[from]!);
  }

  #put(at: number, session: Session, key: number): void {
    this.#sessions[at] = session;
    this.#keys[at] = key;
  }
}
