/**
 * The file of a snapshot: what must be known of the log below an offset, so that an open need not read it. Bytes of
 * somebody else's making in a frame that is checked as a whole. All integers big-endian.
 *
 * ```
 *  0 u32 crc      CRC-32 of bytes 4 to the end
 *  4 u32 magic    "TKS1"
 *  8 u32 length   of the content
 * 12 u32 salt     the replica's: a file of another replica is none
 * 16 u64 end      the log's offset that it speaks of
 * 24 u64 base     of the segment in which `end` lies
 * 32 u32 position of the batch that begins with `end`, in that segment; 0: not known
 * 36 u32 0
 * 40 content
 * ```
 *
 * The file is written and synced, its folder is synced, and only then the state journal names it: a snapshot that the
 * journal names is whole unless the disk lost it, and one that isn't named never counts.
 */
import { readU32, readU64, writeU32, writeU64 } from '../base/bytes.js';
import { crc32 } from '../base/crc32.js';
import { FileError, type Files } from '../runtime/files.js';
import type { BatchPlace } from './replica-state.js';
import { readRange } from './segment-scan.js';

const magic = 0x544b_5331;
const headBytes = 40;
/** Larger than any that is written: 100,000 producers take some 25 MiB. */
export const snapshotBytesMax: number = 64 * 1024 * 1024;
const namePattern = /^(\d{20})\.snapshot$/;

/** File name of the snapshot at `end`. */
export function snapshotName(end: number): string {
  return `${String(end).padStart(20, '0')}.snapshot`;
}

export const isSnapshotName = (name: string): boolean => namePattern.test(name);

export interface LogSnapshot {
  /** The content speaks of everything below. */
  readonly end: number;
  readonly bytes: Uint8Array;
  /** Where the batch that begins with `end` lies, if there is one. */
  readonly place: BatchPlace | undefined;
}

export function encodeSnapshot(salt: number, { end, bytes: content, place }: LogSnapshot): Uint8Array {
  const bytes = new Uint8Array(headBytes + content.length);
  writeU32(bytes, 4, magic);
  writeU32(bytes, 8, content.length);
  writeU32(bytes, 12, salt);
  writeU64(bytes, 16, end);
  writeU64(bytes, 24, place?.segmentBase ?? 0);
  writeU32(bytes, 32, place?.position ?? 0);
  bytes.set(content, headBytes);
  writeU32(bytes, 0, crc32(bytes.subarray(4)));
  return bytes;
}

/** The snapshot, or undefined when these are not the bytes of this replica's snapshot at `end`. Never throws. */
export function decodeSnapshot(bytes: Uint8Array, salt: number, end: number): LogSnapshot | undefined {
  if (bytes.length < headBytes || readU32(bytes, 4) !== magic) return undefined;
  if (readU32(bytes, 8) !== bytes.length - headBytes) return undefined;
  if (readU32(bytes, 0) !== crc32(bytes.subarray(4))) return undefined;
  if (readU32(bytes, 12) !== salt || readU64(bytes, 16) !== end) return undefined;
  const segmentBase = readU64(bytes, 24);
  const position = readU32(bytes, 32);
  const place = segmentBase === undefined || position === 0 ? undefined : { segmentBase, position };
  return { end, bytes: bytes.subarray(headBytes), place };
}

/** Writes the file; it and its name are on disk when this resolves. One of that name is replaced. */
export async function writeSnapshot(files: Files, folder: string, end: number, bytes: Uint8Array): Promise<void> {
  const path = `${folder}/${snapshotName(end)}`;
  await removeSnapshot(files, folder, end);
  const handle = await files.open(path, 'create');
  try {
    await handle.write([bytes], 0);
    await handle.dataSync();
  } finally {
    await handle.close();
  }
  await files.syncFolder(folder);
}

/** The bytes of the file; undefined when there is none or it is too large to be one. */
export async function readSnapshot(files: Files, folder: string, end: number): Promise<Uint8Array | undefined> {
  let handle: Awaited<ReturnType<Files['open']>>;
  try {
    handle = await files.open(`${folder}/${snapshotName(end)}`, 'read');
  } catch (error) {
    if (error instanceof FileError && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const size = await handle.size();
    return size > headBytes + snapshotBytesMax ? undefined : await readRange(handle, 0, size);
  } finally {
    await handle.close();
  }
}

/** No error when it isn't there. */
export async function removeSnapshot(files: Files, folder: string, end: number): Promise<void> {
  try {
    await files.remove(`${folder}/${snapshotName(end)}`);
  } catch (error) {
    if (!(error instanceof FileError && error.code === 'ENOENT')) throw error;
  }
}
