import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import { BatchBuilder } from '../../src/batch/builder.js';
import { BatchClass, headerBytes, readBatch } from '../../src/batch/header.js';
import { readRecords } from '../../src/batch/record.js';
import type { PartitionLog } from '../../src/log/partition-log.js';

/** A batch with one record for each text. */
export function batchOf(...values: string[]): Uint8Array {
  const builder = new BatchBuilder();
  for (const value of values) builder.append({ value: Buffer.from(value) });
  return builder.finish({ baseTimestamp: 1_000, batchClass: BatchClass.OWNER });
}

/** The values in chunks of whole batches, checked: CRCs, consecutive offsets from the first batch's on. */
export function valuesIn(chunks: readonly Uint8Array[]): { base: number; values: string[] } {
  let base = -1;
  const values: string[] = [];
  let term = 0;
  let timestampMs = 0;
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) {
      const header = readBatch(chunk, at);
      if (typeof header === 'string') throw new Error(`a chunk holds no whole batch at ${at}: ${header}`);
      if (base < 0) base = header.baseOffset;
      if (header.baseOffset !== base + values.length) throw new Error(`offset ${header.baseOffset} after a gap`);
      if (header.term < term || header.appendTimestamp < timestampMs) throw new Error('a term or timestamp fell');
      term = header.term;
      timestampMs = header.appendTimestamp;
      const body = chunk.subarray(at + headerBytes, at + header.length);
      readRecords(body, header.baseOffset, header.recordCount, (record) => {
        values.push(Buffer.from(record.value!).toString());
      });
      at += header.length;
    }
  }
  return { base, values };
}

/** All values of a log from its start, read in pieces of `bytesMax`. */
export async function allValues(log: PartitionLog, bytesMax: number = 1 << 20): Promise<string[]> {
  const values: string[] = [];
  for (let offset = log.logStart; offset < log.syncedEnd; offset = log.logStart + values.length) {
    const read = valuesIn(await log.read(offset, bytesMax));
    if (read.base !== offset) throw new Error(`asked for ${offset}, got ${read.base}`);
    values.push(...read.values);
  }
  return values;
}

/** What a reader gets who goes on behind each gap. */
export async function valuesOverGaps(log: PartitionLog): Promise<{ values: string[]; gaps: string[] }> {
  const values: string[] = [];
  const gaps: string[] = [];
  for (let offset = log.logStart; offset < log.syncedEnd; ) {
    try {
      const read = valuesIn(await log.read(offset, 1 << 20));
      if (read.base !== offset) throw new Error(`asked for ${offset}, got ${read.base}`);
      values.push(...read.values);
      offset += read.values.length;
    } catch (error) {
      if (!isTaskdError(error, ErrorCode.DATA_LOSS)) throw error;
      gaps.push(error.hint);
      offset = Number.parseInt(error.hint.split('-')[1]!, 10);
    }
  }
  return { values, gaps };
}

/** Resolves when everything appended so far is on disk. */
export function synced(log: PartitionLog): Promise<void> {
  const end = log.logEnd;
  if (log.syncedEnd >= end) return Promise.resolve();
  return new Promise((resolve, reject) => {
    log.onFailed = reject;
    log.onSynced = (syncedEnd) => {
      if (syncedEnd >= end) resolve();
    };
  });
}
