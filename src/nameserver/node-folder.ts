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
  readonly #lock: FolderLock;
  readonly #incarnationFile: LatestContent;
  readonly #overridesFile: LatestContent;

  private constructor(
    files: Files,
    path: string,
    lock: FolderLock,
    kept: { incarnation: number; overrides: readonly Override[] },
  ) {
    this.#incarnationFile = new LatestContent(files, path, 'incarnation');
    this.#overridesFile = new LatestContent(files, path, 'overrides');
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
      const folder = new NodeFolder(files, path, lock, { incarnation, overrides });
      // Whether it can be written shows now, not when it is needed.
      await folder.storeIncarnation(incarnation);
      return folder;
    } catch (error) {
      await lock?.release();
      throw explain(error, path);
    }
  }

  /** Durable when it resolves: this one, or a later one. Rejects with STORAGE_FAILED; then it must not be used. */
  storeIncarnation(incarnation: number): Promise<void> {
    return this.#incarnationFile.store(encodeIncarnation(incarnation));
  }

  /** Stores all of `overrides` in place of those before; durable when it resolves. Rejects with STORAGE_FAILED. */
  storeOverrides(overrides: readonly Override[]): Promise<void> {
    return this.#overridesFile.store(encodeOverrides(overrides));
  }

  /** Lets the folder go, once all is written. */
  async release(): Promise<void> {
    await Promise.all([this.#incarnationFile.settled(), this.#overridesFile.settled()]);
    await this.#lock.release();
  }
}

/** A file that is written whole again and again: what comes while it is written is written as one, the last of it. */
class LatestContent {
  readonly #files: Files;
  readonly #folder: string;
  readonly #name: string;
  #next: Uint8Array = new Uint8Array(0);
  /** Will write `#next`; not begun. */
  #round: Promise<void> | undefined;
  #written: Promise<void> = Promise.resolve();

  constructor(files: Files, folder: string, name: string) {
    this.#files = files;
    this.#folder = folder;
    this.#name = name;
  }

  store(content: Uint8Array): Promise<void> {
    this.#next = content;
    if (this.#round !== undefined) return this.#round;
    const round = this.#written.then(() => {
      this.#round = undefined;
      return replaceFile(this.#files, `${this.#folder}/${this.#name}`, this.#next).catch((error) => {
        throw explain(error, this.#folder);
      });
    });
    this.#round = round;
    this.#written = round.catch(() => {});
    return round;
  }

  /** Resolves when nothing is being written or waits. */
  settled(): Promise<void> {
    return this.#written;
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
