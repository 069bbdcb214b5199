import { type BatchHeader, bodyIsIntact, headerBytes, isControl, readHeader } from '../batch/header.js';
import type { FileHandle } from '../runtime/files.js';

const windowBytes = 1 << 20;

/** Where a scan stands: the next batch must have this offset, and at least this term and append timestamp. */
export interface ScanPoint {
  readonly position: number;
  readonly offset: number;
  readonly term: number;
  readonly timestampMs: number;
}

/** Where a scan stopped and why: the file's end, zeros, or the first thing that is wrong with a batch. */
export interface ScanEnd extends ScanPoint {
  readonly why: 'end' | 'zeros' | 'short' | 'magic' | 'length' | 'headerCrc' | 'field' | 'bodyCrc' | 'order';
}

/**
 * Reads batch after batch from `from` up to byte `limit` and tells each whole one to `visit`. Stops at the first batch
 * that isn't whole, intact and in order: both CRCs, consecutive offsets, terms and timestamps that never fall.
 * Memory is bounded by one window or one batch. With `headersOnly`, bodies are not checked, nor, where they are large,
 * read, except those of control batches, which `visit` gets.
 */
export async function scanSegment(
  handle: FileHandle,
  from: ScanPoint,
  limit: number,
  visit: (header: BatchHeader, position: number, control: Uint8Array | undefined) => void,
  headersOnly = false,
): Promise<ScanEnd> {
  let { position, offset, term, timestampMs } = from;
  // One buffer for all windows: what `visit` gets is good while it runs.
  let buffer: Uint8Array = new Uint8Array(0);
  let window: Uint8Array = buffer;
  let windowFrom = position;
  const stop = (why: ScanEnd['why']): ScanEnd => ({ position, offset, term, timestampMs, why });
  for (;;) {
    if (position >= limit) return stop('end');
    const at = position - windowFrom;
    const header = readHeader(window, at);
    const skipsBody = headersOnly && typeof header !== 'string' && !isControl(header);
    const need = typeof header === 'string' || skipsBody ? headerBytes : header.length;
    if (at + need > window.length) {
      if (window.length > 0 && windowFrom + window.length >= limit) {
        return stop(isZero(window, at, window.length) ? 'zeros' : 'short');
      }
      const length = Math.min(limit - position, Math.max(need, windowBytes));
      if (buffer.length < length) buffer = Buffer.allocUnsafeSlow(length);
      window = buffer.subarray(0, await handle.read(buffer.subarray(0, length), position));
      windowFrom = position;
      if (window.length < need) return stop(isZero(window, 0, window.length) ? 'zeros' : 'short');
      continue;
    }
    if (typeof header === 'string') return stop(isZero(window, at, at + headerBytes) ? 'zeros' : header);
    if (position + header.length > limit) return stop('short');
    if (!skipsBody && !bodyIsIntact(window, at, header)) return stop('bodyCrc');
    if (header.baseOffset !== offset || header.term < term || header.appendTimestamp < timestampMs) {
      return stop('order');
    }
    visit(header, position, isControl(header) ? window.subarray(at, at + header.length) : undefined);
    position += header.length;
    offset += header.recordCount;
    term = header.term;
    timestampMs = header.appendTimestamp;
  }
}

/** The bytes of a file in [from, to), fewer where the file ends before. */
export async function readRange(handle: FileHandle, from: number, to: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(to - from);
  const count = await handle.read(bytes, from);
  return count === bytes.length ? bytes : bytes.subarray(0, count);
}

/** Position after the last byte in [from, to) that isn't zero; `from` when all are. */
export async function endOfContent(handle: FileHandle, from: number, to: number): Promise<number> {
  let end = from;
  for (let at = from; at < to; at += windowBytes) {
    const bytes = await readRange(handle, at, Math.min(to, at + windowBytes));
    for (let i = bytes.length - 1; i >= 0; i--) {
      if (bytes[i] === 0) continue;
      end = at + i + 1;
      break;
    }
  }
  return end;
}

function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== 0) return false;
  return true;
}
