import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import type { FileHandle, Files } from '../runtime/files.js';
import type { Segment } from './segment.js';

interface Opening {
  readonly opening: Promise<FileHandle>;
  /** Once it is open. */
  handle: FileHandle | undefined;
}

/**
 * Segment files that are open for reading, over all logs of a store; the one that was used least recently is closed
 * first. A file that is open costs a descriptor, and opening one costs a trip through the thread pool at each read.
 *
 * Whoever uses a handle holds a reference to its segment: a handle is closed only when nobody does.
 */
export class ReadHandles {
  readonly #files: Files;
  readonly #handlesMax: number;
  /** Least recently used first. */
  readonly #handles = new Map<Segment, Opening>();

  constructor(files: Files, handlesMax: number) {
    this.#files = files;
    this.#handlesMax = handlesMax;
  }

  get size(): number {
    return this.#handles.size;
  }

  /**
   * The segment's file, open for reading, good until the caller gives its reference back. Rejects as `Files.open` does,
   * and with BUSY while eight times as many are in use as shall be open.
   */
  open(segment: Segment): Promise<FileHandle> {
    const known = this.#use(segment);
    if (known !== undefined) return known.opening;
    if (this.#handles.size >= this.#handlesMax * 8) return Promise.reject(tooManyOpen(this.#handles.size));
    const opening = this.#files.open(segment.path, 'background');
    const entry: Opening = { opening, handle: undefined };
    this.#handles.set(segment, entry);
    opening.then(
      (handle) => {
        entry.handle = handle;
      },
      () => {
        // It may have been dropped meanwhile, and opened again.
        if (this.#handles.get(segment) === entry) this.#handles.delete(segment);
      },
    );
    this.#closeOldest();
    return opening;
  }

  /** The same at once, when the file is open; undefined when it isn't. */
  openNow(segment: Segment): FileHandle | undefined {
    return this.#use(segment)?.handle;
  }

  #use(segment: Segment): Opening | undefined {
    const entry = this.#handles.get(segment);
    if (entry === undefined) return undefined;
    this.#handles.delete(segment);
    this.#handles.set(segment, entry);
    return entry;
  }

  /** Closes the file of a segment that nobody refers to any more, and lets go of its index, which can be loaded again. */
  drop(segment: Segment): void {
    const entry = this.#handles.get(segment);
    if (entry === undefined) return;
    this.#handles.delete(segment);
    segment.forgetIndex();
    // A file that was only read has nothing to lose when it is closed.
    entry.opening.then((handle) => handle.close()).catch(() => {});
  }

  #closeOldest(): void {
    if (this.#handles.size <= this.#handlesMax) return;
    for (const segment of this.#handles.keys()) {
      if (segment.isReferenced) continue;
      this.drop(segment);
      if (this.#handles.size <= this.#handlesMax) return;
    }
  }
}

function tooManyOpen(count: number): TaskdError {
  const message = `${count} segment files are being read or sent at once; no more are opened until some are done`;
  return new TaskdError(ErrorCode.BUSY, message, { retry: Retry.AFTER, retryAfterMs: 100 });
}
