import * as fs from 'node:fs';
import { assert } from '../../base/errors.js';
import { TurnQueue } from '../../base/turn-queue.js';
import {
  type BackgroundReadStats,
  FileError,
  type FileErrorCode,
  type FileHandle,
  type Files,
  type FolderEntry,
  type FolderLock,
  type OpenMode,
} from '../files.js';
import { backgroundReadBytesMax } from '../read-pace.js';
import { backgroundReads } from './background-reads.js';
import { isLockFile, lockFolder } from './folder-lock.js';
import type { KernelCalls } from './kernel-calls.js';

const codes: ReadonlySet<string> = new Set<FileErrorCode>([
  'ENOENT',
  'EEXIST',
  'EACCES',
  'ENOSPC',
  'EIO',
  'EMFILE',
  'ENOTDIR',
  'EROFS',
]);

function toFileError(path: string, cause: unknown): FileError {
  const code = (cause as NodeJS.ErrnoException).code ?? '';
  if (code === 'EDQUOT') return new FileError('ENOSPC', path, cause);
  if (code === 'ENFILE') return new FileError('EMFILE', path, cause);
  if (code === 'EPERM') return new FileError('EACCES', path, cause);
  return new FileError(codes.has(code) ? (code as FileErrorCode) : 'OTHER', path, cause);
}

/**
 * Reads that run at once, each in a thread of the pool: a storm of cold reads leaves the others to the syncs. The pool
 * belongs to the process, and so does this.
 */
const readsMax = 8;
const readQueue = new TurnQueue<() => void>(readsMax);

type Done<T> = (error: NodeJS.ErrnoException | null, value: T) => void;

/** Runs one call of `node:fs` in the thread pool. */
function call<T>(path: string, start: (done: Done<T>) => void): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    start((error, value) => {
      if (error) reject(toFileError(path, error));
      else resolve(value);
    });
  });
}

const openFlags: Readonly<Record<OpenMode, number>> = {
  read: fs.constants.O_RDONLY,
  background: fs.constants.O_RDONLY,
  write: fs.constants.O_RDWR,
  create: fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL,
  through: fs.constants.O_RDWR | fs.constants.O_DSYNC,
};

/** Nobody waits for so little; it is read at once, too, from a file that is read in the background. */
const unpacedBytesMax = 4 * 1024;

/** `chunks` without their first `skip` bytes. */
function withoutFirst(chunks: readonly Uint8Array[], skip: number): Uint8Array[] {
  let first = 0;
  while (first < chunks.length && skip >= chunks[first]!.length) skip -= chunks[first++]!.length;
  const rest = chunks.slice(first);
  if (skip > 0) rest[0] = rest[0]!.subarray(skip);
  return rest;
}

/** Somebody waits for this: background reads give way. */
async function asSync(work: () => Promise<void>): Promise<void> {
  const beganMs = backgroundReads.syncBegan();
  try {
    await work();
  } finally {
    backgroundReads.syncEnded(beganMs);
  }
}

export class NodeFileHandle implements FileHandle {
  readonly #path: string;
  readonly #fd: number;
  readonly isThrough: boolean;
  readonly #isBackground: boolean;
  #isClosed = false;

  constructor(path: string, fd: number, mode: OpenMode = 'read') {
    this.#path = path;
    this.#fd = fd;
    this.isThrough = mode === 'through';
    this.#isBackground = mode === 'background';
  }

  /**
   * The descriptor, for a call that returns before anything else happens. All use it, since after `close` it may be
   * another file's.
   */
  get fd(): number {
    assert(!this.#isClosed, `${this.#path} is used after it was closed`);
    return this.#fd;
  }

  /** Reads on the loop's own thread: only for bytes that are known to be in memory. Returns how many were there. */
  readResident(into: Uint8Array, position: number): number {
    return fs.readSync(this.fd, into, 0, into.length, position);
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    if (!this.#isBackground || into.length <= unpacedBytesMax) return this.#read(into, position);
    let filled = 0;
    while (filled < into.length) {
      const part = into.subarray(filled, filled + backgroundReadBytesMax);
      await new Promise<void>((resolve) => backgroundReads.ask(part.length, resolve));
      const count = await this.#read(part, position + filled).finally(() => backgroundReads.ended());
      filled += count;
      if (count < part.length) break;
    }
    return filled;
  }

  #read(into: Uint8Array, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      let filled = 0;
      const next = (): void => {
        try {
          fs.read(this.fd, into, filled, into.length - filled, position + filled, done);
        } catch (error) {
          readQueue.done()?.();
          reject(error);
        }
      };
      const done = (error: NodeJS.ErrnoException | null, count: number): void => {
        filled += count;
        if (!error && count > 0 && filled < into.length) {
          next();
          return;
        }
        readQueue.done()?.();
        if (error) reject(toFileError(this.#path, error));
        else resolve(filled);
      };
      if (readQueue.ask(next, false)) next();
    });
  }

  write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    return this.isThrough ? asSync(() => this.#write(chunks, position)) : this.#write(chunks, position);
  }

  #write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let rest = chunks;
      let left = 0;
      for (const chunk of chunks) left += chunk.length;
      const next = (): void => {
        try {
          if (rest.length === 1) fs.write(this.fd, rest[0]!, 0, rest[0]!.length, position, done);
          else fs.writev(this.fd, rest, position, done);
        } catch (error) {
          reject(error);
        }
      };
      // The system may take less than it was given (a full disk, a signal): the rest is written after it.
      const done = (error: NodeJS.ErrnoException | null, count: number): void => {
        left -= count;
        position += count;
        if (error) reject(toFileError(this.#path, error));
        else if (left === 0) resolve();
        else {
          rest = withoutFirst(rest, count);
          next();
        }
      };
      if (left === 0) resolve();
      else next();
    });
  }

  dataSync(): Promise<void> {
    return asSync(() => call<void>(this.#path, (done) => fs.fdatasync(this.fd, done as fs.NoParamCallback)));
  }

  truncate(length: number): Promise<void> {
    return call<void>(this.#path, (done) => fs.ftruncate(this.fd, length, done as fs.NoParamCallback));
  }

  async size(): Promise<number> {
    return (await call<fs.Stats>(this.#path, (done) => fs.fstat(this.fd, done))).size;
  }

  close(): Promise<void> {
    const fd = this.fd;
    this.#isClosed = true;
    return call<void>(this.#path, (done) => fs.close(fd, done as fs.NoParamCallback));
  }
}

/**
 * The system's files, through the thread pool. New files are readable by the owner's group (0640, folders 0750), less
 * what the process's umask takes away.
 */
export class NodeFiles implements Files {
  readonly backgroundReads: BackgroundReadStats = backgroundReads;
  #kernel: KernelCalls | undefined;

  /** From now on, of a file that is opened for background reads the system reads nothing ahead. */
  useKernel(kernel: KernelCalls): void {
    this.#kernel = kernel;
  }

  async open(path: string, mode: OpenMode): Promise<FileHandle> {
    const fd = await call<number>(path, (done) => fs.open(path, openFlags[mode], 0o640, done));
    if (mode === 'background') this.#kernel?.dontReadAhead(fd);
    return new NodeFileHandle(path, fd, mode);
  }

  async list(folder: string): Promise<FolderEntry[]> {
    const entries = await call<fs.Dirent[]>(folder, (done) => fs.readdir(folder, { withFileTypes: true }, done));
    return entries
      .filter(({ name }) => !isLockFile(name))
      .map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async exists(path: string): Promise<boolean> {
    try {
      await call<fs.Stats>(path, (done) => fs.stat(path, done));
      return true;
    } catch (error) {
      if (error instanceof FileError && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return false;
      throw error;
    }
  }

  async makeFolder(path: string): Promise<void> {
    // Not mkdir's own `recursive`: where a file system answers ENOENT below a folder that is there (/proc does), Node 20
    // tries again for ever.
    try {
      await makeOneFolder(path);
    } catch (error) {
      const parent = path.slice(0, path.lastIndexOf('/'));
      if (!(error instanceof FileError) || error.code !== 'ENOENT' || parent === '') throw error;
      await this.makeFolder(parent);
      await makeOneFolder(path);
    }
  }

  rename(from: string, to: string): Promise<void> {
    return call<void>(from, (done) => fs.rename(from, to, done as fs.NoParamCallback));
  }

  remove(path: string): Promise<void> {
    return call<void>(path, (done) => fs.unlink(path, done as fs.NoParamCallback));
  }

  removeFolder(path: string): Promise<void> {
    return call<void>(path, (done) => fs.rm(path, { recursive: true }, done as fs.NoParamCallback));
  }

  async syncFolder(folder: string): Promise<void> {
    const flags = fs.constants.O_RDONLY | fs.constants.O_DIRECTORY;
    const fd = await call<number>(folder, (done) => fs.open(folder, flags, done));
    try {
      await call<void>(folder, (done) => fs.fsync(fd, done as fs.NoParamCallback));
    } finally {
      await call<void>(folder, (done) => fs.close(fd, done as fs.NoParamCallback));
    }
  }

  /** Holds between all processes of one machine that see the folder; see `folder-lock.ts`. */
  async lock(folder: string): Promise<FolderLock> {
    try {
      return await lockFolder(folder);
    } catch (error) {
      throw error instanceof FileError ? error : toFileError(folder, error);
    }
  }

  async space(path: string): Promise<{ freeBytes: number; totalBytes: number }> {
    const stat = await call<fs.StatsFs>(path, (done) => fs.statfs(path, done));
    return { freeBytes: stat.bavail * stat.bsize, totalBytes: stat.blocks * stat.bsize };
  }
}

/** No error when a folder of that name is there. */
async function makeOneFolder(path: string): Promise<void> {
  try {
    await call<void>(path, (done) => fs.mkdir(path, { mode: 0o750 }, done as fs.NoParamCallback));
  } catch (error) {
    const isThere = error instanceof FileError && error.code === 'EEXIST';
    if (!isThere || !(await isFolder(path))) throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  const stats = await call<fs.Stats>(path, (done) => fs.stat(path, done));
  return stats.isDirectory();
}
