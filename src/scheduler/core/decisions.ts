import type { Session } from './session.js';

/**
 * Decisions on runs that are on their way through the log, in order: part of the pending overlay. One log object
 * appends in order and only the present owner writes with its epoch, so they come back in the order in which they left.
 */
export class DecisionsInFlight {
  #runs: number[] = [];
  #sessions: (Session | undefined)[] = [];
  #first = 0;

  get size(): number {
    return this.#runs.length - this.#first;
  }

  /** `session`: whose credit a lease takes. */
  add(run: number, session: Session | undefined): void {
    this.#runs.push(run);
    this.#sessions.push(session);
  }

  /** Is the oldest decision on `run`? */
  isNext(run: number): boolean {
    return this.#first < this.#runs.length && this.#runs[this.#first] === run;
  }

  /** Takes the oldest decision out. */
  take(): Session | undefined {
    const session = this.#sessions[this.#first];
    this.#sessions[this.#first] = undefined;
    this.#first++;
    if (this.#first === this.#runs.length) {
      this.#runs.length = this.#sessions.length = this.#first = 0;
    } else if (this.#first > 65_536 && this.#first * 2 > this.#runs.length) {
      this.#runs = this.#runs.slice(this.#first);
      this.#sessions = this.#sessions.slice(this.#first);
      this.#first = 0;
    }
    return session;
  }

  clear(each: (run: number) => void): void {
    for (let i = this.#first; i < this.#runs.length; i++) each(this.#runs[i]!);
    this.#runs = [];
    this.#sessions = [];
    this.#first = 0;
  }
}
