/**
 * What a name server keeps on disk, in a folder of its own: its incarnation, and the overrides. All else comes back
 * from clients and from other name servers.
 *
 * `incarnation`, text, so that a person can read it:
 *
 *     taskd name server
 *     incarnation 1764136000123
 *     check 89abcdef             CRC-32 of everything above
 *
 * `overrides`: u32 CRC-32 of what follows, u32 magic "TKO1", one message `Overrides`.
 *
 * Both are written whole (see `replaceFile`). A file that isn't what was written is set aside as `NAME.damaged` and the
 * start goes on without it: a new incarnation is above the old one by the clock and by what the others know, and they
 * also have the overrides.
 */
import { readU32, writeU32 } from '../base/bytes.js';
import { crc32 } from '../base/crc32.js';
import { ErrorCode, TaskdError } from '../base/errors.js';
import type { Logger } from '../base/logger.js';
import { FileError, type Files, type FolderLock } from '../runtime/files.js';
import type { Runtime } from '../runtime/runtime.js';
import { readFile, replaceFile, syncParents } from '../runtime/whole-file.js';
import { taskd } from '../wire/generated/messages.js';
import { overrideFrom, overrideMessage } from './override-message.js';
import type { Override } from './overrides.js';

const incarnationBytesMax = 256;
/** Entries of the largest names that there can be take half of it. */
const overridesBytesMax = 32 * 1024 * 1024;
const overridesMagic = 0x544b_4f31;
const overridesHeadBytes = 8;
const incarnationPattern = /^(taskd name server\nincarnation (\d{1,16})\n)check ([0-9a-f]{8})\n$/;

export class NodeFolder {
  /** What the last start used; 0 when there was none. */
  readonly incarnation: number;
  readonly overrides: readonly Override[];
  readonly #files: Files;
  readonly #path: string;
  readonly #lock: FolderLock;
  /** Those to be written next. */
  #next: readonly Override[] = [];
  /** The round that will write them, not begun. */
  #round: Promise<void> | undefined;
  /** Settles, never rejects, when nothing is being written or waits. */
  #written: Promise<void> = Promise.resolve();

  private constructor(
    files: Files,
    path: string,
    lock: FolderLock,
    kept: { incarnation: number; overrides: readonly Override[] },
  ) {
    this.#files = files;
    this.#path = path;
    this.#lock = lock;
    this.incarnation = kept.incarnation;
    this.overrides = kept.overrides;
  }

  /**
   * Takes the folder, made when missing, and reads it. Rejects with CONFLICT while another name server has it, and with
   * STORAGE_FAILED when it can't be used; both say what to do.
   */
  static async open({ files, logger }: Runtime, path: string): Promise<NodeFolder> {
    let lock: FolderLock | undefined;
    try {
      await files.makeFolder(path);
      lock = await files.lock(path);
      await syncParents(files, path);
      const incarnation = (await readOrSetAside(files, logger, `${path}/incarnation`, decodeIncarnation)) ?? 0;
      const overrides = (await readOrSetAside(files, logger, `${path}/overrides`, decodeOverrides)) ?? [];
      return new NodeFolder(files, path, lock, { incarnation, overrides });
    } catch (error) {
      await lock?.release();
      throw explain(error, path);
    }
  }

  /** Durable when it resolves. Rejects with STORAGE_FAILED; then the incarnation must not be used. */
  async storeIncarnation(incarnation: number): Promise<void> {
    const path = `${this.#path}/incarnation`;
    await replaceFile(this.#files, path, encodeIncarnation(incarnation)).catch((error) => {
      throw explain(error, this.#path);
    });
  }

  /**
   * Stores all of `overrides` in place of those before; durable when it resolves. Calls that come while one is written
   * are written as one, the last of them.
   */
  storeOverrides(overrides: readonly Override[]): Promise<void> {
    this.#next = overrides;
    if (this.#round !== undefined) return this.#round;
    const round = this.#written.then(() => {
      this.#round = undefined;
      return replaceFile(this.#files, `${this.#path}/overrides`, encodeOverrides(this.#next)).catch((error) => {
        throw explain(error, this.#path);
      });
    });
    this.#round = round;
    this.#written = round.catch(() => {});
    return round;
  }

  /** Lets the folder go, once all is written. */
  async release(): Promise<void> {
    await this.#written;
    await this.#lock.release();
  }
}

async function readOrSetAside<T>(
  files: Files,
  logger: Logger,
  path: string,
  decode: (bytes: Uint8Array) => T | undefined,
): Promise<T | undefined> {
  const bytes = await readFile(files, path, overridesBytesMax);
  if (bytes === undefined) return undefined;
  const content = decode(bytes);
  if (content !== undefined) return content;
  await files.rename(path, `${path}.damaged`);
  logger.error({ path: `${path}.damaged` }, 'not what this name server wrote: set aside, the others have its content');
  return undefined;
}

export function encodeIncarnation(incarnation: number): Uint8Array {
  const text = `taskd name server\nincarnation ${incarnation}\n`;
  return Buffer.from(`${text}check ${checkOf(text)}\n`);
}

/** Undefined when these are not the bytes that were written. Never throws. */
export function decodeIncarnation(bytes: Uint8Array): number | undefined {
  if (bytes.length > incarnationBytesMax) return undefined;
  const match = incarnationPattern.exec(Buffer.from(bytes).toString('latin1'));
  if (match === null || checkOf(match[1]!) !== match[3]) return undefined;
  const incarnation = Number(match[2]);
  return Number.isSafeInteger(incarnation) ? incarnation : undefined;
}

function checkOf(text: string): string {
  return crc32(Buffer.from(text)).toString(16).padStart(8, '0');
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
  const remedy =
    error.code === 'EACCES' || error.code === 'EROFS'
      ? 'give this user the right to write there'
      : error.code === 'ENOSPC'
        ? 'free some space'
        : 'mend it';
  return new TaskdError(
    ErrorCode.STORAGE_FAILED,
    `a name server keeps its incarnation in ${path}, which can't be used (${error.code}): ${remedy}, or choose another ` +
      'folder with --data',
    { cause: error },
  );
}
