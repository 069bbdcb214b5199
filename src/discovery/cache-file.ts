import { ErrorCode, TaskdError } from '../base/errors.js';
import type { Timer } from '../runtime/clock.js';
import type { Runtime } from '../runtime/runtime.js';
import { readFile, replaceFile } from '../runtime/whole-file.js';
import { CachedLists } from './cached-lists.js';
import type { Instance } from './instance.js';
import type { WatchTarget } from './watch-target.js';

/** Between two writes. */
const writeMs = 5_000;
/** 100,000 instances or so; more are not written. */
const bytesMax = 64 * 1024 * 1024;

/** Throws INVALID for what is no absolute path of a file. */
export function checkCachePath(path: string): void {
  if (path.startsWith('/') && !path.endsWith('/') && !path.includes('\0')) return;
  throw new TaskdError(
    ErrorCode.INVALID,
    `the discovery cache is "${path}": give the absolute path of a file, such as /var/lib/shop/discovery-cache`,
  );
}

/**
 * The file with the lists that were known last, for a start while no name server answers. It is a help and no more: what
 * can't be read or written is logged, and nothing fails for it. One process has one file.
 */
export class CacheFile {
  /** Resolves when the file has been read, or couldn't be. */
  readonly loaded: Promise<void>;
  readonly #runtime: Runtime;
  readonly #path: string;
  readonly #lists = new CachedLists();
  #isDirty = false;
  #timer: Timer | undefined;
  #wroteMs = Number.NEGATIVE_INFINITY;
  #writing: Promise<void> = Promise.resolve();
  /** The last write failed, which is in the log. */
  #isFailing = false;
  #isClosed = false;

  constructor(runtime: Runtime, path: string) {
    this.#runtime = runtime;
    this.#path = path;
    this.loaded = this.#load();
  }

  find(target: WatchTarget): readonly Instance[] | undefined {
    return this.#lists.find(target);
  }

  /** A name server told this. It is on disk within about 5 s. */
  put(target: WatchTarget, instances: readonly Instance[]): void {
    this.#lists.put(target, instances);
    this.#isDirty = true;
    if (this.#timer !== undefined || this.#isClosed) return;
    const { clock } = this.#runtime;
    const waitMs = Math.max(0, this.#wroteMs + writeMs - clock.monotonicMs());
    this.#timer = clock.timer(waitMs, () => {
      this.#timer = undefined;
      this.#writeSoon();
    });
  }

  /** Resolves when what was put is on disk, or couldn't be written. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    if (this.#isDirty) this.#writeSoon();
    await this.#writing;
  }

  async #load(): Promise<void> {
    const { files, logger } = this.#runtime;
    const path = this.#path;
    try {
      const bytes = await readFile(files, path, bytesMax);
      if (bytes === undefined) return;
      const lists = CachedLists.decode(bytes);
      if (lists === undefined) logger.warn({ path }, 'the discovery cache is damaged: it is not used');
      else this.#lists.addOlder(lists);
    } catch (error) {
      logger.warn({ path, reason: (error as Error).message }, 'the discovery cache can not be read: it is not used');
    }
  }

  #writeSoon(): void {
    this.#writing = this.#writing.then(() => this.#write());
  }

  async #write(): Promise<void> {
    const { clock, files, logger } = this.#runtime;
    const path = this.#path;
    await this.loaded;
    this.#isDirty = false;
    this.#wroteMs = clock.monotonicMs();
    try {
      const bytes = this.#lists.encode();
      if (bytes.length > bytesMax) throw new Error(`it would have ${bytes.length} bytes, more than ${bytesMax}`);
      await files.makeFolder(path.slice(0, path.lastIndexOf('/')) || '/');
      await replaceFile(files, path, bytes);
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing)
        logger.warn({ path, reason: (error as Error).message }, 'the discovery cache is not written');
      this.#isFailing = true;
    }
  }
}
