/**
 * The room on the disk under a data folder, and a reserve of it.
 *
 * ```
 * enough ── less than the minimum is free ──► low ── an eighth more than the minimum ──► enough
 * ```
 *
 * While it is low, users' records are refused; taskd's own records go on, into the room below the minimum and, when
 * other programs have taken that too, into the reserve: a file of zeros that is removed then. It is a file, and not
 * only a number, because other programs don't keep our numbers, and because the state journal must never meet a full
 * disk: its write errors are final. The reserve is made again when there is room for it and the minimum.
 *
 * Between two looks at the disk, what is appended is counted.
 */
import { FileError, type Files } from '../runtime/files.js';
import type { Runtime } from '../runtime/runtime.js';
import { describe } from './storage-error.js';

export interface SpaceOptions {
  /** Users' records are refused under so much free. Absent: 5 % of the disk, at most 10 GiB. */
  readonly minFreeBytes?: number;
  /** Of the reserve, which is never more than 5 % of the disk; 0: none. */
  readonly reserveBytesMax: number;
}

const minFreeBytesMax = 10 * 1024 ** 3;
const minFreeShare = 0.05;
/** More than the minimum must be free before it is enough again, by this part of it. */
const slackShare = 1 / 8;
const lookMs = 1_000;
const reserveStepBytes = 1024 * 1024;

export const reserveName = 'reserve';

export class DiskSpace {
  /** The disk got low, or (false) has enough again. */
  onLow: (isLow: boolean) => void = () => {};
  readonly #runtime: Runtime;
  readonly #files: Files;
  readonly #folder: string;
  readonly #options: SpaceOptions;
  /** Bytes that were appended and are not on disk, over all logs. */
  readonly #unsyncedBytes: () => number;
  #isWatching = false;
  #isStopped = false;
  #isLow = false;
  /** What was free at the last look, less what was on its way then. */
  #freeBytes = Number.POSITIVE_INFINITY;
  #totalBytes = Number.POSITIVE_INFINITY;
  #appendedBytes = 0;
  #reserveBytes = 0;
  /** How often the reserve was used: one that is being made meanwhile is none. */
  #uses = 0;
  #reserving: Promise<void> = Promise.resolve();

  constructor(runtime: Runtime, folder: string, options: SpaceOptions, unsyncedBytes: () => number) {
    this.#runtime = runtime;
    this.#files = runtime.files;
    this.#folder = folder;
    this.#options = options;
    this.#unsyncedBytes = unsyncedBytes;
  }

  /** True while users' records are refused. */
  get isLow(): boolean {
    return this.#isLow;
  }

  /** Free for records now, as far as is known. */
  get leftBytes(): number {
    return this.#freeBytes - this.#appendedBytes;
  }

  /** What must be free for users' records. */
  get minFreeBytes(): number {
    return this.#options.minFreeBytes ?? Math.min(minFreeBytesMax, this.#totalBytes * minFreeShare);
  }

  /** Bytes that lie in the reserve. */
  get reserveBytes(): number {
    return this.#reserveBytes;
  }

  /** False while what is left is for taskd's own records. */
  get isOpenToUsers(): boolean {
    return this.#reserveBytes > 0 || this.leftBytes > this.#wantedReserve;
  }

  /** Looks at the disk, and again each second until `stop`. */
  async start(): Promise<void> {
    this.#isWatching = true;
    this.#reserveBytes = await this.#foundReserve();
    await this.#look();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#reserving;
  }

  /** So many bytes are on their way to the disk. */
  take(bytes: number): void {
    this.#appendedBytes += bytes;
    if (!this.#isLow && this.#isWatching && this.leftBytes < this.minFreeBytes) this.#setLow(true);
  }

  /** For taskd's own writes that met a full disk: true when room was made, so that trying again makes sense. */
  async makeRoom(): Promise<boolean> {
    if (this.#reserveBytes === 0) return false;
    this.#reserveBytes = 0;
    this.#uses++;
    this.#runtime.logger.warn(
      { folder: this.#folder },
      'the disk is full: the reserve is used for what taskd itself must write',
    );
    try {
      await this.#files.remove(`${this.#folder}/${reserveName}`);
      return true;
    } catch (error) {
      this.#runtime.logger.error({ error: describe(error) }, 'the reserve could not be used');
      return false;
    }
  }

  /** Makes the reserve, or what a crash left out of it, if there is room; to be called now and then. */
  tend(): void {
    const wanted = this.#wantedReserve;
    if (!this.#isWatching || this.#isStopped || this.#reserveBytes >= wanted) return;
    if (this.leftBytes < this.minFreeBytes * (1 + slackShare) + wanted - this.#reserveBytes) return;
    this.#reserving = this.#reserving.then(() => this.#reserve(wanted));
  }

  get #wantedReserve(): number {
    if (this.#totalBytes === Number.POSITIVE_INFINITY) return 0;
    return Math.floor(Math.min(this.#options.reserveBytesMax, this.#totalBytes * minFreeShare));
  }

  async #foundReserve(): Promise<number> {
    try {
      const handle = await this.#files.open(`${this.#folder}/${reserveName}`, 'read');
      const size = await handle.size();
      await handle.close();
      return size;
    } catch (error) {
      if (error instanceof FileError && error.code === 'ENOENT') return 0;
      throw error;
    }
  }

  async #reserve(bytes: number): Promise<void> {
    let at = this.#reserveBytes;
    if (this.#isStopped || at >= bytes) return;
    const uses = this.#uses;
    const path = `${this.#folder}/${reserveName}`;
    try {
      const handle = await this.#files.open(path, at === 0 ? 'create' : 'write');
      try {
        const zeros = new Uint8Array(reserveStepBytes);
        while (at < bytes && !this.#isStopped && uses === this.#uses) {
          const step = Math.min(zeros.length, bytes - at);
          await handle.write([zeros.subarray(0, step)], at);
          at += step;
        }
      } finally {
        await handle.close();
      }
      if (uses === this.#uses) this.#reserveBytes = at;
    } catch (error) {
      this.#runtime.logger.warn({ error: describe(error) }, 'the reserve of disk space could not be made');
      this.#reserveBytes = 0;
      await this.#files.remove(path).catch(() => {});
    }
  }

  async #look(): Promise<void> {
    if (this.#isStopped) return;
    try {
      const unsynced = this.#unsyncedBytes();
      this.#appendedBytes = 0;
      const { freeBytes, totalBytes } = await this.#files.space(this.#folder);
      this.#freeBytes = freeBytes - unsynced;
      this.#totalBytes = totalBytes;
      const enough = this.minFreeBytes * (1 + slackShare);
      if (!this.#isLow && this.leftBytes < this.minFreeBytes) this.#setLow(true);
      else if (this.#isLow && this.leftBytes >= enough) this.#setLow(false);
    } catch (error) {
      this.#runtime.logger.warn({ folder: this.#folder, error: describe(error) }, 'the room on the disk is not known');
    }
    if (!this.#isStopped) this.#runtime.clock.timer(lookMs, () => void this.#look());
  }

  #setLow(isLow: boolean): void {
    this.#isLow = isLow;
    const fields = { folder: this.#folder, leftBytes: this.leftBytes, minFreeBytes: this.minFreeBytes };
    if (isLow)
      this.#runtime.logger.warn(fields, 'the disk is nearly full: records of users are refused until it has room');
    else this.#runtime.logger.info(fields, 'the disk has room again: records of users are taken');
    this.onLow(isLow);
  }
}
