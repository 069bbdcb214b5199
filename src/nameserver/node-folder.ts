/**
 * What a name server keeps on disk, in a folder of its own: its incarnation (see `incarnation-file.ts`), and the
 * overrides. All else comes back from clients and from other name servers.
 *
 * `overrides`: u32 CRC-32 of what follows, u32 magic "TKO1", one message `Overrides`; written whole (`replaceFile`).
 *
 * A file that isn't what was written is set aside as `NAME.damaged` and the start goes on without it: a new incarnation
 * is above the old one by the clock and by what the others know, and they also have the overrides. A full disk keeps no
 * name server from starting.
 */
import { readU32, writeU32 } from '../base/bytes.js';
import { crc32 } from '../base/crc32.js';
import { ErrorCode, isTaskdError, Retry, TaskdError } from '../base/errors.js';
import type { Logger } from '../base/logger.js';
import { FileError, type Files, type FolderLock } from '../runtime/files.js';
import type { Runtime } from '../runtime/runtime.js';
import { readFile, replaceFile, syncParents } from '../runtime/whole-file.js';
import { taskd } from '../wire/generated/messages.js';
import { IncarnationFile } from './incarnation-file.js';
import { overrideFrom, overrideMessage } from './override-message.js';
import type { Override } from './overrides.js';

/** Entries of the largest names that there can be take half of it. */
const overridesBytesMax = 32 * 1024 * 1024;
const overridesMagic = 0x544b_4f31;
const overridesHeadBytes = 8;
const fullRetryMs = 5_000;

export class NodeFolder {
  /** Of the last start; none stand for those that can't be read. */
  readonly overrides: readonly Override[];
  readonly #files: Files;
  readonly #path: string;
  readonly #lock: FolderLock;
  readonly #incarnation: IncarnationFile;
  #written: Promise<void> = Promise.resolve();

  private constructor(
    files: Files,
    path: string,
    lock: FolderLock,
    incarnation: IncarnationFile,
    overrides: readonly Override[],
  ) {
    this.#files = files;
    this.#path = path;
    this.#lock = lock;
    this.#incarnation = incarnation;
    this.overrides = overrides;
  }

  /**
   * Takes the folder, made when missing, and reads it. Rejects with CONFLICT while another name server has it, with
   * STORAGE_FULL when there is no room even for the folder, and with STORAGE_FAILED when it can't be used; all say what
   * to do.
   */
  static async open({ files, logger }: Runtime, path: string): Promise<NodeFolder> {
    let lock: FolderLock | undefined;
    try {
      await files.makeFolder(path);
      lock = await files.lock(path);
      await syncParents(files, path);
      const incarnation = await openIncarnation(files, logger, path);
      const folder = new NodeFolder(files, path, lock, incarnation, await readOverrides(files, logger, path));
      // Whether it can be written shows now, not when it is needed.
      await folder.storeIncarnation(incarnation.newest).catch((error: unknown) => {
        if (!isTaskdError(error, ErrorCode.STORAGE_FULL)) throw error;
      });
      return folder;
    } catch (error) {
      await lock?.release();
      throw explain(error, path);
    }
  }

  /** The last one that was stored; 0: none. */
  get incarnation(): number {
    return this.#incarnation.newest;
  }

  /** Durable when it resolves. Rejects with STORAGE_FULL or STORAGE_FAILED. */
  storeIncarnation(incarnation: number): Promise<void> {
    return this.#incarnation.store(incarnation).catch((error) => {
      throw explain(error, this.#path);
    });
  }

  /**
   * Stores all of `overrides` in place of those before; durable when it resolves. Rejects with STORAGE_FULL or
   * STORAGE_FAILED; then those before are there, or these. One call at a time.
   */
  storeOverrides(overrides: readonly Override[]): Promise<void> {
    const written = replaceFile(this.#files, `${this.#path}/overrides`, encodeOverrides(overrides)).catch((error) => {
      throw explain(error, this.#path);
    });
    this.#written = written.catch(() => {});
    return written;
  }

  /** Lets the folder go, once what is being written is written. */
  async release(): Promise<void> {
    await Promise.all([this.#incarnation.settled(), this.#written]);
    await this.#lock.release();
  }
}

async function openIncarnation(files: Files, logger: Logger, folder: string): Promise<IncarnationFile> {
  const found = await IncarnationFile.open(files, folder);
  if (found !== undefined) return found;
  await setAside(files, logger, `${folder}/incarnation`);
  return (await IncarnationFile.open(files, folder))!;
}

async function readOverrides(files: Files, logger: Logger, folder: string): Promise<Override[]> {
  const path = `${folder}/overrides`;
  const bytes = await readFile(files, path, overridesBytesMax);
  const overrides = bytes === undefined ? [] : decodeOverrides(bytes);
  if (overrides === undefined) await setAside(files, logger, path);
  return overrides ?? [];
}

async function setAside(files: Files, logger: Logger, path: string): Promise<void> {
  await files.rename(path, `${path}.damaged`);
  logger.error({ path: `${path}.damaged` }, 'not what this name server wrote: set aside, the others have its content');
}

export function encodeOverrides(overrides: readonly Override[]): Uint8Array {
  const message = taskd.Overrides.encode({ overrides: overrides.map(overrideMessage) }).finish();
  const bytes = new Uint8Array(overridesHeadBytes + message.length);
  bytes.set(message, overridesHeadBytes);
  writeU32(bytes, 4, overridesMagic);
  writeU32(bytes, 0, crc32(bytes.subarray(4)));
  return bytes;
}

/** Undefined when these are not the bytes that were written. Never throws. */
export function decodeOverrides(bytes: Uint8Array): Override[] | undefined {
  if (bytes.length < overridesHeadBytes || readU32(bytes, 4) !== overridesMagic) return undefined;
  if (readU32(bytes, 0) !== crc32(bytes.subarray(4))) return undefined;
  try {
    const { overrides } = taskd.Overrides.decode(bytes.subarray(overridesHeadBytes));
    return overrides.map(overrideFrom).filter((each) => each !== undefined);
  } catch {
    return undefined;
  }
}

/** Turns what the file system said into what a person can do about it. */
function explain(error: unknown, path: string): unknown {
  if (!(error instanceof FileError)) return error;
  if (error.code === 'LOCKED') {
    const what = `${path} is in use by another name server`;
    return new TaskdError(ErrorCode.CONFLICT, `${what}; give each one a folder of its own with --data`, {
      cause: error,
    });
  }
  if (error.code === 'ENOSPC') {
    const what = `the disk is full, and a name server can't write in ${path}`;
    return new TaskdError(ErrorCode.STORAGE_FULL, `${what}; free some space, or choose another folder with --data`, {
      retry: Retry.AFTER,
      retryAfterMs: fullRetryMs,
      cause: error,
    });
  }
  const isForbidden = error.code === 'EACCES' || error.code === 'EROFS';
  return new TaskdError(
    ErrorCode.STORAGE_FAILED,
    `a name server keeps its incarnation in ${path}, which can't be used (${error.code}): ` +
      `${isForbidden ? 'give this user the right to write there' : 'mend it'}, or choose another folder with --data`,
    { cause: error },
  );
}
