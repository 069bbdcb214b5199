/**
 * The frame: what travels on a connection after the preface. All integers are big-endian.
 *
 *      0        4    5     6        8             12        16
 *      | length | kind|flags| method | correlation | metaLen | meta … | payload … | [crc32] |
 *
 * `length` counts what follows it. `meta` is one Protobuf message, of the type which the method table names for that
 * kind; `payload` is raw bytes beside it. With the flag CRC, a CRC-32 of all that lies between `length` and itself ends
 * the frame.
 */

import { ErrorCode, TaskdError } from '../base/errors.js';
import type { Codec } from './methods.js';
import protobuf from './protobuf.js';

export const Kind = {
  REQ: 1,
  RES: 2,
  ERR: 3,
  ONEWAY: 4,
  PUSH: 5,
  CREDIT: 6,
  CANCEL: 7,
  END: 8,
  PING: 9,
  PONG: 10,
  GOAWAY: 11,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];
export const kindMax: number = Kind.GOAWAY;

export const Flag = {
  /** A CRC-32 ends the frame. */
  CRC: 1,
  /** Who does not know the frame's kind skips it; without this flag an unknown kind ends the connection. */
  IGNORABLE: 2,
} as const;

/** Bytes before `meta`. */
export const headerBytes = 16;
/** The least that `length` can be. */
export const lengthMin: number = headerBytes - 4;
export const crcBytes = 4;

/** A correlation is the number of a slot and, so that a late answer finds nobody, how often it was used. */
export function correlationOf(slot: number, generation: number): number {
  return ((slot << 16) | generation) >>> 0;
}
export function slotOf(correlation: number): number {
  return correlation >>> 16;
}

const noBytes: Buffer = Buffer.alloc(0);

/**
 * A frame as it was received. One object serves all frames of a decoder, so it holds only until the callback that was
 * given it returns; and its bytes are views of the receive buffer.
 */
export class Frame {
  kind = 0;
  flags = 0;
  method = 0;
  correlation = 0;
  /** The buffer that holds the frame whole, and where its parts lie in it. */
  buffer: Buffer = noBytes;
  metaStart = 0;
  metaEnd = 0;
  payloadEnd = 0;
  readonly #reader: InstanceType<typeof protobuf.BufferReader> = new protobuf.BufferReader(noBytes);

  get hasMeta(): boolean {
    return this.metaEnd > this.metaStart;
  }

  /** Bytes beside the meta. */
  get payload(): Buffer {
    return this.payloadEnd === this.metaEnd ? noBytes : this.buffer.subarray(this.metaEnd, this.payloadEnd);
  }

  /** The meta as `codec`'s message. Throws MALFORMED when the bytes are not one. */
  decode<T>(codec: Pick<Codec<T, never>, 'decode'>): T {
    const reader = this.#reader;
    reader.buf = this.buffer;
    reader.pos = this.metaStart;
    reader.len = this.metaEnd;
    reader.view = null;
    try {
      const message = codec.decode(reader);
      if (reader.pos === this.metaEnd) return message;
    } catch (error) {
      throw new TaskdError(ErrorCode.MALFORMED, `a message that can't be decoded: ${(error as Error).message}`);
    }
    throw new TaskdError(ErrorCode.MALFORMED, "a message that can't be decoded: its bytes go on behind its end");
  }
}
