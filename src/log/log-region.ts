import { FileRegion } from '../runtime/file-region.js';
import type { FileHandle } from '../runtime/files.js';

/** Where whole batches lie in the file of a segment. */
export class LogRegion extends FileRegion {
  /** One past its last record, where the index tells that. */
  readonly end: number | undefined;

  constructor(file: FileHandle, range: BatchRange, released: () => void) {
    super(file, range.from, range.to - range.from, released);
    this.end = range.end;
  }
}

/** Positions in a segment at which batches begin, and the first offset from `to` on if it is known. */
export interface BatchRange {
  readonly from: number;
  readonly to: number;
  readonly end: number | undefined;
}
