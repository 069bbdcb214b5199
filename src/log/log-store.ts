import type { TaskdError } from '../base/errors.js';
import type { Runtime } from '../runtime/runtime.js';
import type { PartitionLog } from './partition-log.js';

export interface LogStoreOptions {
  /** Refuse a folder of another cluster. Absent: any; a new folder gets a random id. */
  readonly clusterId?: string;
  /** A segment file rolls before it would grow beyond. Default `segmentBytesMax`. */
  readonly segmentBytes?: number;
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
  readonly clusterId: string = '';
  /** 32 hexadecimal digits, random, made with the folder. */
  readonly diskId: string = '';
  /** Called once when the state journal could not be written: every log here is fenced, the process should end. */
  onFailed: (error: TaskdError) => void = () => {};

  /**
   * Takes the folder (creates it when missing), checks or makes `meta`, reads the state journal and writes and syncs a
   * new generation of it. Rejects with a `TaskdError` whose message says what is wrong and how to mend it; an existing
   * folder is then unchanged: CONFLICT for a folder in use or of another cluster, INVALID for one that is not taskd's,
   * UNSUPPORTED_VERSION for a newer format, STORAGE_FAILED for one that can't be read or written or whose journal is
   * damaged.
   */
  static async open(_runtime: Runtime, _folder: string, _options: LogStoreOptions = {}): Promise<LogStore> {
    throw new Error('not built yet');
  }

  /** Every replica that was ever created here, from the journal's manifest. */
  replicas(): readonly ReplicaInfo[] {
    throw new Error('not built yet');
  }

  /** Creates an empty log. Durable when it returns. ALREADY_EXISTS when this partition has a replica here. */
  async create(_topicId: number, _partition: number): Promise<PartitionLog> {
    throw new Error('not built yet');
  }

  /**
   * Opens a log and recovers it. Damage does not reject: the log comes back read-only with `problem` set. NOT_FOUND
   * when there is no such replica. Opened once: a second call gives the same object.
   */
  async open(_topicId: number, _partition: number): Promise<PartitionLog> {
    throw new Error('not built yet');
  }

  /** Syncs and closes every log, notes the clean end, releases the folder. */
  async close(): Promise<void> {
    throw new Error('not built yet');
  }
}
