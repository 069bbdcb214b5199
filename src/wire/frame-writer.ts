/**
 * Encodes frames into a slab that leaves the connection as it is: meta is written by Protobuf straight to its place and
 * the header is filled in afterwards. Small payloads are copied beside it, large ones go by reference.
 *
 * A slab that was taken is never written again where it was taken; the next frames follow behind, and when it is nearly
 * full a new one begins.
 */
import { writeU32 } from '../base/bytes.js';
import { crc32 } from '../base/crc32.js';
import { assert, ErrorCode, TaskdError } from '../base/errors.js';
import { bytesOf, FileRegion, type Piece, releasePieces } from '../runtime/file-region.js';
import { Encoded } from './encoded.js';
import { crcBytes, Flag, headerBytes } from './frame.js';
import { checkLength, type FrameLimits } from './frame-decoder.js';
import type { Codec } from './methods.js';
import protobuf from './protobuf.js';

/** A new slab has room for some turns like the last one: an idle connection keeps little, a busy one allocates seldom. */
const slabBytesMin = 512;
const slabBytesMax = 64 * 1024;
const slabTurns = 16;
/** Payloads up to this are copied: cheaper than a chunk of their own. */
const copyBytesMax = 4 * 1024;

/** Field 14 of a request that opens a stream, and field 15 of every request, as Protobuf tags. */
const creditTag = 14 << 3;
const deadlineTag = 15 << 3;

/** A frame to be sent. One object may serve many: it is encoded before `write` returns. */
export class OutboundFrame {
  kind = 0;
  flags = 0;
  method = 0;
  correlation = 0;
  /** Without a codec the meta is empty. */
  codec: Codec<unknown> | undefined;
  /** Or `Encoded`. */
  message: unknown;
  /** Regions of files only without the CRC flag: their bytes are not looked at here. */
  payload: readonly Piece[] | undefined;
  /** Appended to a request's meta when not 0. */
  credit = 0;
  deadlineMs = 0;
}

type SlabWriter = InstanceType<typeof protobuf.BufferWriter>;

export class FrameWriter {
  readonly #writer: SlabWriter = new protobuf.BufferWriter();
  /** Where the bytes that were not taken yet begin in the slab. */
  #start = 0;
  /** What precedes the slab's open part. */
  #pieces: Piece[] = [];
  #pieceBytes = 0;
  /** Bytes of slab since the last take. */
  #slabBytes = 0;

  constructor() {
    this.#writer.buf = Buffer.allocUnsafeSlow(slabBytesMin);
  }

  /** Bytes written and not taken. */
  get pendingBytes(): number {
    return this.#pieceBytes + this.#writer.pos - this.#start;
  }

  /**
   * Encodes `frame`. Throws TOO_LARGE above the limits, INVALID when a value can't be encoded; nothing is written then.
   */
  write(frame: OutboundFrame, limits: FrameLimits): void {
    const writer = this.#writer;
    const begin = writer.pos;
    try {
      this.#encode(frame, begin, limits);
    } catch (error) {
      writer.pos = begin;
      if (error instanceof TaskdError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new TaskdError(ErrorCode.INVALID, `a message that can't be encoded: ${reason}`, { cause: error });
    }
  }

  #encode(frame: OutboundFrame, begin: number, limits: FrameLimits): void {
    const writer = this.#writer;
    writer.fixed32(0);
    writer.fixed32(0);
    writer.fixed32(0);
    writer.fixed32(0);
    if (frame.message instanceof Encoded) writer.raw(frame.message.bytes);
    else if (frame.codec !== undefined) frame.codec.encode(frame.message, writer);
    if (frame.credit !== 0) writer.uint32(creditTag).uint32(frame.credit);
    if (frame.deadlineMs !== 0) writer.uint32(deadlineTag).uint32(frame.deadlineMs);
    const metaBytes = writer.pos - begin - headerBytes;
    const payload = frame.payload;
    const payloadBytes = payload === undefined ? 0 : bytesOf(payload);
    const hasCrc = (frame.flags & Flag.CRC) !== 0;
    const length = headerBytes - 4 + metaBytes + payloadBytes + (hasCrc ? crcBytes : 0);
    if (length > limits.anyMethodMax) checkLength(length, frame.method, limits);
    const buffer = writer.buf;
    writeU32(buffer, begin, length);
    buffer[begin + 4] = frame.kind;
    buffer[begin + 5] = frame.flags;
    buffer[begin + 6] = frame.method >>> 8;
    buffer[begin + 7] = frame.method;
    writeU32(buffer, begin + 8, frame.correlation);
    writeU32(buffer, begin + 12, metaBytes);
    let crc = hasCrc ? crc32(buffer.subarray(begin + 4, writer.pos)) : 0;
    if (payload !== undefined && payloadBytes > 0) {
      if (hasCrc) crc = crcOf(payload, crc);
      if (payloadBytes <= copyBytesMax && isAllBytes(payload)) for (const chunk of payload) writer.raw(chunk);
      else {
        this.#cut();
        for (const piece of payload) this.#pieces.push(piece);
        this.#pieceBytes += payloadBytes;
      }
    }
    if (hasCrc) {
      writer.fixed32(0);
      writeU32(writer.buf, writer.pos - crcBytes, crc);
    }
  }

  /** Raw bytes that are no frame: the preface. They are copied. */
  raw(bytes: Uint8Array): void {
    this.#writer.raw(bytes);
  }

  /** All that was written since the last take, in order; the slab's part may not be changed by anybody any more. */
  take(): readonly Piece[] {
    this.#cut();
    const pieces = this.#pieces;
    this.#pieces = [];
    const turnBytes = this.#slabBytes;
    this.#slabBytes = 0;
    this.#pieceBytes = 0;
    const writer = this.#writer;
    const restBytes = writer.buf.length - writer.pos;
    if (restBytes < turnBytes || restBytes < slabBytesMin / 2 || writer.buf.length > slabBytesMax) {
      writer.buf = Buffer.allocUnsafeSlow(Math.min(slabBytesMax, Math.max(slabBytesMin, turnBytes * slabTurns)));
      writer.view = null;
      writer.pos = 0;
      this.#start = 0;
    }
    return pieces;
  }

  /** Forgets what was written since the last take. */
  drop(): void {
    releasePieces(this.take());
  }

  /** Closes the slab's open part. */
  #cut(): void {
    const { buf, pos } = this.#writer;
    if (pos === this.#start) return;
    this.#pieces.push(buf.subarray(this.#start, pos));
    this.#pieceBytes += pos - this.#start;
    this.#slabBytes += pos - this.#start;
    this.#start = pos;
  }
}

function isAllBytes(payload: readonly Piece[]): payload is readonly Uint8Array[] {
  for (const piece of payload) if (piece instanceof FileRegion) return false;
  return true;
}

function crcOf(payload: readonly Piece[], crc: number): number {
  for (const piece of payload) {
    assert(!(piece instanceof FileRegion), 'a frame with its own CRC carries no region of a file');
    crc = crc32(piece, crc);
  }
  return crc;
}
