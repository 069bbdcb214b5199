/**
 * What the state journal holds of one replica. The numbers here are the wish; they are durable after the journal's
 * next flush.
 */
export interface ReplicaState {
  readonly topicId: number;
  readonly partition: number;
  readonly replicaId: number;
  /** Random, made with the replica: binds each batch's localCheck to this replica. */
  readonly salt: number;
  term: number;
  /** Offset of the first record that is still wanted. */
  logStart: number;
  /** Everything below was synced and committed; never above what is on disk. */
  recoveryPoint: number;
  /** Set by a clean stop; forgotten, durably, when the log is opened, before its first append. */
  clean: CleanEnd | undefined;
  /** Where the last batch below the recovery point lies; undefined: unknown, its segment is read from its start. */
  point: BatchPlace | undefined;
  /** End offset of the snapshot that counts; its file is on disk. */
  snapshotEnd: number | undefined;
  /** The log is being cut to this end: set, durably, before its files change, and forgotten before the next append. */
  cutTo: number | undefined;
}

/** A batch in a file. */
export interface BatchPlace {
  readonly segmentBase: number;
  readonly position: number;
}

/** How a log was left by a clean stop. Believed only if the files match it in every field. */
export interface CleanEnd {
  readonly end: number;
  readonly segmentBase: number;
  /** Size of the last segment's file, which ends with its last batch. */
  readonly segmentBytes: number;
  readonly lastPosition: number;
  readonly lastHeaderCrc: number;
}

/** How messages and folders call a replica. */
export function replicaFolder(state: Pick<ReplicaState, 'topicId' | 'partition' | 'replicaId'>): string {
  return `data/${state.topicId}/${state.partition}-${state.replicaId}`;
}
