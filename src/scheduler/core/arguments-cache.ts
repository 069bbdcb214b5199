/**
 * The arguments of runs that haven't ended, copied one after another into chunks of 256 KiB. A chunk goes when the last
 * run in it has ended, and the oldest goes when the bound is reached. An entry is named by its position in that endless
 * stream, a number in the run's column, so a pending run costs no object here.
 */
const chunkBytes = 256 * 1024;

interface Chunk {
  readonly bytes: Uint8Array;
  /** Entries that were not released. */
  live: number;
}

export class ArgumentsCache {
  readonly #chunksMax: number;
  readonly #chunks: Map<number, Chunk> = new Map<number, Chunk>();
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
    chunk.live++;
    const { bytes } = chunk;
    bytes[within] = length;
    bytes[within + 1] = length >>> 8;
    bytes[within + 2] = length >>> 16;
    if (length > 64) bytes.set(source.subarray(start, end), within + 4);
    else for (let i = 0; i < length; i++) bytes[within + 4 + i] = source[start + i]!;
    const position = this.#end;
    this.#end += 4 + length;
    return position;
  }

  /** The entry at `position`, a view that is valid as long as anyone holds it; undefined when it is gone. */
  get(position: number): Uint8Array | undefined {
    const bytes = this.#chunks.get(Math.floor(position / chunkBytes))?.bytes;
    if (bytes === undefined || position === 0) return undefined;
    const within = position % chunkBytes;
    const length = bytes[within]! | (bytes[within + 1]! << 8) | (bytes[within + 2]! << 16);
    return bytes.subarray(within + 4, within + 4 + length);
  }

  /** The entry at `position` is not asked for any more. Once for each entry. */
  release(position: number): void {
    const number = Math.floor(position / chunkBytes);
    const chunk = this.#chunks.get(number);
    if (chunk === undefined) return;
    chunk.live--;
    // The newest chunk is still being filled.
    if (chunk.live === 0 && number < Math.floor(this.#end / chunkBytes)) this.#chunks.delete(number);
  }

  /** Bytes that are held. */
  get bytes(): number {
    return this.#chunks.size * chunkBytes;
  }

  #addChunk(number: number): Chunk {
    // The one before may have been emptied while it was the newest.
    if (this.#chunks.get(number - 1)?.live === 0) this.#chunks.delete(number - 1);
    const chunk = { bytes: new Uint8Array(chunkBytes), live: 0 };
    this.#chunks.set(number, chunk);
    if (this.#chunks.size > this.#chunksMax) {
      const oldest = this.#chunks.keys().next().value!;
      this.#chunks.delete(oldest);
    }
    return chunk;
  }
}
