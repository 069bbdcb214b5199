import { TaskdError } from '../../src/base/errors.js';
import type { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { Flag, type Frame, Kind } from '../../src/wire/frame.js';
import { FrameDecoder } from '../../src/wire/frame-decoder.js';
import { helloLimits, openLimits } from '../../src/wire/frame-limits.js';
import { FrameWriter, OutboundFrame } from '../../src/wire/frame-writer.js';
import { methods } from '../../src/wire/methods.js';

const table = [...methods.values()];
const bytesMax = 600;

/** Feeds a decoder with random buffers, one at each step, and throws when it does anything but decode or refuse. */
export class DecoderFuzz {
  frames = 0;
  refusals = 0;
  /** Messages inside whole frames that Protobuf refused. */
  badMessages = 0;
  capacityMax = 0;
  readonly #random: SeededRandom;
  readonly #writer = new FrameWriter();

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  step(): void {
    const random = this.#random;
    const limits = random.below(2) === 0 ? helloLimits : openLimits;
    const decoder = new FrameDecoder(limits, (frame) => this.#look(frame));
    const bytes = this.#bytes();
    let at = 0;
    try {
      while (at < bytes.length) {
        const end = Math.min(bytes.length, at + 1 + random.below(bytes.length));
        decoder.feed(bytes.subarray(at, end));
        this.capacityMax = Math.max(this.capacityMax, decoder.capacityBytes);
        if (decoder.gatheredBytes > end) throw new Error('more is kept than was fed');
        if (decoder.capacityBytes > 2 * bytesMax + 256) throw new Error('the gathering buffer is too large');
        at = end;
      }
    } catch (error) {
      if (!(error instanceof TaskdError)) throw error;
      this.refusals++;
    }
  }

  #look(frame: Frame): void {
    this.frames++;
    if (frame.metaEnd > frame.payloadEnd || frame.payloadEnd > frame.buffer.length)
      throw new Error('a part lies outside');
    const method = methods.get(frame.method);
    if (method === undefined) return;
    try {
      frame.decode(method.request);
    } catch {
      this.badMessages++;
    }
  }

  /** Random bytes, random bytes behind a plausible length, or true frames with some bytes changed. */
  #bytes(): Buffer {
    const random = this.#random;
    const way = random.below(3);
    if (way === 2) return this.#damaged();
    const bytes = Buffer.from(random.bytes(1 + random.below(bytesMax)));
    if (way === 1 && bytes.length >= 16) {
      bytes.writeUInt32BE(12 + random.below(bytes.length), 0);
      bytes[4] = 1 + random.below(12);
      bytes[5] = random.below(4) === 0 ? Flag.CRC : 0;
      bytes.writeUInt16BE(table[random.below(table.length)]!.id, 6);
      bytes.writeUInt32BE(random.below(bytes.length), 12);
    }
    return bytes;
  }

  #damaged(): Buffer {
    const random = this.#random;
    const count = 1 + random.below(4);
    const out = new OutboundFrame();
    for (let i = 0; i < count; i++) {
      out.kind = Kind.REQ;
      out.flags = random.below(2) === 0 ? Flag.CRC : 0;
      out.method = table[random.below(table.length)]!.id;
      out.correlation = random.u32();
      out.payload = [random.bytes(random.below(64))];
      out.deadlineMs = random.below(1_000);
      this.#writer.write(out, openLimits);
    }
    const bytes = Buffer.concat(this.#writer.take() as Uint8Array[]);
    for (let changes = random.below(4); changes > 0; changes--) bytes[random.below(bytes.length)] = random.below(256);
    return bytes;
  }
}
