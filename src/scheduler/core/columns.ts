/**
 * Typed columns that grow by chunks of 65,536 rows, so that growing copies nothing and 10 million rows are a few
 * hundred objects for the garbage collector. One class a type: shared code would make every access polymorphic.
 */
const chunkShift = 16;
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
