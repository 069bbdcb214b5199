/**
 * Typed columns that grow by chunks of 8,192 rows: growing copies nothing, an idle shard stays small, and 10
 * million rows are a thousand objects a column for the garbage collector. One class a type: shared code would make every access polymorphic.
 */
const chunkShift = 13;
export const chunkRows: number = 1 << chunkShift;
const rowMask = chunkRows - 1;

export class DoubleColumn {
  readonly #chunks: Float64Array[] = [];

  grow(): void {
    this.#chunks.push(new Float64Array(chunkRows));
  }

  get(row: number): number {
    return this.#chunks[row >>> chunkShift]![row & rowMask]!;
  }

  set(row: number, value: number): void {
    this.#chunks[row >>> chunkShift]![row & rowMask] = value;
  }
}

export class WordColumn {
  readonly #chunks: Uint32Array[] = [];

  grow(): void {
    this.#chunks.push(new Uint32Array(chunkRows));
  }

  get(row: number): number {
    return this.#chunks[row >>> chunkShift]![row & rowMask]!;
  }

  set(row: number, value: number): void {
    this.#chunks[row >>> chunkShift]![row & rowMask] = value;
  }
}

export class ByteColumn {
  readonly #chunks: Uint8Array[] = [];

  grow(): void {
    this.#chunks.push(new Uint8Array(chunkRows));
  }

  get(row: number): number {
    return this.#chunks[row >>> chunkShift]![row & rowMask]!;
  }

  set(row: number, value: number): void {
    this.#chunks[row >>> chunkShift]![row & rowMask] = value;
  }
}
