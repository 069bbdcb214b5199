/**
 * Holds fetches to their client's quota. A client has them answered one after another, in the order in which they came,
 * each once what was sent before is worked off; so asking for more at once gains nothing. What a fetch may bring is
 * reserved when its turn comes and corrected when it was answered, since a read from the disk takes a while. Who can't
 * have his turn before his deadline, and who comes when too many wait, is told BUSY.
 */
import type { ServerCall } from '../rpc/service.js';
import type { Clock } from '../runtime/clock.js';
import type { Timers } from '../timer/timers.js';
import type { taskd } from '../wire/generated/messages.js';
import type { ClientQuota } from './client-quota.js';

/** Fetches of one client that wait for its quota. */
const waitingMax = 256;
/** The answer leaves so long before the caller gives up. */
const answerEarlyMs = 20;
/** Debts are looked at again after so long: a reservation may have been too large. */
const lookMs = 1_000;

/** A fetch as it is metered. */
export interface Metered {
  readonly call: ServerCall<taskd.IFetchResponse>;
  readonly bytesMax: number;
  /** Bytes of the quota that were taken for it and not settled. */
  reserved: number;
}

interface Line<F> {
  waiting: F[];
  timer: number;
}

export class FetchQuota<F extends Metered> {
  readonly #quota: ClientQuota;
  readonly #timers: Timers;
  readonly #clock: Clock;
  readonly #serve: (fetch: F) => void;
  /** By client id; none is empty. */
  readonly #lines = new Map<string, Line<F>>();
  #isStopped = false;

  /** `serve` begins to answer a fetch; `settle` must follow. */
  constructor(quota: ClientQuota, timers: Timers, clock: Clock, serve: (fetch: F) => void) {
    this.#quota = quota;
    this.#timers = timers;
    this.#clock = clock;
    this.#serve = serve;
  }

  /** Has the fetch served, in this call or in its turn, or refused. */
  admit(fetch: F): void {
    const { clientId } = fetch.call.peer;
    if (this.#isStopped || this.#quota.bytesAtOnce(clientId) === Number.POSITIVE_INFINITY) {
      this.#serve(fetch);
      return;
    }
    const nowMs = this.#clock.monotonicMs();
    const debtMs = this.#quota.debtMs(clientId, nowMs);
    const line = this.#lines.get(clientId);
    if (line === undefined && debtMs === 0) this.#begin(fetch, nowMs);
    else if (debtMs > leftOf(fetch) || (line?.waiting.length ?? 0) >= waitingMax) {
      fetch.call.fail(this.#quota.refusal(clientId, debtMs, debtMs));
    } else {
      this.#quota.throttled++;
      if (line !== undefined) line.waiting.push(fetch);
      else this.#lines.set(clientId, { waiting: [fetch], timer: this.#wake(clientId, debtMs) });
    }
  }

  /** A fetch that was served has been answered with so many bytes. */
  settle(fetch: F, bytes: number): void {
    const { clientId } = fetch.call.peer;
    this.#quota.charge(clientId, bytes - fetch.reserved, this.#clock.monotonicMs());
    fetch.reserved = 0;
  }

  /** Serves all that wait, and holds nobody any more. */
  stop(): void {
    this.#isStopped = true;
    for (const { waiting, timer } of this.#lines.values()) {
      this.#timers.cancel(timer);
      for (const fetch of waiting) this.#serve(fetch);
    }
    this.#lines.clear();
  }

  #begin(fetch: F, nowMs: number): void {
    fetch.reserved = fetch.bytesMax;
    this.#quota.charge(fetch.call.peer.clientId, fetch.reserved, nowMs);
    this.#serve(fetch);
  }

  #wake(clientId: string, debtMs: number): number {
    return this.#timers.after(Math.min(debtMs, lookMs), () => this.#look(clientId));
  }

  /** Serves whoever's turn it is, and refuses those whose turn can't come in time. */
  #look(clientId: string): void {
    const line = this.#lines.get(clientId);
    if (line === undefined) return;
    const nowMs = this.#clock.monotonicMs();
    let debtMs = this.#quota.debtMs(clientId, nowMs);
    while (debtMs === 0 && line.waiting.length > 0) {
      this.#begin(line.waiting.shift()!, nowMs);
      debtMs = this.#quota.debtMs(clientId, nowMs);
    }
    const isLate = (fetch: F): boolean => debtMs > leftOf(fetch) || fetch.call.isCancelled;
    const late = line.waiting.filter(isLate);
    if (late.length > 0) {
      line.waiting = line.waiting.filter((fetch) => !isLate(fetch));
      for (const { call } of late) call.fail(this.#quota.refusal(clientId, debtMs, debtMs));
    }
    if (line.waiting.length === 0) this.#lines.delete(clientId);
    else line.timer = this.#wake(clientId, debtMs);
  }
}

const leftOf = ({ call }: Metered): number => call.remainingMs() - answerEarlyMs;
