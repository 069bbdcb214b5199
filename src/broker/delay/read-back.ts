import { readHeader } from '../../batch/header.js';
import type { Partition } from '../partition.js';
import { type Delayed, eachDelayed } from './delayed-record.js';

const readBytes = 256 * 1024;

/** Reads the delayed records at `offsets`, in ascending order, from the log again. Those that are not there are missing. */
export async function readBack(partition: Partition, offsets: readonly number[]): Promise<Map<number, Delayed>> {
  const wanted = new Set(offsets);
  const found = new Map<number, Delayed>();
  let end = 0;
  for (const offset of offsets) {
    if (offset < end) continue;
    for (const chunk of await partition.read(offset, readBytes)) {
      for (let at = 0; at < chunk.length; ) {
        const header = readHeader(chunk, at);
        if (typeof header === 'string') return found;
        const bytes = chunk.subarray(at, at + header.length);
        eachDelayed({ header, bytes }, 0, (delayed) => {
          if (wanted.has(delayed.offset)) found.set(delayed.offset, delayed);
        });
        end = header.baseOffset + header.recordCount;
        at += header.length;
      }
    }
  }
  return found;
}
