import type { Peer } from '../rpc/service.js';

/** Views that are shorter are copied: each of them would keep a whole slab of a log's tail. */
const viewBytesMin = 32 * 1024;

/**
 * What of the logs' memory waits to leave sockets. Slabs are shared, so answers cost nothing while their readers keep
 * up; but readers that stand still would keep, all together, everything that passed through the tails since. So there is
 * a bound: who is refused is served from the files, whose pages the system keeps as long as it likes.
 *
 * Nobody tells when bytes have left: what a peer was lent is at most what waits for it, which is looked at when the
 * bound seems to be reached.
 */
export class LentBytes {
  readonly #bytesMax: number;
  readonly #lent = new Map<Peer, number>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Upper bound of what is lent now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The same bytes to hand to `peer`, or undefined when too much is lent already. */
  lend(peer: Peer, chunks: readonly Uint8Array[]): readonly Uint8Array[] | undefined {
    let bytes = 0;
    for (const chunk of chunks) bytes += chunk.length;
    if (this.#bytes + bytes > this.#bytesMax) {
      this.#settle();
      if (this.#bytes + bytes > this.#bytesMax) return undefined;
    }
    const before = this.#lent.get(peer);
    if (before === undefined) peer.onClose(() => this.#forget(peer));
    this.#lent.set(peer, (before ?? 0) + bytes);
    this.#bytes += bytes;
    return chunks.map((chunk) => (chunk.length < viewBytesMin ? Buffer.from(chunk) : chunk));
  }

  #settle(): void {
    this.#bytes = 0;
    for (const [peer, lent] of this.#lent) {
      const left = Math.min(lent, peer.queuedBytes);
      this.#lent.set(peer, left);
      this.#bytes += left;
    }
  }

  #forget(peer: Peer): void {
    this.#bytes -= this.#lent.get(peer) ?? 0;
    this.#lent.delete(peer);
  }
}
