/**
 * Records of the state journal. All integers big-endian; a record's length is a multiple of 64 and it begins at one.
 *
 * ```
 *  0 u32 crc         CRC-32 of bytes 4..length
 *  4 u32 magic       "TKJ1"
 *  8 u32 length
 * 12 u32 generation
 * 16 u32 number      within the generation, from 0
 * 20 u32 turnFirst   number of the first record of its turn: what was written and synced together
 * 24 u16 kind        1 start of a generation, 2 a replica's whole state, 3 a replica is gone (all but its id zero)
 * 26 u16 0
 *    kind 1                                kind 2
 * 28 u32 snapshotRecords, this included   28 u32 partition
 * 32 16 bytes diskId                      32 u64 topicId
 * 48 u64 the highest replica id ever      40 u64 replicaId
 *                                         48 u32 salt
 *                                         52 u32 term
 *                                         56 u64 logStart
 *                                         64 u64 recoveryPoint
 *                                         72 u32 flags: bit 0 clean end, 1 snapshot, 2 point's place, 3 cutTo
 *                                         76 u32 clean: lastPosition
 *                                         80 u64 clean: end
 *                                         88 u64 clean: segmentBase
 *                                         96 u32 clean: segmentBytes
 *                                        100 u32 clean: lastHeaderCrc
 *                                        104 u64 snapshotEnd
 *                                        112 u64 point: segmentBase
 *                                        120 u32 point: position
 *                                        124 u32 0
 *                                        128 u64 cutTo
 *                                        136 to 192: 0
 * ```
 */
import { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from '../base/bytes.js';
import { crc32 } from '../base/crc32.js';
import type { BatchPlace, CleanEnd, ReplicaState } from './replica-state.js';

const magic = 0x544b_4a31;
/** Records begin at multiples of this, so that a search past a bad one has few places to try. */
export const journalAlignment = 64;
export const startRecordBytes = 64;
export const replicaRecordBytes = 192;
export const diskIdBytes = 16;
/** The first version's records of a replica end after the clean end. */
const firstReplicaRecordBytes = 128;

const Kind = { START: 1, REPLICA: 2, GONE: 3 } as const;
const Flag = { CLEAN: 1, SNAPSHOT: 2, POINT: 4, CUT: 8 } as const;

/** What every record says of itself. */
export interface JournalPlace {
  readonly generation: number;
  readonly number: number;
  readonly turnFirst: number;
}

export interface StartRecord extends JournalPlace {
  readonly kind: 'start';
  readonly length: number;
  readonly snapshotRecords: number;
  readonly diskId: Uint8Array;
  readonly lastReplicaId: number;
}

export interface ReplicaRecord extends JournalPlace {
  readonly kind: 'replica';
  readonly length: number;
  readonly state: ReplicaState;
}

export interface GoneRecord extends JournalPlace {
  readonly kind: 'gone';
  readonly length: number;
  readonly replicaId: number;
}

export type JournalRecord = StartRecord | ReplicaRecord | GoneRecord;

/** Writes the record that begins a generation into the 64 bytes at `at`. */
export function writeStartRecord(
  into: Uint8Array,
  at: number,
  generation: number,
  snapshotRecords: number,
  diskId: Uint8Array,
  lastReplicaId: number,
): void {
  into.fill(0, at, at + startRecordBytes);
  writeU32(into, at + 28, snapshotRecords);
  into.set(diskId, at + 32);
  writeU64(into, at + 48, lastReplicaId);
  seal(into, at, startRecordBytes, Kind.START, { generation, number: 0, turnFirst: 0 });
}

/** Writes a replica's state into the 192 bytes at `at`. */
export function writeReplicaRecord(into: Uint8Array, at: number, place: JournalPlace, state: ReplicaState): void {
  into.fill(0, at, at + replicaRecordBytes);
  writeU32(into, at + 28, state.partition);
  writeU64(into, at + 32, state.topicId);
  writeU64(into, at + 40, state.replicaId);
  writeU32(into, at + 48, state.salt);
  writeU32(into, at + 52, state.term);
  writeU64(into, at + 56, state.logStart);
  writeU64(into, at + 64, state.recoveryPoint);
  const { clean, snapshotEnd, point, cutTo } = state;
  let flags = 0;
  if (cutTo !== undefined) {
    flags |= Flag.CUT;
    writeU64(into, at + 128, cutTo);
  }
  if (clean !== undefined) {
    flags |= Flag.CLEAN;
    writeU32(into, at + 76, clean.lastPosition);
    writeU64(into, at + 80, clean.end);
    writeU64(into, at + 88, clean.segmentBase);
    writeU32(into, at + 96, clean.segmentBytes);
    writeU32(into, at + 100, clean.lastHeaderCrc);
  }
  if (snapshotEnd !== undefined) {
    flags |= Flag.SNAPSHOT;
    writeU64(into, at + 104, snapshotEnd);
  }
  if (point !== undefined) {
    flags |= Flag.POINT;
    writeU64(into, at + 112, point.segmentBase);
    writeU32(into, at + 120, point.position);
  }
  writeU32(into, at + 72, flags);
  seal(into, at, replicaRecordBytes, Kind.REPLICA, place);
}

/** Writes into the 192 bytes at `at` that a replica is gone for good. */
export function writeGoneRecord(into: Uint8Array, at: number, place: JournalPlace, replicaId: number): void {
  into.fill(0, at, at + replicaRecordBytes);
  writeU64(into, at + 40, replicaId);
  seal(into, at, replicaRecordBytes, Kind.GONE, place);
}

function seal(into: Uint8Array, at: number, length: number, kind: number, place: JournalPlace): void {
  writeU32(into, at + 4, magic);
  writeU32(into, at + 8, length);
  writeU32(into, at + 12, place.generation);
  writeU32(into, at + 16, place.number);
  writeU32(into, at + 20, place.turnFirst);
  writeU16(into, at + 24, kind);
  writeU32(into, at, crc32(into.subarray(at + 4, at + length)));
}

/** Decodes the record at `at`; undefined when there is none that is whole and makes sense. Never throws. */
export function readJournalRecord(bytes: Uint8Array, at: number): JournalRecord | undefined {
  if (at + startRecordBytes > bytes.length || readU32(bytes, at + 4) !== magic) return undefined;
  const length = readU32(bytes, at + 8);
  if (length % journalAlignment !== 0 || length < startRecordBytes || at + length > bytes.length) return undefined;
  if (crc32(bytes.subarray(at + 4, at + length)) !== readU32(bytes, at)) return undefined;
  const place = {
    generation: readU32(bytes, at + 12),
    number: readU32(bytes, at + 16),
    turnFirst: readU32(bytes, at + 20),
  };
  const kind = readU16(bytes, at + 24);
  if (kind === Kind.START && length === startRecordBytes) {
    const diskId = bytes.slice(at + 32, at + 32 + diskIdBytes);
    const lastReplicaId = readU64(bytes, at + 48);
    if (lastReplicaId === undefined) return undefined;
    return { ...place, kind: 'start', length, snapshotRecords: readU32(bytes, at + 28), diskId, lastReplicaId };
  }
  if (length !== replicaRecordBytes && !(kind === Kind.REPLICA && length === firstReplicaRecordBytes)) {
    return undefined;
  }
  if (kind === Kind.GONE) {
    const replicaId = readU64(bytes, at + 40);
    return replicaId === undefined ? undefined : { ...place, kind: 'gone', length, replicaId };
  }
  if (kind !== Kind.REPLICA) return undefined;
  const state = readState(bytes, at);
  return state === undefined ? undefined : { ...place, kind: 'replica', length, state };
}

function readState(bytes: Uint8Array, at: number): ReplicaState | undefined {
  const topicId = readU64(bytes, at + 32);
  const replicaId = readU64(bytes, at + 40);
  const logStart = readU64(bytes, at + 56);
  const recoveryPoint = readU64(bytes, at + 64);
  const flags = readU32(bytes, at + 72);
  const clean = (flags & Flag.CLEAN) === 0 ? undefined : readCleanEnd(bytes, at);
  const snapshotEnd = (flags & Flag.SNAPSHOT) === 0 ? undefined : readU64(bytes, at + 104);
  const point = (flags & Flag.POINT) === 0 ? undefined : readPoint(bytes, at);
  const cutTo = (flags & Flag.CUT) === 0 ? undefined : readU64(bytes, at + 128);
  if (topicId === undefined || replicaId === undefined || logStart === undefined || recoveryPoint === undefined) {
    return undefined;
  }
  return {
    topicId,
    partition: readU32(bytes, at + 28),
    replicaId,
    salt: readU32(bytes, at + 48),
    term: readU32(bytes, at + 52),
    logStart,
    recoveryPoint,
    clean,
    point,
    snapshotEnd,
    cutTo,
  };
}

function readPoint(bytes: Uint8Array, at: number): BatchPlace | undefined {
  const segmentBase = readU64(bytes, at + 112);
  return segmentBase === undefined ? undefined : { segmentBase, position: readU32(bytes, at + 120) };
}

function readCleanEnd(bytes: Uint8Array, at: number): CleanEnd | undefined {
  const end = readU64(bytes, at + 80);
  const segmentBase = readU64(bytes, at + 88);
  if (end === undefined || segmentBase === undefined) return undefined;
  return {
    end,
    segmentBase,
    segmentBytes: readU32(bytes, at + 96),
    lastPosition: readU32(bytes, at + 76),
    lastHeaderCrc: readU32(bytes, at + 100),
  };
}
