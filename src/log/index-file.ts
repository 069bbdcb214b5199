/**
 * The file beside a full segment that says where to look in it: an entry for about each 4 KiB of batches. All integers
 * big-endian.
 *
 * ```
 *  0 u32 crc             CRC-32 of bytes 4 to the end
 *  4 u32 magic           "TKI1"
 *  8 u32 entries
 * 12 u32 salt            the replica's
 * 16 u64 segmentBase
 * 24 u64 end             one past the segment's last record
 * 32 u64 firstTimestamp  of the first batch
 * 40 u64 lastTimestamp   of the last one
 * 48 u32 bytes           of the batches in the segment
 * 52 u32 lastPosition    of the last batch
 * 56 u64 0
 * 64 entries, ascending: u32 offset - segmentBase, u32 position, u64 append timestamp
 * ```
 *
 * It only saves time: nothing syncs it, whoever loads it compares it with the segment, and one that is missing or does
 * not fit is made anew from the segment.
 */
import { readU32, readU64, writeU32, writeU64 } from '../base/bytes.js';
import { crc32 } from '../base/crc32.js';
import { FileError, type Files } from '../runtime/files.js';
import { readRange } from './segment-scan.js';
import { SparseIndex } from './sparse-index.js';

const magic = 0x544b_4931;
const headBytes = 64;
const entryBytes = 16;
/** Entries lie 4 KiB apart, and a position has 32 bits. */
const fileBytesMax: number = headBytes + 2 ** 20 * entryBytes;
const namePattern = /^\d{20}\.index$/;

export const isIndexName = (name: string): boolean => namePattern.test(name);

/** The index file of the segment at `path`. */
export function indexPath(path: string): string {
  return path.replace(/\.log$/, '.index');
}

/** What an index says of its segment as a whole. */
export interface IndexedSegment {
  readonly salt: number;
  readonly base: number;
  readonly end: number;
  readonly firstTimestampMs: number;
  readonly lastTimestampMs: number;
  readonly bytes: number;
  readonly lastPosition: number;
}

export interface LoadedIndex extends IndexedSegment {
  readonly index: SparseIndex;
}

export function encodeIndex(segment: IndexedSegment, index: SparseIndex): Uint8Array {
  const { entries } = index;
  const bytes = new Uint8Array(headBytes + entries * entryBytes);
  writeU32(bytes, 4, magic);
  writeU32(bytes, 8, entries);
  writeU32(bytes, 12, segment.salt);
  writeU64(bytes, 16, segment.base);
  writeU64(bytes, 24, segment.end);
  writeU64(bytes, 32, segment.firstTimestampMs);
  writeU64(bytes, 40, segment.lastTimestampMs);
  writeU32(bytes, 48, segment.bytes);
  writeU32(bytes, 52, segment.lastPosition);
  let at = headBytes;
  index.each((offset, position, timestampMs) => {
    writeU32(bytes, at, offset - segment.base);
    writeU32(bytes, at + 4, position);
    writeU64(bytes, at + 8, timestampMs);
    at += entryBytes;
  });
  writeU32(bytes, 0, crc32(bytes.subarray(4)));
  return bytes;
}

/** The index in these bytes; undefined when they are none or make no sense. Never throws. */
export function decodeIndex(bytes: Uint8Array): LoadedIndex | undefined {
  if (bytes.length < headBytes || readU32(bytes, 4) !== magic) return undefined;
  const entries = readU32(bytes, 8);
  if (bytes.length !== headBytes + entries * entryBytes) return undefined;
  if (readU32(bytes, 0) !== crc32(bytes.subarray(4))) return undefined;
  const base = readU64(bytes, 16);
  const end = readU64(bytes, 24);
  const firstTimestampMs = readU64(bytes, 32);
  const lastTimestampMs = readU64(bytes, 40);
  if (base === undefined || end === undefined) return undefined;
  if (firstTimestampMs === undefined || lastTimestampMs === undefined) return undefined;
  const index = readEntries(bytes, entries, base, end);
  if (index === undefined) return undefined;
  const salt = readU32(bytes, 12);
  const lastPosition = readU32(bytes, 52);
  return { salt, base, end, firstTimestampMs, lastTimestampMs, bytes: readU32(bytes, 48), lastPosition, index };
}

function readEntries(bytes: Uint8Array, entries: number, base: number, end: number): SparseIndex | undefined {
  const index = new SparseIndex();
  let last = { offset: -1, position: -1, timestampMs: 0 };
  for (let at = headBytes; at < headBytes + entries * entryBytes; at += entryBytes) {
    const offset = base + readU32(bytes, at);
    const position = readU32(bytes, at + 4);
    const timestampMs = readU64(bytes, at + 8);
    if (timestampMs === undefined || timestampMs < last.timestampMs) return undefined;
    if (offset <= last.offset || offset >= end || position <= last.position) return undefined;
    index.push(offset, position, timestampMs);
    last = { offset, position, timestampMs };
  }
  return index;
}

/** Writes the file anew. Not synced. */
export async function writeIndex(files: Files, path: string, bytes: Uint8Array): Promise<void> {
  await removeIndex(files, path);
  const handle = await files.open(path, 'create');
  try {
    await handle.write([bytes], 0);
  } finally {
    await handle.close();
  }
}

/** The index in the file; undefined when there is none that can be used. */
export async function loadIndex(files: Files, path: string): Promise<LoadedIndex | undefined> {
  let handle: Awaited<ReturnType<Files['open']>>;
  try {
    handle = await files.open(path, 'read');
  } catch (error) {
    if (error instanceof FileError && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const size = await handle.size();
    return size > fileBytesMax ? undefined : decodeIndex(await readRange(handle, 0, size));
  } finally {
    await handle.close();
  }
}

/** No error when it isn't there. */
export async function removeIndex(files: Files, path: string): Promise<void> {
  try {
    await files.remove(path);
  } catch (error) {
    if (!(error instanceof FileError && error.code === 'ENOENT')) throw error;
  }
}
