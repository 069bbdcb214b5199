/**
 * What a partition knows beside its records, in bytes: where it is to be trimmed, and its producers and movers as of one
 * committed offset. Never anything that is not committed. All integers big-endian.
 *
 * ```
 *  0 u32 version     1
 *  4 u32 producers
 *  8 u32 movers
 * 12 u32 controlTail the last records below the end that are the broker's own notes; 0 also where that isn't known
 * 16 u64 trimOffset  what lies below is to go
 * 24 u64 logTimeMs   the highest append timestamp seen
 * 32 producers, least recently committed first:
 *      u64 id, u16 epoch, u16 batches, u32 0, then for each batch
 *      u64 baseSequence, u64 lastSequence, u64 baseOffset, u64 endOffset, u64 appendTimestamp
 *    movers: u64 id, u64 lastSequence, u64 endOffset
 * ```
 */
import { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from '../base/bytes.js';
import { partitionProducersMax, producerWindowBatches } from '../base/limits.js';
import { isMoverId, type MoverState, type MoverTable } from './mover-table.js';
import type { ProducerState, WindowBatch } from './producer-table.js';

const version = 1;
const headBytes = 32;
const producerBytes = 16;
const batchBytes = 40;
const moverBytes = 24;

export interface PartitionSnapshot {
  readonly trimOffset: number;
  readonly logTimeMs: number;
  /** So many of the last records are control records; 0 also where that isn't known. */
  readonly controlTail: number;
  readonly producers: ReadonlyMap<number, ProducerState>;
  readonly movers: ReturnType<MoverTable['committed']>;
}

export function encodePartitionSnapshot(snapshot: PartitionSnapshot): Uint8Array {
  const { trimOffset, logTimeMs, controlTail, producers, movers } = snapshot;
  let length = headBytes + movers.size * moverBytes;
  for (const { window } of producers.values()) length += producerBytes + window.length * batchBytes;
  const bytes = new Uint8Array(length);
  writeU32(bytes, 0, version);
  writeU32(bytes, 4, producers.size);
  writeU32(bytes, 8, movers.size);
  writeU32(bytes, 12, controlTail);
  writeU64(bytes, 16, trimOffset);
  writeU64(bytes, 24, logTimeMs);
  let at = headBytes;
  for (const [id, { epoch, window }] of producers) {
    writeU64(bytes, at, id);
    writeU16(bytes, at + 8, epoch);
    writeU16(bytes, at + 10, window.length);
    at += producerBytes;
    for (const { baseSequence, lastSequence, baseOffset, endOffset, appendTimestamp } of window) {
      writeU64(bytes, at, baseSequence);
      writeU64(bytes, at + 8, lastSequence);
      writeU64(bytes, at + 16, baseOffset);
      writeU64(bytes, at + 24, endOffset);
      writeU64(bytes, at + 32, appendTimestamp);
      at += batchBytes;
    }
  }
  for (const [id, { lastSequence, endOffset }] of movers) {
    writeU64(bytes, at, id);
    writeU64(bytes, at + 8, lastSequence);
    writeU64(bytes, at + 16, endOffset);
    at += moverBytes;
  }
  return bytes;
}

/** Undefined when these bytes are no snapshot of this version, or say what can't be true at `end`. Never throws. */
export function decodePartitionSnapshot(bytes: Uint8Array, end: number): PartitionSnapshot | undefined {
  if (bytes.length < headBytes || readU32(bytes, 0) !== version) return undefined;
  const producerCount = readU32(bytes, 4);
  const moverCount = readU32(bytes, 8);
  const controlTail = readU32(bytes, 12);
  const trimOffset = readU64(bytes, 16);
  const logTimeMs = readU64(bytes, 24);
  if (trimOffset === undefined || trimOffset > end || logTimeMs === undefined) return undefined;
  if (producerCount > partitionProducersMax || controlTail > end) return undefined;
  const producers = new Map<number, ProducerState>();
  let at = headBytes;
  for (let i = 0; i < producerCount; i++) {
    const read = readProducer(bytes, at, end);
    if (read === undefined || isMoverId(read.id) || producers.has(read.id)) return undefined;
    producers.set(read.id, read.state);
    at += producerBytes + read.state.window.length * batchBytes;
  }
  if (bytes.length !== at + moverCount * moverBytes) return undefined;
  const movers = new Map<number, MoverState>();
  for (; at < bytes.length; at += moverBytes) {
    const id = readU64(bytes, at);
    const lastSequence = readU64(bytes, at + 8);
    const endOffset = readU64(bytes, at + 16);
    if (id === undefined || lastSequence === undefined || endOffset === undefined) return undefined;
    if (!isMoverId(id) || movers.has(id) || endOffset > end) return undefined;
    movers.set(id, { lastSequence, endOffset });
  }
  return { trimOffset, logTimeMs, controlTail, producers, movers };
}

function readProducer(bytes: Uint8Array, at: number, end: number): { id: number; state: ProducerState } | undefined {
  if (at + producerBytes > bytes.length) return undefined;
  const id = readU64(bytes, at);
  const count = readU16(bytes, at + 10);
  if (id === undefined || count < 1 || count > producerWindowBatches) return undefined;
  if (at + producerBytes + count * batchBytes > bytes.length) return undefined;
  const window: WindowBatch[] = [];
  for (let i = 0; i < count; i++) {
    const batch = readBatchAt(bytes, at + producerBytes + i * batchBytes);
    const last = window.at(-1);
    if (batch === undefined || batch.endOffset > end) return undefined;
    if (last !== undefined && batch.baseSequence !== last.lastSequence + 1) return undefined;
    window.push(batch);
  }
  return { id, state: { epoch: readU16(bytes, at + 8), window } };
}

function readBatchAt(bytes: Uint8Array, at: number): WindowBatch | undefined {
  const baseSequence = readU64(bytes, at);
  const lastSequence = readU64(bytes, at + 8);
  const baseOffset = readU64(bytes, at + 16);
  const endOffset = readU64(bytes, at + 24);
  const appendTimestamp = readU64(bytes, at + 32);
  if (baseSequence === undefined || lastSequence === undefined || baseOffset === undefined) return undefined;
  if (endOffset === undefined || appendTimestamp === undefined) return undefined;
  if (lastSequence < baseSequence || endOffset <= baseOffset) return undefined;
  return { baseSequence, lastSequence, baseOffset, endOffset, appendTimestamp };
}
