import { type BatchHeader, bodyIsIntact, readHeader } from '../batch/header.js';

/** A batch in an answer: where it is, and its header, whose CRC fits. */
export interface FetchedBatch {
  readonly at: number;
  readonly header: BatchHeader;
}

export interface FetchedBatches {
  /** Those that are of use, in order, the first with the offset that was asked for. */
  readonly batches: readonly FetchedBatch[];
  /** The offset to ask for next. */
  readonly end: number;
  /** What is wrong after them. */
  readonly problem: string | undefined;
}

/**
 * Finds the batches in the payload of a fetch from `offset`, by their headers alone: the bodies are looked at when it is
 * their turn, while the next answer is on its way. Batches that end before `offset` are left out; one that begins
 * beyond what comes next is a problem, since a log has no gaps. Never throws, whatever the bytes.
 */
export function findBatches(payload: Uint8Array, offset: number): FetchedBatches {
  const batches: FetchedBatch[] = [];
  let end = offset;
  for (let at = 0; at < payload.length; ) {
    const header = readHeader(payload, at);
    if (typeof header === 'string') return { batches, end, problem: header };
    if (at + header.length > payload.length) return { batches, end, problem: 'short' };
    if (header.baseOffset > end) return { batches, end, problem: 'order' };
    const next = header.baseOffset + header.recordCount;
    if (next > end) {
      batches.push({ at, header });
      end = next;
    }
    at += header.length;
  }
  return { batches, end, problem: undefined };
}

/** The whole batch, or undefined when its body is not what its producer sealed. */
export function checkedBatch(payload: Uint8Array, { at, header }: FetchedBatch): Uint8Array | undefined {
  return bodyIsIntact(payload, at, header) ? payload.subarray(at, at + header.length) : undefined;
}
