/**
 * The incarnation on disk: a file of fixed size with two slots of 4,096 bytes, each a text that a person can read, filled
 * up with zeros.
 *
 *     taskd name server
 *     incarnation 1764136000123
 *     check 89abcdef             CRC-32 of everything above
 *
 * A store overwrites the slot that doesn't hold the newest one, in place: a write that is torn leaves the other slot, and
 * a full disk has the room, as the file already has it. Where the file lies is decided by whoever has the folder.
 */
import { crc32 } from '../base/crc32.js';
import type { FileHandle, Files } from '../runtime/files.js';
import { readFile } from '../runtime/whole-file.js';

const slotBytes = 4_096;
const slots = 2;
const pattern = /^(taskd name server\nincarnation (\d{1,16})\n)check ([0-9a-f]{8})\n$/;

export class IncarnationFile {
  readonly #files: Files;
  readonly #folder: string;
  #newest: number;
  #slot: number;
  #isThere: boolean;
  #storing: Promise<void> = Promise.resolve();

  private constructor(files: Files, folder: string, slot: number, newest: number, isThere: boolean) {
    this.#files = files;
    this.#folder = folder;
    this.#slot = slot;
    this.#newest = newest;
    this.#isThere = isThere;
  }

  /** Reads `incarnation` in this folder; undefined when it isn't what was written. Rejects with a `FileError`. */
  static async open(files: Files, folder: string): Promise<IncarnationFile | undefined> {
    const bytes = await readFile(files, `${folder}/incarnation`, slots * slotBytes);
    if (bytes === undefined) return new IncarnationFile(files, folder, 1, 0, false);
    const found = Array.from({ length: slots }, (_, i) =>
      decodeSlot(bytes.subarray(i * slotBytes, (i + 1) * slotBytes)),
    );
    const newest = Math.max(...found.map((each) => each ?? -1));
    // Only zeros, or nothing: it was never finished, and nothing was promised.
    if (newest < 0)
      return bytes.some((byte) => byte !== 0) ? undefined : new IncarnationFile(files, folder, 1, 0, true);
    return new IncarnationFile(files, folder, found.indexOf(newest), newest, true);
  }

  /** The last one that was stored; 0: none. */
  get newest(): number {
    return this.#newest;
  }

  /** Durable when it resolves. After a rejection this one may be there or the one before. */
  store(incarnation: number): Promise<void> {
    const stored = this.#storing.then(() => this.#write(incarnation));
    this.#storing = stored.catch(() => {});
    return stored;
  }

  /** Resolves when nothing is being written. */
  settled(): Promise<void> {
    return this.#storing;
  }

  async #write(incarnation: number): Promise<void> {
    const path = `${this.#folder}/incarnation`;
    const slot = 1 - this.#slot;
    const isNew = !this.#isThere;
    const handle = await this.#files.open(path, isNew ? 'create' : 'write');
    this.#isThere = true;
    try {
      await this.#fill(handle);
      await handle.write([encodeSlot(incarnation)], slot * slotBytes);
      await handle.dataSync();
    } finally {
      await handle.close();
    }
    // Also when an earlier try made the file and got no further.
    if (this.#newest === 0) await this.#files.syncFolder(this.#folder);
    this.#slot = slot;
    this.#newest = incarnation;
  }

  /** Gives a file that is new, or was not finished, its size. */
  async #fill(handle: FileHandle): Promise<void> {
    const size = await handle.size();
    if (size < slots * slotBytes) await handle.write([new Uint8Array(slots * slotBytes - size)], size);
  }
}

export function encodeSlot(incarnation: number): Uint8Array {
  const text = `taskd name server\nincarnation ${incarnation}\n`;
  const bytes = new Uint8Array(slotBytes);
  bytes.set(Buffer.from(`${text}check ${checkOf(text)}\n`));
  return bytes;
}

/** Undefined when these are not the bytes that were written. Never throws. */
export function decodeSlot(bytes: Uint8Array): number | undefined {
  const end = bytes.indexOf(0);
  const match = pattern.exec(Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('latin1'));
  if (match === null || checkOf(match[1]!) !== match[3]) return undefined;
  const incarnation = Number(match[2]);
  return Number.isSafeInteger(incarnation) ? incarnation : undefined;
}

function checkOf(text: string): string {
  return crc32(Buffer.from(text)).toString(16).padStart(8, '0');
}
