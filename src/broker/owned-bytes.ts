import type { Peer } from '../rpc/service.js';

interface Account {
  /** Reserved for reads that run. */
  reading: number;
  /** Of what was read, at most what is left in the peer's queue. */
  given: number;
}

/**
 * Bytes that were read for one answer and belong to nobody else: unlike parts of files and of the logs' tails, each of
 * them is memory until its reader took it. A reader that asks for more and reads nothing must not be able to fill it, nor
 * many of them together; so a read begins only within these bounds.
 *
 * As with `LentBytes`, nobody tells when bytes have left: a peer has at most what waits for it.
 */
export class OwnedBytes {
  readonly #bytesMax: number;
  readonly #peerBytesMax: number;
  readonly #accounts = new Map<Peer, Account>();
  #bytes = 0;

  /** `bytesMax` is for all peers. One with `peerBytesMax` or more begins no further read. */
  constructor(bytesMax: number, peerBytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#peerBytesMax = peerBytesMax;
  }

  /** Upper bound of what is reserved and given now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Reserves `bytes` for a read; `end` must follow. False: too much waits, of this peer or of all. */
  begin(peer: Peer, bytes: number): boolean {
    if (!this.#fits(peer, bytes)) {
      this.#settle();
      if (!this.#fits(peer, bytes)) return false;
    }
    let account = this.#accounts.get(peer);
    if (account === undefined) {
      account = { reading: 0, given: 0 };
      this.#accounts.set(peer, account);
      peer.onClose(() => this.#forget(peer));
    }
    account.reading += bytes;
    this.#bytes += bytes;
    return true;
  }

  /** The read for which `reserved` was begun is over, and `given` bytes go to the peer. */
  end(peer: Peer, reserved: number, given: number): void {
    const account = this.#accounts.get(peer);
    if (account === undefined) return; // It has left, and its account with it.
    account.reading -= reserved;
    account.given += given;
    this.#bytes += given - reserved;
  }

  #fits(peer: Peer, bytes: number): boolean {
    const account = this.#accounts.get(peer);
    const has = account === undefined ? 0 : account.reading + account.given;
    return has < this.#peerBytesMax && this.#bytes + bytes <= this.#bytesMax;
  }

  #settle(): void {
    this.#bytes = 0;
    for (const [peer, account] of this.#accounts) {
      account.given = Math.min(account.given, peer.queuedBytes);
      this.#bytes += account.reading + account.given;
    }
  }

  #forget(peer: Peer): void {
    const account = this.#accounts.get(peer);
    if (account === undefined) return;
    this.#bytes -= account.reading + account.given;
    this.#accounts.delete(peer);
  }
}
