/**
 * The records that movers write into their own level, beside the delayed records: up to where each cursor has come. A
 * mover starts where the last one says, and the log may be trimmed up to the lower of the two.
 */
import { BatchClass, batchClass, headerBytes, isControl, readHeader } from '../../batch/header.js';
import { type NewRecord, readRecords } from '../../batch/record.js';
import { taskd } from '../../wire/generated/messages.js';
import type { Partition } from '../partition.js';

/** Type of a record in a level. Format: never reuse a number. 0 is a delayed record. */
const moved = 1;

/** Offsets: every record below is moved, as far as it is that cursor's. */
export interface Moved {
  readonly express: number;
  readonly due: number;
}

export function movedRecord(place: Moved): NewRecord {
  return { type: moved, value: taskd.DelayMoved.encode(place).finish() };
}

const stepRecords = 256;
const readBytes = 1024 * 1024;

/**
 * The last `Moved` that is committed; without one, the log's start. Cursors write one within a second after they have
 * passed a record, and the express cursor follows the log's end, so it is looked for backwards from there.
 */
export async function lastMoved(partition: Partition): Promise<Moved> {
  const { logStart, highWatermark } = partition;
  let end = highWatermark;
  for (let step = stepRecords; end > logStart; step *= 4) {
    const from = Math.max(logStart, end - step);
    const found = await lastMovedIn(partition, from, end);
    if (found !== undefined) return { express: Math.max(found.express, logStart), due: Math.max(found.due, logStart) };
    end = from;
  }
  return { express: logStart, due: logStart };
}

async function lastMovedIn(partition: Partition, from: number, end: number): Promise<Moved | undefined> {
  let found: Moved | undefined;
  for (let offset = from; offset < end; ) {
    for (const chunk of await partition.read(offset, readBytes)) {
      for (let at = 0; at < chunk.length && offset < end; ) {
        const header = readHeader(chunk, at);
        if (typeof header === 'string') return found;
        if (header.recordCount === 1 && batchClass(header) === BatchClass.OWNER && !isControl(header)) {
          found = readMoved(chunk.subarray(at + headerBytes, at + header.length)) ?? found;
        }
        offset = header.baseOffset + header.recordCount;
        at += header.length;
      }
    }
  }
  return found;
}

/** Only brokers write such batches, so one that does not parse is damaged beyond what its CRC tells. */
function readMoved(body: Uint8Array): Moved | undefined {
  let found: Moved | undefined;
  try {
    readRecords(body, 0, 1, ({ type, value }) => {
      if (type === moved && value !== undefined) found = taskd.DelayMoved.decode(value);
    });
  } catch {
    return undefined;
  }
  return found;
}
