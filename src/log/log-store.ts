import { toHex } from '../base/bytes.js';
import { ErrorCode, TaskdError } from '../base/errors.js';
import { segmentBytesMax } from '../base/limits.js';
import type { Timer } from '../runtime/clock.js';
import type { FolderLock } from '../runtime/files.js';
import type { Runtime } from '../runtime/runtime.js';
import { openDataFolder } from './data-folder.js';
import { Device } from './device.js';
import { DiskSpace, type SpaceOptions } from './disk-space.js';
import type { LogHost } from './log-host.js';
import { PartitionLog } from './partition-log.js';
import { ReadHandles } from './read-handles.js';
import { recover } from './recovery.js';
import { type ReplicaState, replicaFolder } from './replica-state.js';
import { segmentName } from './segment.js';
import type { StateJournal } from './state-journal.js';
import { storageFailed } from './storage-error.js';
import { TailBudget } from './tail.js';
import { Trash } from './trash.js';

const tailBytesMax = 128 * 1024 * 1024;
/** Segment files open for reading, besides the last one of each log, which is open for writing. */
const readHandlesMax = 256;
/** Recovery points are stored so long after a sync: less to read and write back after a crash. */
const recoveryPointMs = 1_000;

export interface LogStoreOptions {
  /** Refuse a folder of another cluster. Absent: any; a new folder gets a random id. */
  readonly clusterId?: string;
  /** A segment file rolls before it would grow beyond. Default `segmentBytesMax`. */
  readonly segmentBytes?: number;
  /** Watch the disk, and keep a reserve of it. Absent: neither. */
  readonly space?: SpaceOptions;
  /** Bytes of recently appended batches kept in memory, over all partitions. Default 128 MiB. */
  readonly tailBytesMax?: number;
}

/** One replica of one partition on this disk; `replicaId` is never used again here. */
export interface ReplicaInfo {
  readonly topicId: number;
  readonly partition: number;
  readonly replicaId: number;
}

/** The logs of one data folder. */
export class LogStore {
  /** From the folder's `meta` file. */
  readonly clusterId: string;
  /** 32 hexadecimal digits, random, made with the folder. */
  readonly diskId: string;
  /** The room on the disk. */
  readonly space: DiskSpace;
  /** Called once when the state journal could not be written: every log here is fenced, the process should end. */
  onFailed: (error: TaskdError) => void = () => {};
  /** Who may sync when, over all logs here. */
  readonly device: Device = new Device();
  readonly #runtime: Runtime;
  readonly #folder: string;
  readonly #lock: FolderLock;
  readonly #journal: StateJournal;
  readonly #host: LogHost;
  readonly #logs = new Map<string, Promise<PartitionLog>>();
  /** By topic and partition. */
  readonly #replicas = new Map<string, ReplicaState>();
  readonly #open = new Set<PartitionLog>();
  readonly #trash: Trash;
  #timer: Timer | undefined;
  #isClosed = false;

  private constructor(
    runtime: Runtime,
    folder: string,
    lock: FolderLock,
    journal: StateJournal,
    clusterId: string,
    diskId: Uint8Array,
    options: LogStoreOptions,
  ) {
    this.clusterId = clusterId;
    this.diskId = toHex(diskId);
    this.#runtime = runtime;
    this.#folder = folder;
    this.#lock = lock;
    this.#journal = journal;
    const space = new DiskSpace(runtime, folder, options.space ?? { reserveBytesMax: 0 }, () => {
      let bytes = 0;
      for (const log of this.#open) bytes += log.unsyncedBytes;
      return bytes;
    });
    space.onLow = (isLow) => {
      if (isLow) void this.#trash.empty(true);
    };
    this.space = space;
    this.#trash = new Trash(runtime, folder);
    this.#host = {
      journal,
      space,
      handles: new ReadHandles(runtime.files, readHandlesMax),
      device: this.device,
      tails: new TailBudget(options.tailBytesMax ?? tailBytesMax),
      segmentBytes: options.segmentBytes ?? segmentBytesMax,
      pointMoved: (now) => this.#pointMoved(now),
    };
    journal.onFailed = (error) => this.#fail(error);
    journal.makeRoom = () => space.makeRoom();
    for (const state of journal.states()) this.#replicas.set(`${state.topicId}/${state.partition}`, state);
  }

  /**
   * Takes the folder (creates it when missing), checks or makes `meta`, reads the state journal and writes and syncs a
   * new generation of it. Rejects with a `TaskdError` whose message says what is wrong and how to mend it; an existing
   * folder is then unchanged: CONFLICT for a folder in use or of another cluster, INVALID for one that is not taskd's,
   * UNSUPPORTED_VERSION for a newer format, STORAGE_FAILED for one that can't be read or written or whose journal is
   * damaged.
   */
  static async open(runtime: Runtime, folder: string, options: LogStoreOptions = {}): Promise<LogStore> {
    const { lock, journal, clusterId, diskId } = await openDataFolder(runtime, folder, options.clusterId);
    const store = new LogStore(runtime, folder, lock, journal, clusterId, diskId, options);
    try {
      if (options.space !== undefined) await store.space.start();
      await store.#reportUnknown();
      return store;
    } catch (error) {
      await store.close();
      throw storageFailed(`${folder} could not be looked through`, 'mend the disk or its rights and try again', error);
    }
  }

  /** Every replica that is here, from the journal's manifest, by topic and partition. */
  replicas(): readonly ReplicaInfo[] {
    return Array.from(this.#journal.states(), ({ topicId, partition, replicaId }) => ({
      topicId,
      partition,
      replicaId,
    })).sort((a, b) => a.topicId - b.topicId || a.partition - b.partition);
  }

  /** Creates an empty log. Durable when it returns. ALREADY_EXISTS when this partition has a replica here. */
  create(topicId: number, partition: number): Promise<PartitionLog> {
    const name = `${topicId}/${partition}`;
    if (this.#logs.has(name) || this.#find(topicId, partition) !== undefined) {
      const message = `partition ${partition} of topic ${topicId} has a replica in ${this.#folder} already`;
      return Promise.reject(new TaskdError(ErrorCode.ALREADY_EXISTS, message));
    }
    return this.#remember(name, () => this.#create(topicId, partition));
  }

  /**
   * Opens a log and recovers it. Damage does not reject: the log comes back read-only with `problem` set. NOT_FOUND
   * when there is no such replica. Opened once: a second call gives the same object.
   */
  open(topicId: number, partition: number): Promise<PartitionLog> {
    const name = `${topicId}/${partition}`;
    const known = this.#logs.get(name);
    if (known !== undefined) return known;
    const state = this.#find(topicId, partition);
    if (state === undefined) {
      const message = `partition ${partition} of topic ${topicId} has no replica in ${this.#folder}`;
      return Promise.reject(new TaskdError(ErrorCode.NOT_FOUND, message));
    }
    return this.#remember(name, () => this.#recover(state));
  }

  /**
   * Gives up all logs of a topic, which are closed and serve nothing any more, and moves its folder to `trash/`, from
   * which it is removed after a day. Durable when it resolves; nothing happens when the topic has no replica here.
   */
  async remove(topicId: number): Promise<void> {
    const states = [...this.#replicas.values()].filter((state) => state.topicId === topicId);
    if (states.length === 0) return;
    for (const { partition } of states) {
      const name = `${topicId}/${partition}`;
      this.#replicas.delete(name);
      const log = await this.#logs.get(name);
      if (log === undefined) continue;
      await log.close();
      this.#logs.delete(name);
      this.#open.delete(log);
    }
    await this.#trash.take(topicId);
    for (const state of states) this.#journal.remove(state);
    await this.#journal.flush();
  }

  /** Numbers for metrics: segment files open for reading, and deleted topics whose files have left the disk. */
  get readHandles(): number {
    return this.#host.handles.size;
  }

  get topicsEmptied(): number {
    return this.#trash.removed;
  }

  /** To be called now and then: empties the trash, and makes the reserve of disk space. */
  async tend(): Promise<void> {
    this.space.tend();
    await this.#trash.empty(this.space.isLow);
  }

  /** Syncs and closes every log, notes the clean end, releases the folder. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.space.stop();
    await Promise.allSettled(this.#logs.values());
    await Promise.all(Array.from(this.#open, (log) => log.close()));
    try {
      await this.#journal.flush();
    } finally {
      await this.#journal.close();
      await this.#lock.release();
    }
  }

  /** Folders that no replica here accounts for are kept: somebody put them there, or a crash left an empty one. */
  async #reportUnknown(): Promise<void> {
    const { files, logger } = this.#runtime;
    const data = `${this.#folder}/data`;
    if (!(await files.exists(data))) return;
    const known = new Set(Array.from(this.#journal.states(), ({ topicId }) => String(topicId)));
    for (const { name } of await files.list(data)) {
      if (!known.has(name)) logger.warn({ path: `${data}/${name}` }, 'nobody here knows of this; it is left alone');
    }
  }

  #find(topicId: number, partition: number): ReplicaState | undefined {
    return this.#replicas.get(`${topicId}/${partition}`);
  }

  /** Two callers that want the same log get the same one; a failure is forgotten. */
  #remember(name: string, make: () => Promise<PartitionLog>): Promise<PartitionLog> {
    if (this.#isClosed) return Promise.reject(new TaskdError(ErrorCode.DRAINING, `${this.#folder} is closed`));
    const made = make();
    this.#logs.set(name, made);
    made.then(
      (log) => this.#open.add(log),
      () => this.#logs.delete(name),
    );
    return made;
  }

  /** Files and folders first, each synced in the one that holds it; the journal's manifest last. */
  async #create(topicId: number, partition: number): Promise<PartitionLog> {
    const { files, random } = this.#runtime;
    const state = await this.#newState(topicId, partition, random.u32());
    const path = `${this.#folder}/${replicaFolder(state)}`;
    try {
      await files.makeFolder(path);
      const handle = await files.open(`${path}/${segmentName(0)}`, 'create');
      await handle.dataSync();
      await handle.close();
      await files.syncFolder(path);
      await files.syncFolder(`${this.#folder}/data/${topicId}`);
      await files.syncFolder(`${this.#folder}/data`);
      await files.syncFolder(this.#folder);
    } catch (error) {
      throw storageFailed(`${path} could not be created`, 'mend the disk or its rights and try again', error);
    }
    this.#journal.put(state);
    this.#replicas.set(`${topicId}/${partition}`, state);
    await this.#journal.flush();
    return this.#recover(state);
  }

  /** A state with an id that neither the manifest nor a folder left by a crash has. */
  async #newState(topicId: number, partition: number, salt: number): Promise<ReplicaState> {
    for (;;) {
      const state = {
        topicId,
        partition,
        replicaId: this.#journal.newReplicaId(),
        salt,
        term: 0,
        logStart: 0,
        recoveryPoint: 0,
        clean: undefined,
        point: undefined,
        snapshotEnd: undefined,
        cutTo: undefined,
      };
      if (!(await this.#runtime.files.exists(`${this.#folder}/${replicaFolder(state)}`))) return state;
    }
  }

  async #recover(state: ReplicaState): Promise<PartitionLog> {
    const { files, logger } = this.#runtime;
    const path = `${this.#folder}/${replicaFolder(state)}`;
    const recovered = await recover(files, path, state, logger);
    if ((state.clean !== undefined || state.cutTo !== undefined) && recovered.problem === undefined) {
      state.clean = undefined;
      state.cutTo = undefined;
      this.#journal.put(state);
      await this.#journal.flush();
    }
    const log = new PartitionLog(this.#runtime, this.#host, path, state, recovered);
    if (log.problem === undefined) await log.keeper.tidy();
    return log;
  }

  #pointMoved(now: boolean): void {
    if (now) this.#storePoints();
    if (now || this.#timer !== undefined || this.#isClosed) return;
    this.#timer = this.#runtime.clock.timer(recoveryPointMs, () => {
      this.#timer = undefined;
      this.#storePoints();
    });
  }

  /** One flush for all logs whose recovery point can move. */
  #storePoints(): void {
    if (this.#isClosed) return;
    let moved = false;
    for (const log of this.#open) moved = log.moveRecoveryPoint() || moved;
    // A failure reaches everyone through the journal's onFailed.
    if (moved) this.#journal.flush().catch(() => {});
  }

  #fail(error: TaskdError): void {
    for (const log of this.#open) log.fail(error);
    this.onFailed(error);
  }
}
