import type { FileHandle } from './files.js';

/** What leaves a connection: bytes in memory, or bytes of a file. */
export type Piece = Uint8Array | FileRegion;

/**
 * Bytes of an open file that shall leave a connection as they are. Nobody changes these bytes or cuts the file above
 * them, and the file stays open, until the region is released.
 *
 * Whoever holds a region either hands it on or releases it. A connection that was given one releases it when its last
 * byte has left or none of it can leave any more.
 */
export class FileRegion {
  readonly file: FileHandle;
  /** Of its first byte in the file. */
  readonly position: number;
  /** Bytes, at least one. */
  readonly length: number;
  #released: (() => void) | undefined;

  /** `released` is called once, when nobody needs the region any more. */
  constructor(file: FileHandle, position: number, length: number, released: () => void) {
    this.file = file;
    this.position = position;
    this.length = length;
    this.#released = released;
  }

  release(): void {
    const released = this.#released;
    this.#released = undefined;
    released?.();
  }
}

/** Lets go of the regions among pieces that will not be sent. */
export function releasePieces(pieces: readonly Piece[] | undefined): void {
  if (pieces === undefined) return;
  for (const piece of pieces) if (piece instanceof FileRegion) piece.release();
}

export function bytesOf(pieces: readonly Piece[]): number {
  let bytes = 0;
  for (const piece of pieces) bytes += piece.length;
  return bytes;
}

/** How regions left the sockets of a process. */
export interface RegionStats {
  /** Bytes that the kernel sent from the page cache. */
  readonly zeroCopyBytes: number;
  /** Bytes that were read into memory and written. */
  readonly copiedBytes: number;
  /** Times that bytes had to be read because they were not in the page cache, though the kernel could have sent them. */
  readonly coldReads: number;
  /** Regions that wait to leave, or are leaving. */
  readonly queued: number;
}

export const noRegions: RegionStats = { zeroCopyBytes: 0, copiedBytes: 0, coldReads: 0, queued: 0 };
