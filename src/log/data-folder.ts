/**
 * Takes a data folder: lock, `meta`, state journal. A folder becomes taskd's in one step, when `meta` gets its name;
 * whatever a crash leaves before that is begun anew.
 */
import { ErrorCode, TaskdError } from '../base/errors.js';
import { FileError, type FileHandle, type Files, type FolderLock } from '../runtime/files.js';
import type { Runtime } from '../runtime/runtime.js';
import { replaceFile, syncParents } from '../runtime/whole-file.js';
import { reserveName } from './disk-space.js';
import { diskIdBytes } from './journal-record.js';
import { readJournal } from './journal-scan.js';
import { decodeMeta, encodeMeta, isClusterId, metaBytesMax, metaFormat } from './meta-file.js';
import type { ReplicaState } from './replica-state.js';
import { readRange } from './segment-scan.js';
import { journalNames, readHalves, StateJournal } from './state-journal.js';
import { lackOf, storageFailed } from './storage-error.js';

export interface DataFolder {
  readonly lock: FolderLock;
  readonly journal: StateJournal;
  readonly clusterId: string;
  readonly diskId: Uint8Array;
}

/** What an empty folder may hold: an unfinished beginning of ours, what other roles keep there, a file system's own. */
const otherRoles = ['nameserver', 'discovery-cache', 'discovery-cache.new'];
const notForeign: ReadonlySet<string> = new Set(['meta.new', ...journalNames, ...otherRoles, 'lost+found']);

/** See `LogStore.open`, which documents the errors. */
export async function openDataFolder(runtime: Runtime, folder: string, clusterId?: string): Promise<DataFolder> {
  if (clusterId !== undefined && !isClusterId(clusterId)) {
    const rule = 'use 1 to 128 letters, digits, dots, dashes or underscores';
    throw new TaskdError(ErrorCode.INVALID, `the cluster id "${clusterId}" can't be used; ${rule}`);
  }
  const { files } = runtime;
  let lock: FolderLock | undefined;
  try {
    await files.makeFolder(folder);
    lock = await files.lock(folder);
    const meta = (await files.exists(`${folder}/meta`)) ? await readMeta(files, folder, clusterId) : undefined;
    if (meta === undefined) return { lock, ...(await begin(runtime, folder, clusterId)) };
    const diskId = Buffer.from(meta.diskId, 'hex');
    await files.syncFolder(folder);
    const journal = await openJournal(runtime, folder, diskId);
    return { lock, journal, clusterId: meta.clusterId, diskId };
  } catch (error) {
    await lock?.release();
    throw explain(error, folder);
  }
}

/** A data folder that nobody uses, as somebody sees it who changes nothing. */
export interface QuietFolder {
  /** Nobody else uses the folder until it is released. */
  readonly lock: FolderLock;
  readonly clusterId: string;
  /** Every replica that exists here, by topic and partition. */
  readonly states: readonly ReplicaState[];
}

/**
 * Takes the folder of a stopped taskd and reads its `meta` and state journal; changes nothing. Rejects as
 * `openDataFolder` does, and with INVALID for a folder that is none of taskd's.
 */
export async function readDataFolder(files: Files, folder: string): Promise<QuietFolder> {
  let lock: FolderLock | undefined;
  try {
    if (!(await files.exists(folder))) {
      throw new TaskdError(
        ErrorCode.NOT_FOUND,
        `there is no folder ${folder}; name the one that taskd was given with --data`,
      );
    }
    lock = await files.lock(folder);
    if (!(await files.exists(`${folder}/meta`))) {
      const what = `${folder} is not a data folder of taskd: there is no file "meta" in it`;
      throw new TaskdError(ErrorCode.INVALID, `${what}; name the folder that taskd was given with --data`);
    }
    const { clusterId, diskId } = await readMeta(files, folder, undefined);
    const handles: FileHandle[] = [];
    const contents = await readHalves(files, folder, 'read', handles).finally(async () => {
      for (const handle of handles) await handle.close();
    });
    const reading = readJournal(contents, Buffer.from(diskId, 'hex'));
    if (typeof reading === 'string') {
      throw storageFailed(
        `the state journal in ${folder} is damaged: ${reading}`,
        'restore the whole folder from a copy',
      );
    }
    const states = [...reading.newest.states].sort((a, b) => a.topicId - b.topicId || a.partition - b.partition);
    return { lock, clusterId, states };
  } catch (error) {
    await lock?.release();
    throw explain(error, folder);
  }
}

/** On a full disk the reserve makes room for the journal's new generation. */
async function openJournal({ clock, files }: Runtime, folder: string, diskId: Uint8Array): Promise<StateJournal> {
  try {
    return await StateJournal.open(clock, files, folder, diskId);
  } catch (error) {
    const reserve = `${folder}/${reserveName}`;
    if (lackOf(error) !== 'the disk is full' || !(await files.exists(reserve))) throw error;
    await files.remove(reserve);
    return StateJournal.open(clock, files, folder, diskId);
  }
}

async function readMeta(
  files: Files,
  folder: string,
  wanted: string | undefined,
): Promise<{ clusterId: string; diskId: string }> {
  const handle = await files.open(`${folder}/meta`, 'read');
  const meta = decodeMeta(await readRange(handle, 0, metaBytesMax).finally(() => handle.close()));
  if (meta === undefined) {
    const what = `${folder}/meta is not what taskd wrote`;
    throw new TaskdError(ErrorCode.INVALID, `${what}; restore it from a copy, or choose another folder`);
  }
  if (typeof meta === 'number') {
    const what = `${folder} has data format ${meta}, this taskd reads format ${metaFormat}`;
    throw new TaskdError(
      ErrorCode.UNSUPPORTED_VERSION,
      `${what}; run the taskd that wrote it, or choose another folder`,
    );
  }
  if (wanted !== undefined && wanted !== meta.clusterId) {
    const what = `${folder} belongs to cluster ${meta.clusterId}, not to ${wanted}`;
    throw new TaskdError(ErrorCode.CONFLICT, `${what}; choose the folder or the cluster id that fits`);
  }
  return meta;
}

async function begin(
  runtime: Runtime,
  folder: string,
  wanted: string | undefined,
): Promise<{ journal: StateJournal; clusterId: string; diskId: Uint8Array }> {
  const { files, random, clock } = runtime;
  for (const { name } of await files.list(folder)) {
    if (notForeign.has(name)) continue;
    const what = `${folder} is not empty and not a data folder of taskd ("${name}" lies there, "meta" doesn't)`;
    throw new TaskdError(ErrorCode.INVALID, `${what}; choose an empty or a new folder`);
  }
  await syncParents(files, folder);
  const diskId = random.bytes(diskIdBytes);
  const clusterId = wanted ?? Buffer.from(random.bytes(12)).toString('hex');
  const journal = await StateJournal.create(clock, files, folder, diskId);
  try {
    const meta = encodeMeta({ clusterId, diskId: Buffer.from(diskId).toString('hex') });
    // What lies beside it must be there when it gets its name.
    await files.syncFolder(folder);
    await replaceFile(files, `${folder}/meta`, meta);
  } catch (error) {
    await journal.close();
    throw error;
  }
  return { journal, clusterId, diskId };
}

/** Turns what the file system said into what a person can do about it. */
function explain(error: unknown, folder: string): unknown {
  if (!(error instanceof FileError)) return error;
  if (error.code === 'LOCKED') {
    const what = `${folder} is in use by another taskd`;
    return new TaskdError(ErrorCode.CONFLICT, `${what}; stop that one, or choose another folder`, { cause: error });
  }
  if (error.code === 'EEXIST' || error.code === 'ENOTDIR') {
    const what = `${folder} is not a folder`;
    return new TaskdError(ErrorCode.INVALID, `${what}; choose another path`, { cause: error });
  }
  if (error.code === 'ENOENT' && folder.startsWith(error.path)) {
    return storageFailed(`${folder} can't be made`, 'choose another path', error);
  }
  if (error.code === 'ENOENT') {
    return storageFailed(`a file is missing in ${folder}`, 'restore it from a copy, or choose another folder', error);
  }
  if (error.code === 'EACCES' || error.code === 'EROFS') {
    return storageFailed(
      `${folder} can't be used`,
      'give this user the right to write there, or choose another',
      error,
    );
  }
  return storageFailed(`${folder} can't be used`, 'mend the disk, or choose another folder', error);
}
