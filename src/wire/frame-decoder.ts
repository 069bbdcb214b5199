/**
 * Cuts a stream of bytes into frames, without a socket and without a promise.
 *
 * Frames that lie whole in the chunk are handed on as views of it. Only the one frame that crosses chunks is gathered,
 * in a buffer that doubles as bytes arrive; the announced length alone never allocates anything, and it is compared
 * with its limit before a byte beyond the header is kept. A server's decoders share a budget for those buffers, which
 * frames that lie whole in their chunk never meet. The idea of too short → wait, too long → fail at once is that
 * of Netty's LengthFieldBasedFrameDecoder.
 */
import { readU16, readU32 } from '../base/bytes.js';
import { crc32 } from '../base/crc32.js';
import { ErrorCode, TaskdError } from '../base/errors.js';
import { crcBytes, Flag, Frame, headerBytes, kindMax, lengthMin } from './frame.js';
import { freeGatherBytes, type GatherBudget } from './gather-budget.js';

/** How long a frame may be in a state of the connection. */
export interface FrameLimits {
  /** A `length` up to this is fine for every method: nothing needs to be looked up. */
  readonly anyMethodMax: number;
  /** The largest `length` of this method's frames. */
  ofMethod(method: number): number;
}

/** Throws TOO_LARGE when a frame of `method` may not be so long. */
export function checkLength(length: number, method: number, limits: FrameLimits): void {
  const limit = limits.ofMethod(method);
  if (length <= limit) return;
  throw new TaskdError(
    ErrorCode.TOO_LARGE,
    `a frame of ${length} bytes for method 0x${method.toString(16)}: at most ${limit} here; send less at once`,
  );
}

const gatherBytesMin = 256;

export class FrameDecoder {
  limits: FrameLimits;
  readonly #frame = new Frame();
  readonly #take: (frame: Frame) => void;
  readonly #budget: GatherBudget | undefined;
  /**
   * The beginning of a frame that crosses chunks. With a budget it is used again, after the turn: views of it may be held
   * until then.
   */
  #gathered: Buffer | undefined;
  #have = 0;
  /** What the budget has given for that buffer. */
  #owed = 0;
  #begun = 0;
  #isStopped = false;

  /** `take` is given each frame; the frame holds until it returns. Without a `budget` only the limits bound memory. */
  constructor(limits: FrameLimits, take: (frame: Frame) => void, budget?: GatherBudget) {
    this.limits = limits;
    this.#take = take;
    this.#budget = budget;
  }

  /** Bytes of an unfinished frame that are kept. */
  get gatheredBytes(): number {
    return this.#have;
  }

  /** Frames whose gathering has begun: tells one unfinished frame from the next. */
  get gathersBegun(): number {
    return this.#begun;
  }

  /** Memory of the gathering buffer. */
  get capacityBytes(): number {
    return this.#gathered?.length ?? 0;
  }

  /** Nothing more will be decoded: the connection is being closed. */
  stop(): void {
    this.#isStopped = true;
    this.#drop();
  }

  /**
   * Decodes `chunk`. Throws a `TaskdError`: MALFORMED, TOO_LARGE on bytes that are no frame, BUSY when the budget is used
   * up. Then only `stop` is left.
   */
  feed(chunk: Uint8Array): void {
    const buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const end = buffer.length;
    let at = this.#have === 0 ? 0 : this.#gather(buffer, 0);
    while (!this.#isStopped && end - at >= headerBytes) {
      const total = this.#check(buffer, at);
      if (end - at < total) break;
      this.#emit(buffer, at, total);
      at += total;
    }
    if (at < end && !this.#isStopped) this.#gather(buffer, at);
  }

  /** Moves bytes into the gathering buffer until its frame is whole and handed on; returns where it stopped. */
  #gather(chunk: Buffer, at: number): number {
    let needed = headerBytes;
    if (this.#have >= headerBytes) needed = this.#check(this.#gathered!, 0);
    for (;;) {
      const count = Math.min(needed - this.#have, chunk.length - at);
      this.#reserve(this.#have + count, needed);
      chunk.copy(this.#gathered!, this.#have, at, at + count);
      this.#have += count;
      at += count;
      if (this.#have < needed) {
        // Eight bytes say how long it will be and what it is: enough to refuse it.
        if (this.#have >= 8) this.#check(this.#gathered!, 0);
        return at;
      }
      const total = this.#check(this.#gathered!, 0);
      if (this.#have === total) break;
      needed = total;
    }
    const whole = this.#gathered!;
    this.#drop();
    this.#emit(whole, 0, needed);
    this.#budget?.used(whole);
    return at;
  }

  #drop(): void {
    this.#gathered = undefined;
    this.#have = 0;
    if (this.#owed === 0) return;
    this.#budget!.giveBack(this.#owed);
    this.#owed = 0;
  }

  #reserve(bytes: number, bytesMax: number): void {
    const old = this.#gathered;
    if (old !== undefined && old.length >= bytes) return;
    // One that is there already may be as large as was announced; what is allocated follows what has come.
    const spare = bytes > freeGatherBytes ? this.#budget?.spare(bytesMax) : undefined;
    const capacity =
      spare?.length ?? Math.max(bytes, Math.min(bytesMax, Math.max(gatherBytesMin, (old?.length ?? 0) * 2)));
    if (this.#budget !== undefined) this.#owed = this.#budget.grow(this.#owed, capacity);
    if (old === undefined) this.#begun++;
    this.#gathered = spare ?? Buffer.allocUnsafe(capacity);
    old?.copy(this.#gathered, 0, 0, this.#have);
  }

  /** Bytes of the whole frame at `at`, of which at least 8 are there. */
  #check(buffer: Buffer, at: number): number {
    const length = readU32(buffer, at);
    if (length < lengthMin) {
      throw new TaskdError(ErrorCode.MALFORMED, `a frame of length ${length}: the shortest is ${lengthMin}`);
    }
    if (length > this.limits.anyMethodMax) checkLength(length, readU16(buffer, at + 6), this.limits);
    return length + 4;
  }

  #emit(buffer: Buffer, at: number, total: number): void {
    const frame = this.#frame;
    const kind = buffer[at + 4]!;
    const flags = buffer[at + 5]!;
    let end = at + total;
    if ((flags & Flag.CRC) !== 0) {
      end -= crcBytes;
      if (end < at + headerBytes) throw new TaskdError(ErrorCode.MALFORMED, 'a frame too short for its CRC');
      if (crc32(buffer.subarray(at + 4, end)) !== readU32(buffer, end)) {
        throw new TaskdError(ErrorCode.MALFORMED, 'a frame whose CRC does not match its bytes');
      }
    }
    const metaBytes = readU32(buffer, at + 12);
    if (metaBytes > end - at - headerBytes) {
      throw new TaskdError(ErrorCode.MALFORMED, `a frame of length ${total - 4} with ${metaBytes} bytes of meta`);
    }
    if (kind === 0 || kind > kindMax) {
      if ((flags & Flag.IGNORABLE) !== 0) return;
      throw new TaskdError(ErrorCode.MALFORMED, `a frame of unknown kind ${kind}`);
    }
    frame.kind = kind;
    frame.flags = flags;
    frame.method = readU16(buffer, at + 6);
    frame.correlation = readU32(buffer, at + 8);
    frame.buffer = buffer;
    frame.metaStart = at + headerBytes;
    frame.metaEnd = frame.metaStart + metaBytes;
    frame.payloadEnd = end;
    this.#take(frame);
  }
}
