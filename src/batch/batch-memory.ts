/** Smaller ones are not worth the trouble. */
const reusedBytesMin = 64 * 1024;
/** What waits to be used again. */
const sparesMax = 8;
const spareBytesMax = 8 * 1024 * 1024;

/**
 * Memory for large batches, which serves again once a batch is over: allocated anew at the speed of the network it keeps
 * the garbage collector busy.
 */
export class BatchMemory {
  readonly #spares: Uint8Array[] = [];
  #spareBytes = 0;

  /** At least `bytes`, of whatever content. */
  take(bytes: number): Uint8Array {
    if (bytes < reusedBytesMin) return new Uint8Array(bytes);
    const at = this.#spares.findIndex(({ length }) => length >= bytes);
    // Powers of two, so that the memory of one batch does for the next, which is a little larger.
    if (at < 0) return Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(bytes)));
    const [spare] = this.#spares.splice(at, 1);
    this.#spareBytes -= spare!.length;
    return spare!;
  }

  /** Takes the memory of a batch to which nobody refers any more. */
  recycle({ buffer }: Uint8Array): void {
    const { byteLength } = buffer;
    if (byteLength < reusedBytesMin || this.#spareBytes + byteLength > spareBytesMax) return;
    if (this.#spares.length === sparesMax) return;
    this.#spares.push(Buffer.from(buffer));
    this.#spareBytes += byteLength;
  }
}
