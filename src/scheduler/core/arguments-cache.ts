/**
 * The arguments of the latest submits, copied one after another into chunks of 256 KiB; the oldest chunk goes when the
 * bound is reached. An entry is named by its position in that endless stream, a number in the run's column, so a
 * pending run costs no object here.
 */
const chunkBytes = 256 * 1024;

export class ArgumentsCache {
  readonly #chunksMax: number;
  readonly #chunks: Map<number, Uint8Array> = new Map<number, Uint8Array>();
  /** Where the next entry goes; never 0, so that a position is always above it. */
  #end = 4;

  constructor(bytesMax: number) {
    this.#chunksMax = Math.max(1, Math.floor(bytesMax / chunkBytes));
  }

  /** Keeps a copy and returns its position; 0 when it can't be kept. */
  add(source: Uint8Array, start: number, end: number): number {
    const length = end - start;
    if (length + 4 > chunkBytes) return 0;
    let within = this.#end % chunkBytes;
    if (within + 4 + length > chunkBytes) {
      this.#end += chunkBytes - within;
      within = 0;
    }
    const number = Math.floor(this.#end / chunkBytes);
    const chunk = this.#chunks.get(number) ?? this.#addChunk(number);
    chunk[within] = length;
    chunk[within + 1] = length >>> 8;
    chunk[within + 2] = length >>> 16;
    if (length > 64) chunk.set(source.subarray(start, end), within + 4);
    else for (let i = 0; i < length; i++) chunk[within + 4 + i] = source[start + i]!;
    const position = this.#end;
    this.#end += 4 + length;
    return position;
  }

  /** The entry at `position`, a view that is valid as long as anyone holds it; undefined when it is gone. */
  get(position: number): Uint8Array | undefined {
    const chunk = this.#chunks.get(Math.floor(position / chunkBytes));
    if (chunk === undefined || position === 0) return undefined;
    const within = position % chunkBytes;
    const length = chunk[within]! | (chunk[within + 1]! << 8) | (chunk[within + 2]! << 16);
    return chunk.subarray(within + 4, within + 4 + length);
  }

  #addChunk(number: number): Uint8Array {
    const chunk = new Uint8Array(chunkBytes);
    this.#chunks.set(number, chunk);
    if (this.#chunks.size > this.#chunksMax) this.#chunks.delete(number - this.#chunksMax);
    return chunk;
  }
}
