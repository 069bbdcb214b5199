/** Delayed records as they travel through the ladder, and the batches in which movers carry them. */
import { delayMsMax } from '../../base/delay-level.js';
import { BatchBuilder } from '../../batch/builder.js';
import { Attribute, BatchClass, headerBytes, readHeader } from '../../batch/header.js';
import { type NewRecord, RecordError, readRecords, type StoredRecord } from '../../batch/record.js';
import type { ProducedBatch } from '../produced-batches.js';
import type { ReadBatch } from './batch-cursor.js';

/** A delayed record on its way; its bytes are views of the batch in which it was read. */
export interface Delayed {
  readonly offset: number;
  readonly record: StoredRecord;
  /** When its producer made it. */
  readonly timestampMs: number;
  /** About what it takes in memory and in a batch. */
  readonly bytes: number;
}

/** Clients' clocks may differ from this one by so much. */
export const clockSlackMs = 60_000;
/** No record in the ladder is due later than this after it was stored. */
export const aheadMsMax: number = delayMsMax + clockSlackMs;

/** Fields of a record besides key, value and headers, with some room. */
const overheadBytes = 64;

/** Calls `each` for the delayed records of a batch from the offset `from` on; a batch without any is skipped. */
export function eachDelayed({ header, bytes }: ReadBatch, from: number, each: (delayed: Delayed) => void): void {
  if (!(header.attributes & Attribute.DELAYED)) return;
  const { baseOffset, baseTimestamp, recordCount } = header;
  try {
    readRecords(bytes.subarray(headerBytes), baseOffset, recordCount, (record) => {
      if (record.offset < from) return;
      const { key, value, headers, timestampDelta } = record;
      let size = overheadBytes + (key?.length ?? 0) + (value?.length ?? 0);
      for (const { name, value: text } of headers) size += name.length + text.length + 8;
      each({ offset: record.offset, record, timestampMs: baseTimestamp + timestampDelta, bytes: size });
    });
  } catch (error) {
    // Brokers read every delayed batch before they take it, and its CRC holds.
    if (!(error instanceof RecordError)) throw error;
  }
}

/** One number for where a delayed record was first stored, never 0: what it is cancelled by, wherever it is. */
export function originOf(level: number, offset: number): number {
  return offset * 16 + level + 1;
}

export interface MoverFields {
  readonly producerId: number;
  readonly baseSequence: number;
  readonly lastSequence: number;
}

/** How a record goes on: all fields are there each time, in this order, which keeps the codec fast. */
export interface Onward extends Required<NewRecord> {}

/** A mover's batch of `records`, each as `rewrite` has it, with the time that it had. */
export function moverBatch<T extends Delayed>(
  records: readonly T[],
  fields: MoverFields,
  rewrite: (delayed: T, timestampDelta: number) => Onward,
): ProducedBatch {
  let baseTimestamp = Number.POSITIVE_INFINITY;
  for (const { timestampMs } of records) baseTimestamp = Math.min(baseTimestamp, timestampMs);
  const builder = new BatchBuilder();
  for (const delayed of records) {
    const isIn = builder.append(rewrite(delayed, delayed.timestampMs - baseTimestamp));
    if (!isIn) throw new Error('taskd bug: the records of a mover do not fit in a batch');
  }
  const attributes = Attribute.MOVER;
  const bytes = builder.finish({ baseTimestamp, batchClass: BatchClass.CLIENT, attributes, ...fields });
  const header = readHeader(bytes, 0);
  if (typeof header === 'string') throw new Error(`taskd bug: a mover's batch has no header (${header})`);
  return { header, bytes };
}
