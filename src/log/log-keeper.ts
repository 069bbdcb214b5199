import type { Runtime } from '../runtime/runtime.js';
import { indexPath, isIndexName, removeIndex } from './index-file.js';
import type { LogReader } from './log-reader.js';
import type { ReadHandles } from './read-handles.js';
import { type ReplicaState, replicaFolder } from './replica-state.js';
import type { Segment } from './segment.js';
import {
  decodeSnapshot,
  encodeSnapshot,
  isSnapshotName,
  type LogSnapshot,
  readSnapshot,
  removeSnapshot,
  snapshotName,
  writeSnapshot,
} from './snapshot-file.js';
import type { StateJournal } from './state-journal.js';
import { describe } from './storage-error.js';

/** A segment takes batches for so long. */
const segmentMsMax = 24 * 3_600_000;
/** What a log counts, for metrics. */
export interface LogStats {
  readonly segments: number;
  /** Of batches. */
  readonly bytes: number;
  /** Saved since the start. */
  readonly snapshots: number;
  /** That retention and trims took away since the start. */
  readonly segmentsRemoved: number;
  readonly bytesRemoved: number;
}

/** How long a log keeps its records; 0: for ever, without a limit. */
export interface Retention {
  readonly retentionMs: number;
  readonly retentionBytes: number;
}

/**
 * What one log keeps: where it starts, and the snapshot of what lies below.
 *
 * Order of a trim: the new start is made durable in the state journal, then readers see it, then the files of segments
 * that lie wholly below are removed, oldest first, each as soon as nobody refers to it. A crash in between leaves files
 * that the next start removes.
 */
export class LogKeeper {
  readonly #runtime: Runtime;
  readonly #journal: StateJournal;
  readonly #handles: ReadHandles;
  readonly #folder: string;
  readonly #state: ReplicaState;
  /** The log's own list; only its beginning is changed here. */
  readonly #segments: Segment[];
  readonly #reader: LogReader;
  #logStart: number;
  #retention: Retention = { retentionMs: 0, retentionBytes: 0 };
  #snapshots = 0;
  #segmentsRemoved = 0;
  #bytesRemoved = 0;
  #saving: Promise<void> = Promise.resolve();
  #changing: Promise<void> = Promise.resolve();
  #removing: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(
    runtime: Runtime,
    journal: StateJournal,
    handles: ReadHandles,
    folder: string,
    state: ReplicaState,
    segments: Segment[],
    reader: LogReader,
  ) {
    this.#runtime = runtime;
    this.#journal = journal;
    this.#handles = handles;
    this.#folder = folder;
    this.#state = state;
    this.#segments = segments;
    this.#reader = reader;
    this.#logStart = state.logStart;
  }

  /** Offset of the first record that can be read. */
  get logStart(): number {
    return this.#logStart;
  }

  /** Sets how long records are kept. */
  configure(retention: Retention): void {
    this.#retention = retention;
  }

  get stats(): LogStats {
    const [segmentsRemoved, bytesRemoved] = [this.#segmentsRemoved, this.#bytesRemoved];
    let bytes = 0;
    for (const segment of this.#segments) bytes += segment.end;
    return { segments: this.#segments.length, bytes, snapshots: this.#snapshots, segmentsRemoved, bytesRemoved };
  }

  /** The next append begins a new segment. */
  rollNext(): void {
    const last = this.#segments.at(-1);
    if (last !== undefined) last.isFull = true;
  }

  /**
   * A segment that took batches for a day takes no more, nor does one that holds as much as is kept: only whole segments
   * can go, and never the last one.
   */
  closeLast(): void {
    const last = this.#segments.at(-1);
    if (last === undefined) return;
    const { firstTimestampMs: firstMs, end } = last;
    const { retentionBytes } = this.#retention;
    const isOld = firstMs !== undefined && this.#runtime.clock.wallMs() - firstMs >= segmentMsMax;
    if (isOld || (retentionBytes > 0 && end >= retentionBytes)) this.rollNext();
  }

  /**
   * Where the log would begin if the whole segments went that are too old or too much. The last one stays; `isLastOld`
   * says that all before it go and it is too old itself, so that it can go once there is another.
   */
  async expired(): Promise<{ readonly start: number; readonly isLastOld: boolean }> {
    const nowMs = this.#runtime.clock.wallMs();
    const { retentionMs, retentionBytes } = this.#retention;
    if (retentionMs === 0 && retentionBytes === 0) return { start: this.#logStart, isLastOld: false };
    const segments = [...this.#segments];
    const isOld = async (segment: Segment): Promise<boolean> => {
      if (retentionMs === 0) return false;
      const lastMs = segment.lastTimestampMs ?? (await this.#reader.lastTimestampMs(segment));
      return lastMs !== undefined && lastMs < nowMs - retentionMs;
    };
    let bytes = segments.reduce((sum, segment) => sum + segment.end, 0);
    let start = this.#logStart;
    for (const [i, segment] of segments.entries()) {
      const next = segments[i + 1];
      if (next === undefined) return { start, isLastOld: segment.end > 0 && (await isOld(segment)) };
      if (!next.isOnDisk) break;
      const isTooMuch = retentionBytes > 0 && bytes - segment.end >= retentionBytes;
      if (!isTooMuch && !(await isOld(segment))) break;
      start = Math.max(start, next.base);
      bytes -= segment.end;
    }
    return { start, isLastOld: false };
  }

  /** Reads all full segments to learn what the disk has lost; see `LogReader.scrub`. */
  async scrub(pace: (bytes: number) => Promise<void>): Promise<void> {
    for (const segment of this.#segments.slice(0, -1)) {
      // It may have gone meanwhile.
      if (this.#segments.includes(segment)) await this.#reader.scrub(segment, pace);
    }
  }

  /**
   * Resolves when nothing is under way any more: no trim, cut, snapshot, or removal of a file. The log takes no more of
   * them; what somebody refers to until later is removed by the next start.
   */
  async close(): Promise<void> {
    await Promise.all([this.#changing, this.#saving]);
    this.#isClosed = true;
    await this.#removing;
  }

  /** Trims and cuts take several turns to change the list of segments: one of them at a time, in their order. */
  alone(change: () => Promise<void>): Promise<void> {
    const changed = this.#changing.then(change);
    this.#changing = changed.catch(() => {});
    return changed;
  }

  /** See `PartitionLog.trimTo`, which has checked the offset. */
  trimTo(offset: number): Promise<void> {
    return this.alone(() => this.#trim(offset));
  }

  async #trim(offset: number): Promise<void> {
    const state = this.#state;
    if (offset <= this.#logStart) return;
    if (offset > state.logStart) {
      state.logStart = offset;
      if (state.recoveryPoint < offset) {
        state.recoveryPoint = offset;
        state.point = undefined;
      }
      this.#journal.put(state);
    }
    await this.#journal.flush();
    if (offset > this.#logStart) this.#logStart = offset;
    await this.#dropSegments();
  }

  /** Takes away what a crash left: segments below the start, snapshots that nobody names, indexes without a segment. */
  async tidy(): Promise<void> {
    await this.#dropSegments();
    const { files } = this.#runtime;
    const kept = new Set(this.#segments.map(({ path }) => indexPath(path)));
    const { snapshotEnd } = this.#state;
    if (snapshotEnd !== undefined) kept.add(`${this.#folder}/${snapshotName(snapshotEnd)}`);
    for (const { name } of await files.list(this.#folder)) {
      const path = `${this.#folder}/${name}`;
      if ((!isSnapshotName(name) && !isIndexName(name)) || kept.has(path)) continue;
      await files.remove(path).catch((error) => this.#leave(path, error));
    }
  }

  /** Resolves when those that nobody refers to are removed. */
  async #dropSegments(): Promise<void> {
    const segments = this.#segments;
    while (segments.length > 1 && segments[1]!.isOnDisk && segments[1]!.base <= this.#logStart) {
      const segment = segments.shift()!;
      segment.retire(() => {
        this.#removing = this.#removing.then(() => this.#removeFiles(segment));
      });
    }
    await this.#removing;
  }

  /** What can't be removed now is removed by the next start. */
  async #removeFiles(segment: Segment): Promise<void> {
    this.#handles.drop(segment);
    if (this.#isClosed) return;
    try {
      await removeIndex(this.#runtime.files, indexPath(segment.path));
      await this.#runtime.files.remove(segment.path);
      this.#segmentsRemoved++;
      this.#bytesRemoved += segment.end;
    } catch (error) {
      this.#leave(segment.path, error);
    }
  }

  #leave(file: string, error: unknown): void {
    const fields = { file, error: describe(error) };
    this.#runtime.logger.warn(fields, 'a file that is no longer wanted could not be removed');
  }

  /** See `PartitionLog.saveSnapshot`. One at a time; a later one counts. */
  saveSnapshot(snapshot: LogSnapshot): Promise<void> {
    const save = this.#saving.then(() => this.#save(snapshot));
    this.#saving = save.catch(() => {});
    return save;
  }

  /** The latest snapshot; undefined when there is none that can be believed in a log that ends at `syncedEnd`. */
  async loadSnapshot(syncedEnd: number): Promise<LogSnapshot | undefined> {
    const end = this.#state.snapshotEnd;
    if (end === undefined) return undefined;
    const bytes = await readSnapshot(this.#runtime.files, this.#folder, end);
    const snapshot = bytes === undefined ? undefined : decodeSnapshot(bytes, this.#state.salt, end);
    if (snapshot !== undefined && end >= this.#logStart && end <= syncedEnd) return snapshot;
    const fields = { log: replicaFolder(this.#state), snapshotEnd: end, logStart: this.#logStart };
    this.#runtime.logger.error(fields, 'the snapshot of a log is missing or damaged: the log is read from its start');
    return undefined;
  }

  async #save(snapshot: LogSnapshot): Promise<void> {
    const { files } = this.#runtime;
    const { end } = snapshot;
    const before = this.#state.snapshotEnd;
    if (before !== undefined && before >= end) return;
    await writeSnapshot(files, this.#folder, end, encodeSnapshot(this.#state.salt, snapshot));
    this.#state.snapshotEnd = end;
    this.#journal.put(this.#state);
    await this.#journal.flush();
    this.#snapshots++;
    if (before !== undefined) await removeSnapshot(files, this.#folder, before);
  }
}
