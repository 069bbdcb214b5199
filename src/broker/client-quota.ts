/**
 * Bytes a second that each client may move, after Kafka's client quotas (KIP-13): whoever is over it is slowed down by
 * late answers, which every client bears, and is not refused. Only when the debt has grown beyond what one late answer
 * can make good (someone sends without waiting for answers), requests are refused with BUSY until it is paid.
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

  /** How long an answer must wait now, for what was taken before. */
  waitMs(clientId: string, nowMs: number): number {
    const account = this.#account(clientId, nowMs);
    return account === undefined ? 0 : this.#lateMs(account);
  }

  /** Throws BUSY for a client that goes on taking although it was told to wait. */
  check(clientId: string, nowMs: number): void {
    const account = this.#account(clientId, nowMs);
    if (account === undefined) return;
    const debtMs = debtOf(account);
    if (debtMs <= throttleMsMax) return;
    this.refused++;
    const message =
      `client "${clientId}" has used up its ${account.rate} bytes a second (${this.#what}) for ` +
      `${Math.ceil(debtMs / 1_000)} s ahead: wait for answers, or ask for a higher quota`;
    throw new TaskdError(ErrorCode.BUSY, message, {
      retry: Retry.AFTER,
      retryAfterMs: Math.min(60_000, Math.ceil(debtMs - throttleMsMax) + 1),
    });
  }

  #lateMs(account: Account): number {
    const lateMs = Math.min(throttleMsMax, Math.ceil(debtOf(account)));
    if (lateMs > 0) this.throttled++;
    return lateMs;
  }

  #account(clientId: string, nowMs: number): Account | undefined {
    const rate = this.#rates.clients.get(clientId) ?? this.#rates.perClient;
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
