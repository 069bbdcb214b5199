/**
 * Cuts a stream of bytes into frames, without a socket and without a promise.
 *
 * Frames that lie whole in the chunk are handed on as views of it. Only the one frame that crosses chunks is gathered,
 * in a buffer that doubles as bytes arrive; the announced length alone never allocates anything, and it is compared
 * with its limit before a byte beyond the header is kept. A server's decoders share a budget for those buffers, which
 * frames that lie whole in their chunk never meet. The idea of too short → wait, too long → fail at once is that
 * of Netty's LengthFieldBasedFrameDecoder.
 *
 * The payload of an answer need not be gathered: who wants it part by part says so when its meta is there.
 */
import { readU16, readU32 } from '../base/bytes.js';
import { crc32 } from '../base/crc32.js';
import { ErrorCode, TaskdError } from '../base/errors.js';
import { crcBytes, Flag, Frame, headerBytes, Kind, kindMax, lengthMin } from './frame.js';
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

/** Takes a payload as it comes; a part is a view that holds until the call returns. */
export type TakePart = (part: Uint8Array, isLast: boolean) => void;

/**
 * Asked for an answer that crosses chunks once its meta is there; `frame` has no payload yet, `payloadBytes` follow.
 * Returns who takes them part by part, or undefined: then the frame is gathered and handed on whole.
 */
export type OpenPayload = (frame: Frame, payloadBytes: number) => TakePart | undefined;

const gatherBytesMin = 256;

export class FrameDecoder {
  limits: FrameLimits;
  openPayload: OpenPayload | undefined;
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
  /** Who takes the payload that is on its way, and how much of it is left. */
  #takePart: TakePart | undefined;
  #partsLeft = 0;
  /** Nobody wants the payload of the gathered frame part by part. */
  #mustGather = false;
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
    this.#takePart = undefined;
    this.#drop();
  }

  /**
   * Decodes `chunk`. Throws a `TaskdError`: MALFORMED, TOO_LARGE on bytes that are no frame, BUSY when the budget is used
   * up. Then only `stop` is left.
   */
  feed(chunk: Uint8Array): void {
    const buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const end = buffer.length;
    let at = this.#takePart === undefined ? 0 : this.#passOn(buffer, 0);
    if (this.#have > 0) at = this.#gather(buffer, at);
    while (!this.#isStopped && end - at >= headerBytes) {
      const total = this.#check(buffer, at);
      if (end - at >= total) {
        this.#emit(buffer, at, total);
        at += total;
        continue;
      }
      const head = this.#head(buffer, at, total);
      if (head === 0 || end - at < head) break;
      if (!this.#isOpened(buffer, at, head, total)) {
        this.#mustGather = true;
        break;
      }
      at = this.#passOn(buffer, at + head);
    }
    if (at < end && !this.#isStopped) this.#gather(buffer, at);
  }

  /** Moves bytes into the gathering buffer until its frame is whole and handed on; returns where it stopped. */
  #gather(chunk: Buffer, at: number): number {
    for (;;) {
      const needed = this.#needed();
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
      const gathered = this.#gathered!;
      const total = this.#check(gathered, 0);
      if (this.#have === total) {
        this.#drop();
        this.#emit(gathered, 0, total);
        this.#budget?.used(gathered);
        return at;
      }
      if (this.#have > headerBytes || this.#have === this.#head(gathered, 0, total)) {
        if (this.#isOpened(gathered, 0, this.#have, total)) {
          this.#drop();
          return this.#passOn(chunk, at);
        }
        this.#mustGather = true;
      }
    }
  }

  /** Bytes of the gathered frame that are needed next: its header, then perhaps its meta, then all. */
  #needed(): number {
    if (this.#have < headerBytes) return headerBytes;
    const total = this.#check(this.#gathered!, 0);
    const head = this.#mustGather ? 0 : this.#head(this.#gathered!, 0, total);
    return this.#have < head ? head : total;
  }

  /** Bytes before the payload of an answer that may go part by part; 0 when there is none. */
  #head(buffer: Buffer, at: number, total: number): number {
    if (this.openPayload === undefined || this.#mustGather) return 0;
    if (buffer[at + 4] !== Kind.RES || (buffer[at + 5]! & Flag.CRC) !== 0) return 0;
    const head = headerBytes + readU32(buffer, at + 12);
    return head < total ? head : 0;
  }

  /** Asks whether somebody takes the payload of the frame at `at` part by part. */
  #isOpened(buffer: Buffer, at: number, head: number, total: number): boolean {
    const frame = this.#frame;
    frame.kind = buffer[at + 4]!;
    frame.flags = buffer[at + 5]!;
    frame.method = readU16(buffer, at + 6);
    frame.correlation = readU32(buffer, at + 8);
    frame.buffer = buffer;
    frame.metaStart = at + headerBytes;
    frame.metaEnd = frame.payloadEnd = at + head;
    this.#takePart = this.openPayload!(frame, total - head);
    this.#partsLeft = total - head;
    return this.#takePart !== undefined;
  }

  /** Hands on what the chunk has of the payload; returns where it stopped. */
  #passOn(chunk: Buffer, at: number): number {
    const take = this.#takePart!;
    const to = Math.min(chunk.length, at + this.#partsLeft);
    this.#partsLeft -= to - at;
    const isLast = this.#partsLeft === 0;
    if (isLast) this.#takePart = undefined;
    if (to > at || isLast) take(chunk.subarray(at, to), isLast);
    return to;
  }

  #drop(): void {
    this.#gathered = undefined;
    this.#have = 0;
    this.#mustGather = false;
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
