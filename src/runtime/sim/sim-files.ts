import {
  type BackgroundReadStats,
  FileError,
  type FileHandle,
  type Files,
  type FolderEntry,
  type FolderLock,
  noBackgroundReads,
  type OpenMode,
} from '../files.js';
import type { Random } from '../random.js';
import type { EventLoop } from './event-loop.js';
import type { SimDisk } from './sim-disk.js';
import type { SimFile } from './sim-file.js';
import type { Holding, SimIncarnation } from './sim-incarnation.js';

/** How long operations take: `typicalMs` on average, now and then up to `slowMs`. */
export interface DiskSpeed {
  readonly typicalMs: number;
  readonly syncTypicalMs: number;
  readonly slowMs: number;
  readonly slowChance: number;
}

/** An operation that was asked for and whose effect has not happened yet. */
interface Operation {
  readonly effect: () => unknown;
  /** What of it may have happened when the process dies in the middle. */
  readonly partly: (() => void) | undefined;
  isOver: boolean;
}

/**
 * A process's view of its host's disk. Each operation has its effect at one moment between the call and the answer;
 * operations overtake one another. When the process dies, an operation under way happened, or not, or in part, and is
 * never answered.
 */
export class SimFiles implements Files, Holding {
  readonly backgroundReads: BackgroundReadStats = noBackgroundReads;
  readonly #loop: EventLoop;
  readonly #owner: SimIncarnation;
  readonly #disk: SimDisk;
  readonly #random: Random;
  readonly #speed: DiskSpeed;
  readonly #operations = new Set<Operation>();
  readonly #locks = new Set<() => void>();

  constructor(loop: EventLoop, owner: SimIncarnation, disk: SimDisk, random: Random, speed: DiskSpeed) {
    this.#loop = loop;
    this.#owner = owner;
    this.#disk = disk;
    this.#random = random;
    this.#speed = speed;
    owner.holdings.add(this);
  }

  /** Operations under way and locks. */
  get held(): number {
    return this.#operations.size + this.#locks.size;
  }

  async open(path: string, mode: OpenMode): Promise<FileHandle> {
    const file = await this.submit(() => (mode === 'create' ? this.#disk.createFile(path) : this.#disk.file(path)));
    return new SimFileHandle(this, this.#disk, path, file, mode);
  }

  list(folder: string): Promise<FolderEntry[]> {
    return this.submit(() => this.#disk.list(folder));
  }

  exists(path: string): Promise<boolean> {
    return this.submit(() => this.#disk.exists(path));
  }

  makeFolder(path: string): Promise<void> {
    return this.submit(() => this.#disk.makeFolder(path));
  }

  rename(from: string, to: string): Promise<void> {
    return this.submit(() => this.#disk.rename(from, to));
  }

  remove(path: string): Promise<void> {
    return this.submit(() => this.#disk.remove(path));
  }

  removeFolder(path: string): Promise<void> {
    return this.submit(() => this.#disk.removeFolder(path));
  }

  syncFolder(folder: string): Promise<void> {
    return this.submit(() => this.#disk.syncFolder(folder), this.syncTypicalMs);
  }

  async lock(folder: string): Promise<FolderLock> {
    const unlock = await this.submit(() => {
      const unlock = this.#disk.lock(folder);
      this.#locks.add(unlock);
      return unlock;
    });
    return {
      release: () =>
        this.submit(() => {
          if (this.#locks.delete(unlock)) unlock();
        }),
    };
  }

  space(path: string): Promise<{ freeBytes: number; totalBytes: number }> {
    return this.submit(() => {
      if (!this.#disk.exists(path)) throw new FileError('ENOENT', path);
      return this.#disk.space();
    });
  }

  ownerDied(powerLoss: boolean): void {
    for (const operation of this.#operations) {
      operation.isOver = true;
      const fate = this.#random.below(3);
      try {
        if (fate === 0) operation.effect();
        else if (fate === 1) operation.partly?.();
      } catch (error) {
        if (!(error instanceof FileError)) throw error;
      }
    }
    this.#operations.clear();
    for (const unlock of this.#locks) unlock();
    this.#locks.clear();
    if (powerLoss) this.#disk.losePower();
    else if (this.#random.below(2) === 0) this.#disk.evict();
  }

  /** Runs `effect` after a while and answers with what it returns or throws, once more a little later. */
  submit<T>(effect: () => T, typicalMs: number = this.#speed.typicalMs, partly?: () => void): Promise<T> {
    // A promise of its own: one for all would hold everyone who ever waited for it, and with them their worlds.
    if (!this.#owner.mayOperate()) return new Promise<T>(() => {});
    return new Promise<T>((resolve, reject) => {
      const operation: Operation = { effect, partly, isOver: false };
      this.#operations.add(operation);
      const owner = this.#owner;
      this.#loop.at(this.#latencyMs(typicalMs), undefined, () => {
        if (operation.isOver) return;
        this.#operations.delete(operation);
        const answerMs = this.#random.unit() * 0.02;
        try {
          const value = effect();
          this.#loop.at(answerMs, owner, () => resolve(value));
        } catch (error) {
          this.#loop.at(answerMs, owner, () => reject(error));
        }
      });
    });
  }

  get syncTypicalMs(): number {
    return this.#speed.syncTypicalMs + this.#disk.syncExtraMs;
  }

  /** Whether a write that goes through dies before it has put down all, or in its sync. */
  isCut(): boolean {
    return this.#random.below(2) === 0;
  }

  /** A prefix of what a write was to put down. */
  cutShort(chunks: readonly Uint8Array[]): Uint8Array[] {
    let left = this.#random.below(chunks.reduce((sum, chunk) => sum + chunk.length, 1));
    const kept: Uint8Array[] = [];
    for (const chunk of chunks) {
      kept.push(chunk.subarray(0, left));
      left = Math.max(0, left - chunk.length);
    }
    return kept;
  }

  #latencyMs(typicalMs: number): number {
    const { slowChance, slowMs } = this.#speed;
    if (this.#random.unit() < slowChance) return this.#random.unit() * slowMs;
    return typicalMs * (0.5 + this.#random.unit());
  }
}

function bytesIn(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}

class SimFileHandle implements FileHandle {
  readonly #files: SimFiles;
  readonly #disk: SimDisk;
  readonly #path: string;
  readonly #file: SimFile;
  readonly #isWritable: boolean;
  readonly isThrough: boolean;
  #isClosed = false;

  constructor(files: SimFiles, disk: SimDisk, path: string, file: SimFile, mode: OpenMode) {
    this.#files = files;
    this.#disk = disk;
    this.#path = path;
    this.#file = file;
    this.#isWritable = mode !== 'read';
    this.isThrough = mode === 'through';
  }

  read(into: Uint8Array, position: number): Promise<number> {
    this.#check(false);
    return this.#files.submit(() => this.#file.read(into, position));
  }

  write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    this.#check(true);
    const put = (what: readonly Uint8Array[]): void => this.#disk.write(this.#path, this.#file, what, position);
    if (this.isThrough) {
      return this.#files.submit(
        () => {
          put(chunks);
          this.#disk.syncRange(this.#path, this.#file, position, bytesIn(chunks));
        },
        this.#files.syncTypicalMs,
        () => {
          put(this.#files.isCut() ? this.#files.cutShort(chunks) : chunks);
          this.#file.writeBack();
        },
      );
    }
    return this.#files.submit(
      () => put(chunks),
      undefined,
      () => put(this.#files.cutShort(chunks)),
    );
  }

  dataSync(): Promise<void> {
    this.#check(false);
    const writes = this.#file.writes;
    return this.#files.submit(
      () => this.#disk.sync(this.#path, this.#file, writes),
      this.#files.syncTypicalMs,
      () => this.#file.writeBack(),
    );
  }

  truncate(length: number): Promise<void> {
    this.#check(true);
    return this.#files.submit(() => this.#file.truncate(length));
  }

  size(): Promise<number> {
    this.#check(false);
    return this.#files.submit(() => this.#file.size);
  }

  close(): Promise<void> {
    this.#check(false);
    this.#isClosed = true;
    return this.#files.submit(() => {});
  }

  #check(writes: boolean): void {
    if (this.#isClosed) throw new FileError('OTHER', this.#path, new Error('the file is closed'));
    if (writes && !this.#isWritable)
      throw new FileError('OTHER', this.#path, new Error('the file is open for reading'));
  }
}
