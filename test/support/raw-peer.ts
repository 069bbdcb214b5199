import { connect, type Socket } from 'node:net';
import { errorCodeName } from '../../src/base/errors.js';
import type { Address } from '../../src/runtime/net.js';
import { correlationOf, type Frame, Kind } from '../../src/wire/frame.js';
import { FrameDecoder } from '../../src/wire/frame-decoder.js';
import { openLimits } from '../../src/wire/frame-limits.js';
import { FrameWriter, OutboundFrame } from '../../src/wire/frame-writer.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { hello } from '../../src/wire/methods.js';
import { preface, prefaceBytes } from '../../src/wire/preface.js';

/** A frame that was received, copied. */
export interface RawFrame {
  readonly kind: number;
  readonly method: number;
  readonly correlation: number;
  readonly meta: Uint8Array;
}

export function frameBytes(fields: Partial<Record<keyof OutboundFrame, unknown>>): Buffer {
  const writer = new FrameWriter();
  writer.write(Object.assign(new OutboundFrame(), fields), openLimits);
  return Buffer.concat(writer.take() as Uint8Array[]);
}

export function helloBytes(message: taskd.Hello.$Properties = { clientId: 'raw', kind: 'client' }): Buffer {
  const fields = { kind: Kind.REQ, method: hello.id, correlation: correlationOf(0, 1), codec: taskd.Hello, message };
  return frameBytes(fields);
}

/** A client made of nothing but a socket, for input that our own client would never send. */
export class RawPeer {
  readonly socket: Socket;
  readonly frames: RawFrame[] = [];
  /** `reset` or `end`, once the server has closed. */
  closed: string | undefined;
  bytes = 0;
  #calls = 0;
  #preface = prefaceBytes;
  readonly #decoder = new FrameDecoder(openLimits, (frame) => this.#keep(frame));
  #wake: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.bytes += chunk.length;
      const skipped = Math.min(this.#preface, chunk.length);
      this.#preface -= skipped;
      this.#decoder.feed(chunk.subarray(skipped));
      this.#changed();
    });
    socket.on('error', () => {
      this.closed ??= 'reset';
    });
    socket.on('end', () => {
      this.closed ??= 'end';
      this.#changed();
    });
    socket.on('close', () => {
      this.closed ??= 'close';
      this.#changed();
    });
  }

  static async open(address: Address): Promise<RawPeer> {
    const socket = connect({ ...address, allowHalfOpen: true });
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new RawPeer(socket);
  }

  /** Connects and says hello. */
  static async greeted(address: Address): Promise<RawPeer> {
    const peer = await RawPeer.open(address);
    peer.socket.write(Buffer.concat([preface, helloBytes()]));
    await peer.until(() => peer.frames.length === 1);
    peer.frames.length = 0;
    return peer;
  }

  send(...parts: Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  /** Waits until what the server sent makes it true. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  /** One request after the other: `ok` (its answer is the last of `frames`), the name of the error's code, or `cut`. */
  async ask(method: number, codec: unknown, message: unknown, payload?: readonly Uint8Array[]): Promise<string> {
    const correlation = correlationOf(0, ++this.#calls % 1_000);
    const before = this.frames.length;
    this.send(frameBytes({ kind: Kind.REQ, method, correlation, codec, message, payload }));
    await this.until(() => this.frames.length > before || this.closed !== undefined);
    const answer = this.frames[before];
    if (answer === undefined) return 'cut';
    return answer.kind === Kind.ERR ? errorCodeName(this.errorOf(answer).code) : 'ok';
  }

  errorOf(frame: RawFrame): taskd.ErrorInfo {
    return taskd.ErrorInfo.decode(Buffer.from(frame.meta));
  }

  #keep(frame: Frame): void {
    const meta = Buffer.from(frame.buffer.subarray(frame.metaStart, frame.metaEnd));
    this.frames.push({ kind: frame.kind, method: frame.method, correlation: frame.correlation, meta });
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
