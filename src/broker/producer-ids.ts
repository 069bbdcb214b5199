/**
 * How many producer ids one machine gets. A partition keeps what it knows of a producer for a day, and takes no new one
 * beyond its limit: so nobody may get so many ids that he alone could use that up. Nor are ids taken that were never
 * given out, see `ProduceService`.
 *
 * Pure; time is a parameter.
 */
import { assert, ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { partitionProducersMax } from '../base/limits.js';
import { producerExpiryMs } from './producer-table.js';

/** Ids that a host may have at once, and those that come with time. */
const burst = 10_000;
const perSecond = 1;
/** Hosts that are remembered; those longest unheard of give way. */
const hostsMax = 10_000;

const perExpiry = burst + (producerExpiryMs / 1_000) * perSecond;
assert(perExpiry < partitionProducersMax, 'one host leaves room in a partition for producers of others');

interface Share {
  left: number;
  atMs: number;
}

export class ProducerIdShares {
  /** Least recently asked first. */
  readonly #shares = new Map<string, Share>();

  /** Counts an id for `host`; throws BUSY, with when there is one again, when it has had its share. */
  take(host: string, nowMs: number): void {
    const share = this.#shares.get(host) ?? { left: burst, atMs: nowMs };
    share.left = Math.min(burst, share.left + ((nowMs - share.atMs) / 1_000) * perSecond);
    share.atMs = nowMs;
    this.#shares.delete(host);
    this.#shares.set(host, share);
    if (this.#shares.size > hostsMax) this.#forgetOldest();
    if (share.left < 1) {
      const message = `${host} has had ${burst} producer ids and gets ${perSecond} more a second: use fewer, longer-lived producers`;
      const retryAfterMs = Math.ceil(((1 - share.left) / perSecond) * 1_000);
      throw new TaskdError(ErrorCode.BUSY, message, { retry: Retry.AFTER, retryAfterMs });
    }
    share.left--;
  }

  #forgetOldest(): void {
    for (const host of this.#shares.keys()) {
      this.#shares.delete(host);
      return;
    }
  }
}
