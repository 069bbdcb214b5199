/** What the commands of `taskctl log` know of the logs in a data folder that no process uses. */
import { ErrorCode, TaskdError } from '../base/errors.js';
import { batchBody } from '../batch/body.js';
import { batchClass, isControl } from '../batch/header.js';
import { RecordError, readRecords, type StoredRecord } from '../batch/record.js';
import { ClusterShard, clusterTopic } from '../broker/cluster-shard.js';
import { type QuietFolder, readDataFolder } from '../log/data-folder.js';
import { type Examination, examineLog, goodBatches } from '../log/examination.js';
import { type ReplicaState, replicaFolder } from '../log/replica-state.js';
import type { Files } from '../runtime/files.js';

/** How a log is, the worst that is known of it. */
export type Verdict = 'good' | 'torn' | 'gaps' | 'damaged' | 'unreadable';

export interface ExaminedLog {
  readonly topicId: number;
  readonly partition: number;
  /** The topic's name, when the log of the cluster tells it. */
  readonly topic: string;
  readonly folder: string;
  readonly verdict: Verdict;
  /** Undefined when the disk did not even give the bytes; then `error` says why. */
  readonly examination: Examination | undefined;
  readonly error: string;
}

/** Takes the folder, gives it to `use`, and lets it go. */
export async function withQuietFolder<T>(
  files: Files,
  folder: string,
  use: (quiet: QuietFolder) => Promise<T>,
): Promise<T> {
  const quiet = await readDataFolder(files, folder);
  try {
    return await use(quiet);
  } finally {
    await quiet.lock.release();
  }
}

/** Examines the logs in the folder, or the one that `wanted` (`TOPIC_ID/PARTITION`) names. NOT_FOUND. */
export async function examineLogs(
  files: Files,
  folder: string,
  { states }: QuietFolder,
  wanted: string | undefined,
): Promise<ExaminedLog[]> {
  const chosen = states.filter((state) => wanted === undefined || nameOf(state) === wanted);
  if (chosen.length === 0 && wanted !== undefined) {
    const names = states.map(nameOf).join(', ');
    throw new TaskdError(ErrorCode.NOT_FOUND, `there is no log ${wanted} in ${folder}; there are: ${names}`);
  }
  const names = await topicNames(files, folder, states);
  const logs: ExaminedLog[] = [];
  for (const state of chosen) logs.push(await examine(files, folder, state, names));
  return logs;
}

/** How a person names a log: `TOPIC_ID/PARTITION`. */
export function nameOf(log: { readonly topicId: number; readonly partition: number }): string {
  return `${log.topicId}/${log.partition}`;
}

async function examine(
  files: Files,
  folder: string,
  state: ReplicaState,
  names: ReadonlyMap<number, string>,
): Promise<ExaminedLog> {
  const { topicId, partition } = state;
  const path = `${folder}/${replicaFolder(state)}`;
  const log = { topicId, partition, topic: names.get(topicId) ?? '', folder: path };
  try {
    const examination = await examineLog(files, path, state);
    return { ...log, examination, verdict: verdictOf(examination), error: '' };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { ...log, examination: undefined, verdict: 'unreadable', error: why };
  }
}

function verdictOf({ problem, faults, torn }: Examination): Verdict {
  if (problem !== undefined) return 'unreadable';
  if (faults.some((fault) => !fault.isRecorded)) return 'damaged';
  if (torn !== undefined) return 'torn';
  return faults.length > 0 ? 'gaps' : 'good';
}

/** What can be learnt of names; none when the cluster's own log can't be read. */
async function topicNames(
  files: Files,
  folder: string,
  states: readonly ReplicaState[],
): Promise<ReadonlyMap<number, string>> {
  const names = new Map([[clusterTopic.topicId, clusterTopic.name]]);
  const state = states.find(({ topicId }) => topicId === clusterTopic.topicId);
  if (state === undefined) return names;
  const shard = new ClusterShard();
  try {
    const { stretches } = await examineLog(files, `${folder}/${replicaFolder(state)}`, state);
    for await (const { header, bytes } of goodBatches(files, stretches)) {
      if (isControl(header)) continue;
      const records: StoredRecord[] = [];
      readRecords(batchBody(bytes, header), header.baseOffset, header.recordCount, (each) => records.push(each));
      const { baseOffset, appendTimestamp: appendTimestampMs } = header;
      const batch = { baseOffset, appendTimestampMs, batchClass: batchClass(header), records };
      for (const record of records) shard.replay(record, batch);
    }
  } catch {
    // A name is a help, no more: the rest is told by number.
  }
  for (const { topicId, name } of shard.topics()) names.set(topicId, name);
  return names;
}

/** The records of a log that can be read, in order. A body that is no records is left out and counted. */
export async function* goodRecords(
  files: Files,
  examination: Examination,
): AsyncGenerator<{ readonly record: StoredRecord; readonly timestampMs: number } | 'unreadable batch', void> {
  for await (const { header, bytes } of goodBatches(files, examination.stretches)) {
    if (isControl(header)) continue;
    const records: StoredRecord[] = [];
    try {
      readRecords(batchBody(bytes, header), header.baseOffset, header.recordCount, (each) => records.push(each));
    } catch (error) {
      if (!(error instanceof RecordError)) throw error;
      yield 'unreadable batch';
      continue;
    }
    for (const record of records) yield { record, timestampMs: header.appendTimestamp };
  }
}
