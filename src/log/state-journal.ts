/**
 * The state journal: one append-only file for all replicas of a data folder, in two generations that take turns
 * (`state.0`, `state.1`).
 *
 * ```
 * opening ── what was found written back, a new generation written, each synced ──► open
 * open ──┬─ turn written and synced ──► open
 *        ├─ file full: new generation in the other file ──► open
 *        └─ any write error ──► failed (final)
 * ```
 *
 * A generation begins with a snapshot of every replica's state. It counts when it is whole; until then the other file
 * holds the newest one and is not touched. Every start writes a new generation and syncs it before anything that was
 * found counts: what was found may have been in the page cache only. For the same reason it first writes back, in place,
 * what it found: the file that the new generation goes to may hold the only one that is on disk.
 */
import { ErrorCode, TaskdError } from '../base/errors.js';
import type { Clock } from '../runtime/clock.js';
import type { FileHandle, Files } from '../runtime/files.js';
import {
  replicaRecordBytes,
  startRecordBytes,
  writeGoneRecord,
  writeReplicaRecord,
  writeStartRecord,
} from './journal-record.js';
import { readJournal } from './journal-scan.js';
import type { ReplicaState } from './replica-state.js';
import { readRange } from './segment-scan.js';
import { lackOf, storageFailed } from './storage-error.js';

export const journalNames: readonly string[] = ['state.0', 'state.1'];

/** A generation takes at least this much of its file, written ahead, so that a turn's sync needs no new blocks. */
const generationBytesMin = 256 * 1024;
/** A file larger than this is no journal of ours. */
const fileBytesMax = 256 * 1024 * 1024;

const mend = 'restore the whole data folder from a copy made while taskd was stopped, or start on an empty folder';

/** Reads both files of a journal, by handles that the caller closes. STORAGE_FAILED when one of them is gone. */
export async function readHalves(
  files: Files,
  folder: string,
  mode: 'read' | 'write',
  handles: FileHandle[],
): Promise<Uint8Array[]> {
  const contents: Uint8Array[] = [];
  for (const [file, name] of journalNames.entries()) {
    if (!(await files.exists(`${folder}/${name}`))) throw halfGone(folder, file, 'missing');
    const handle = await files.open(`${folder}/${name}`, mode);
    handles.push(handle);
    const size = await handle.size();
    if (size === 0) throw halfGone(folder, file, 'empty');
    if (size > fileBytesMax) throw storageFailed(`${folder}/${name} has ${size} bytes: no state journal`, mend);
    contents.push(await readRange(handle, 0, size));
  }
  return contents;
}

/**
 * No crash takes a file of the pair, or its bytes: both are on disk before the folder is anybody's. What is left may be the
 * older generation, and nothing in it tells: terms would go back, and replicas that only the newer one knows be forgotten.
 */
function halfGone(folder: string, file: number, how: 'missing' | 'empty'): TaskdError {
  const other = journalNames[1 - file]!;
  const what = `${folder}/${journalNames[file]!} is ${how}, a half of the state journal; ${other} may be the older one and is not believed alone`;
  return storageFailed(what, `put that very file back if it was moved (no copy of another day), or ${mend}`);
}

export class StateJournal {
  /** Asked on a full disk: true when room was made, so that the write is tried once more. */
  makeRoom: () => Promise<boolean> = () => Promise.resolve(false);
  /** Called once at the first write error. */
  onFailed: (error: TaskdError) => void = () => {};
  readonly #clock: Clock;
  readonly #diskId: Uint8Array;
  readonly #handles: readonly FileHandle[];
  readonly #sizes: number[];
  readonly #states: Map<number, ReplicaState>;
  readonly #changed = new Set<ReplicaState>();
  /** Ids of replicas that are gone since the last flush. */
  readonly #gone = new Set<number>();
  #lastReplicaId: number;
  #file = 0;
  #generation: number;
  #end = 0;
  #number = 0;
  #writing: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #failed: TaskdError | undefined;
  #isClosed = false;

  private constructor(
    clock: Clock,
    diskId: Uint8Array,
    handles: readonly FileHandle[],
    sizes: number[],
    states: readonly ReplicaState[],
    lastReplicaId: number,
    generation: number,
  ) {
    this.#clock = clock;
    this.#diskId = diskId;
    this.#handles = handles;
    this.#sizes = sizes;
    this.#states = new Map(states.map((state) => [state.replicaId, state]));
    this.#lastReplicaId = lastReplicaId;
    this.#generation = generation;
  }

  /** Makes the journal of a new data folder. Its content is durable when it resolves; the folder is yet to be synced. */
  static async create(clock: Clock, files: Files, folder: string, diskId: Uint8Array): Promise<StateJournal> {
    const handles: FileHandle[] = [];
    for (const name of journalNames) {
      if (await files.exists(`${folder}/${name}`)) await files.remove(`${folder}/${name}`);
      handles.push(await files.open(`${folder}/${name}`, 'create'));
    }
    const journal = new StateJournal(clock, diskId, handles, [0, 0], [], 0, 0);
    // The next start writes the other file, on a full disk perhaps.
    await handles[1]!.write([new Uint8Array(generationBytesMin)], 0);
    await handles[1]!.dataSync();
    journal.#sizes[1] = generationBytesMin;
    journal.#file = 1;
    await journal.#writeGeneration();
    return journal;
  }

  /**
   * Reads the journal and begins a new generation, which is durable when it resolves. Rejects with STORAGE_FAILED when
   * the journal is damaged, before anything is changed.
   */
  static async open(clock: Clock, files: Files, folder: string, diskId: Uint8Array): Promise<StateJournal> {
    const handles: FileHandle[] = [];
    try {
      const contents = await readHalves(files, folder, 'write', handles);
      const reading = readJournal(contents, diskId);
      if (typeof reading === 'string')
        throw storageFailed(`the state journal in ${folder} is damaged: ${reading}`, mend);
      const sizes = contents.map((bytes) => bytes.length);
      const { states, lastReplicaId } = reading.newest;
      const journal = new StateJournal(clock, diskId, handles, sizes, states, lastReplicaId, reading.highest);
      journal.#file = reading.file;
      await handles[reading.file]!.write([contents[reading.file]!.subarray(0, reading.newest.end)], 0);
      await handles[reading.file]!.dataSync();
      await journal.#writeGeneration();
      return journal;
    } catch (error) {
      for (const handle of handles) await handle.close();
      throw error;
    }
  }

  /** Every replica that was created here and is not gone. */
  states(): IterableIterator<ReplicaState> {
    return this.#states.values();
  }

  /** An id that no replica ever had here. */
  newReplicaId(): number {
    return ++this.#lastReplicaId;
  }

  /** Notes that `state` is new or has changed: the next flush makes it durable as it is then. */
  put(state: ReplicaState): void {
    this.#states.set(state.replicaId, state);
    this.#changed.add(state);
  }

  /** Notes that a replica is gone: durable with the next flush, and its id is never used again. */
  remove(state: ReplicaState): void {
    if (!this.#states.delete(state.replicaId)) return;
    this.#changed.delete(state);
    this.#gone.add(state.replicaId);
  }

  /**
   * Makes every `put` so far durable. All flushes of a turn, and those that come while a sync runs, share one write and
   * one fdatasync. DRAINING after `close`.
   */
  flush(): Promise<void> {
    if (this.#isClosed) return Promise.reject(new TaskdError(ErrorCode.DRAINING, 'the state journal is closed'));
    this.#next ??= this.#flushNext();
    return this.#next;
  }

  /** Flushes that were asked for before are done first; no effect when it is closed. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await (this.#next ?? this.#writing).catch(() => {});
    for (const handle of this.#handles) await handle.close();
  }

  async #flushNext(): Promise<void> {
    const before = this.#writing;
    await new Promise<void>((resolve) => this.#clock.defer(resolve));
    await before.catch(() => {});
    this.#writing = this.#next ?? this.#writing;
    this.#next = undefined;
    if (this.#failed !== undefined) throw this.#failed;
    try {
      await this.#writeTurn();
    } catch (error) {
      this.#failed = storageFailed(
        'the state journal could not be written',
        'taskd stops here; mend the disk and start it again',
        error,
      );
      this.onFailed(this.#failed);
      throw this.#failed;
    }
  }

  async #writeTurn(): Promise<void> {
    const length = (this.#changed.size + this.#gone.size) * replicaRecordBytes;
    if (length === 0) return;
    if (this.#end + length > this.#capacity()) return this.#writeGeneration();
    const bytes = new Uint8Array(length);
    const turnFirst = this.#number;
    let at = 0;
    const generation = this.#generation;
    for (const state of this.#changed) {
      writeReplicaRecord(bytes, at, { generation, number: this.#number++, turnFirst }, state);
      at += replicaRecordBytes;
    }
    for (const replicaId of this.#gone) {
      writeGoneRecord(bytes, at, { generation, number: this.#number++, turnFirst }, replicaId);
      at += replicaRecordBytes;
    }
    this.#changed.clear();
    this.#gone.clear();
    const position = this.#end;
    this.#end += length;
    await this.#write(bytes, position);
  }

  /** Writes all states as a new generation into the other file. */
  async #writeGeneration(): Promise<void> {
    this.#file = 1 - this.#file;
    this.#generation++;
    this.#number = 0;
    const bytes = new Uint8Array(startRecordBytes + this.#states.size * replicaRecordBytes);
    writeStartRecord(bytes, 0, this.#generation, this.#states.size + 1, this.#diskId, this.#lastReplicaId);
    let at = startRecordBytes;
    for (const state of this.#states.values()) {
      writeReplicaRecord(bytes, at, { generation: this.#generation, number: ++this.#number, turnFirst: 0 }, state);
      at += replicaRecordBytes;
    }
    this.#number++;
    this.#changed.clear();
    this.#gone.clear();
    this.#end = at;
    await this.#write(bytes, 0);
  }

  /** Bytes that the current generation may grow to. */
  #capacity(): number {
    return Math.max(generationBytesMin, 4 * (startRecordBytes + this.#states.size * replicaRecordBytes));
  }

  async #write(bytes: Uint8Array, position: number): Promise<void> {
    const handle = this.#handles[this.#file]!;
    const end = position + bytes.length;
    const ahead = Math.max(0, this.#capacity() - Math.max(end, this.#sizes[this.#file]!));
    const chunks = [bytes];
    if (end > this.#sizes[this.#file]! && ahead > 0) chunks.push(new Uint8Array(ahead));
    try {
      await handle.write(chunks, position);
    } catch (error) {
      // Nothing was synced yet, so the same bytes may be written again.
      if (lackOf(error) !== 'the disk is full' || !(await this.makeRoom())) throw error;
      await handle.write(chunks, position);
    }
    this.#sizes[this.#file] = Math.max(this.#sizes[this.#file]!, end + (chunks.length > 1 ? ahead : 0));
    await handle.dataSync();
  }
}
