/**
 * How a file is opened: `read` must exist; `write` must exist, reads too; `create` must not exist, reads and writes.
 * `background` is `read` for whoever can wait: what it reads gives way to writes and syncs that others wait for, and gets
 * `backgroundBytesPerSecondMin` at least. `through` is `write` whose writes return only when what they wrote is on disk: a write and its sync in one step.
 */
export type OpenMode = 'read' | 'background' | 'write' | 'create' | 'through';

/** An open file. All positions and lengths are in bytes. Operations on one file may overlap; nothing orders them. */
export interface FileHandle {
  /** Opened with mode `through`. */
  readonly isThrough: boolean;
  /** Fills `into` from `position`; returns how many bytes were there (fewer than asked only at the end of the file). */
  read(into: Uint8Array, position: number): Promise<number>;
  /**
   * Writes all of `chunks`, one after another, from `position`. In the page cache when it returns, not on disk.
   *
   * With `isThrough` these bytes, and a size of the file that holds them, are on disk when it returns; of the file's
   * other bytes it says nothing. After a rejection any part may be there. ENOSPC: writing all of it again is the only
   * way on. Every other code is final, as a failed sync is.
   */
  write(chunks: readonly Uint8Array[], position: number): Promise<void>;
  /** Returns when the file's bytes and its size are on disk. A rejection is final: never sync that file again. */
  dataSync(): Promise<void>;
  truncate(length: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

/** How background reads of a process get on. */
export interface BackgroundReadStats {
  /** Bytes whose read has begun. */
  readonly bytes: number;
  /** Reads that have not begun. */
  readonly waiting: number;
  /** Milliseconds that reads have waited, all together. */
  readonly waitedMs: number;
  /** What they may have now, all together; 0: as much as there is, since nobody waits for syncs. */
  readonly bytesPerSecondMax: number;
}

export const noBackgroundReads: BackgroundReadStats = { bytes: 0, waiting: 0, waitedMs: 0, bytesPerSecondMax: 0 };

/** The right to a folder, held until `release` or the death of the process. */
export interface FolderLock {
  release(): Promise<void>;
}

export interface FolderEntry {
  readonly name: string;
  readonly isFolder: boolean;
}

/**
 * The file system. Paths are absolute, with `/`.
 *
 * Durability contract: file content is durable after its `dataSync`; a name that was created, renamed or removed is
 * durable after `syncFolder` of the folder that holds it, and until then a crash may undo it. Errors are
 * `FileError`s with the system's code.
 */
export interface Files {
  readonly backgroundReads: BackgroundReadStats;
  open(path: string, mode: OpenMode): Promise<FileHandle>;
  /** Entries sorted by name, without what `lock` keeps there. */
  list(folder: string): Promise<FolderEntry[]>;
  exists(path: string): Promise<boolean>;
  /** Creates the folder and its missing parents; no error when it is there. */
  makeFolder(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Removes a file. */
  remove(path: string): Promise<void>;
  /** Removes a folder and all below it. */
  removeFolder(path: string): Promise<void>;
  syncFolder(folder: string): Promise<void>;
  /** Takes the folder for this process, or rejects with code `LOCKED` while another one has it. */
  lock(folder: string): Promise<FolderLock>;
  /** Bytes free and in all on the file system that holds `path`. */
  space(path: string): Promise<{ freeBytes: number; totalBytes: number }>;
}

export type FileErrorCode =
  | 'ENOENT'
  | 'EEXIST'
  | 'EACCES'
  | 'ENOSPC'
  | 'EIO'
  | 'EMFILE'
  | 'ENOTDIR'
  | 'EROFS'
  | 'LOCKED'
  | 'OTHER';

/** What the file system refused; `code` is the system's, `OTHER` for the rare ones (then see `cause`). */
export class FileError extends Error {
  override readonly name = 'FileError';
  readonly code: FileErrorCode;
  readonly path: string;

  constructor(code: FileErrorCode, path: string, cause?: unknown) {
    super(`${code}: ${path}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.path = path;
  }
}
