/**
 * Bytes a second that each client may move, after Kafka's client quotas (KIP-13): whoever is over it is slowed down by
 * late answers, which every client bears, and is not refused. Only when the debt has grown beyond what one late answer
 * can make good (someone sends without waiting for answers), requests are refused with BUSY until it is paid. For reads,
 * which are known only when they are answered, see `fetch-quota.ts`.
 *
 * A client is known by the id in its hello, so that all its connections share. One second's worth may come at once.
 * Pure; time is a parameter.
 */
import { ErrorCode, Retry, TaskdError } from '../base/errors.js';

/** Bytes a second; undefined: no limit. */
export interface QuotaRates {
  readonly perClient: number | undefined;
  /** By client id, instead of that. */
  readonly clients: ReadonlyMap<string, number>;
}

export const noQuota: QuotaRates = { perClient: undefined, clients: new Map() };

/** An answer is never late by more than this for a quota's sake. */
export const throttleMsMax = 5_000;
/** Clients whose debts are known; one that is new while all of them owe something takes another's place. */
const clientsMax = 10_000;

interface Account {
  readonly rate: number;
  /** Bytes taken and not yet worked off. */
  owed: number;
  atMs: number;
}

export class ClientQuota {
  readonly #rates: QuotaRates;
  readonly #what: string;
  readonly #accounts = new Map<string, Account>();
  /** Answers that were late, and requests that were refused. */
  throttled = 0;
  refused = 0;

  /** `what` names the setting in errors. */
  constructor(rates: QuotaRates, what: string) {
    this.#rates = rates;
    this.#what = what;
  }

  /** Clients whose debts are known. */
  get clients(): number {
    return this.#accounts.size;
  }

  /** Counts `bytes` and returns by how many milliseconds the answer must be late; 0: not at all. */
  take(clientId: string, bytes: number, nowMs: number): number {
    const account = this.#account(clientId, nowMs);
    if (account === undefined) return 0;
    account.owed += bytes;
    return this.#lateMs(account);
  }

  /** What a client may move at once, in bytes; infinite without a limit. */
  bytesAtOnce(clientId: string): number {
    return this.#rateOf(clientId) ?? Number.POSITIVE_INFINITY;
  }

  /** In how many milliseconds the client has worked off what it took; 0: it owes nothing. */
  debtMs(clientId: string, nowMs: number): number {
    const account = this.#account(clientId, nowMs);
    return account === undefined ? 0 : Math.ceil(debtOf(account));
  }

  /** Counts `bytes`; fewer than none: so many of those counted before were not moved after all. */
  charge(clientId: string, bytes: number, nowMs: number): void {
    const account = this.#account(clientId, nowMs);
    if (account !== undefined) account.owed = Math.max(0, account.owed + bytes);
  }

  /** Throws BUSY for a client that goes on taking although it was told to wait. */
  check(clientId: string, nowMs: number): void {
    const account = this.#account(clientId, nowMs);
    if (account === undefined) return;
    const debtMs = debtOf(account);
    if (debtMs <= throttleMsMax) return;
    throw this.refusal(clientId, debtMs, debtMs - throttleMsMax);
  }

  /** BUSY for one who owes `debtMs` and may come again in `afterMs`; counted. */
  refusal(clientId: string, debtMs: number, afterMs: number): TaskdError {
    this.refused++;
    const message =
      `client "${clientId}" has used up its ${this.#rateOf(clientId)} bytes a second (${this.#what}) for ` +
      `${Math.ceil(debtMs / 1_000)} s ahead: wait for answers, or ask for a higher quota`;
    const retryAfterMs = Math.min(60_000, Math.ceil(afterMs) + 1);
    return new TaskdError(ErrorCode.BUSY, message, { retry: Retry.AFTER, retryAfterMs });
  }

  #lateMs(account: Account): number {
    const lateMs = Math.min(throttleMsMax, Math.ceil(debtOf(account)));
    if (lateMs > 0) this.throttled++;
    return lateMs;
  }

  #rateOf(clientId: string): number | undefined {
    return this.#rates.clients.get(clientId) ?? this.#rates.perClient;
  }

  #account(clientId: string, nowMs: number): Account | undefined {
    const rate = this.#rateOf(clientId);
    if (rate === undefined) return undefined;
    let account = this.#accounts.get(clientId);
    if (account === undefined) {
      if (this.#accounts.size >= clientsMax) this.#makeRoom(nowMs);
      account = { rate, owed: 0, atMs: nowMs };
      this.#accounts.set(clientId, account);
    }
    pay(account, nowMs);
    return account;
  }

  /** Forgets who owes nothing, else the one that came first. */
  #makeRoom(nowMs: number): void {
    for (const [clientId, account] of this.#accounts) {
      pay(account, nowMs);
      if (account.owed === 0) this.#accounts.delete(clientId);
    }
    if (this.#accounts.size < clientsMax) return;
    for (const first of this.#accounts.keys()) {
      this.#accounts.delete(first);
      return;
    }
  }
}

function pay(account: Account, nowMs: number): void {
  account.owed = Math.max(0, account.owed - ((nowMs - account.atMs) / 1_000) * account.rate);
  account.atMs = nowMs;
}

/** Milliseconds until the client is within one second's worth again. */
function debtOf({ owed, rate }: Account): number {
  return Math.max(0, ((owed - rate) / rate) * 1_000);
}
