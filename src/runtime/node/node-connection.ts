import type * as net from 'node:net';
import type { Address, Connection, ConnectionEvents } from '../net.js';
import { toNetError } from './node-net-error.js';

/** Up to so many bytes, the chunks of one write are copied together: cheaper than a vector of many small ones. */
const joinBytesMax = 16 * 1024;

/**
 * A connection on Node's socket.
 *
 * `receiveInto` is given for sockets that read into a buffer of their own (`onread`): it takes the function that wants
 * the bytes. Other sockets tell of data by event.
 */
export class NodeConnection implements Connection {
  readonly local: Address;
  readonly remote: Address;
  readonly #socket: net.Socket;
  readonly #receiveInto: ((data: (chunk: Uint8Array) => void) => void) | undefined;
  #events: ConnectionEvents | undefined;
  #error: Error | undefined;
  #isClosed = false;

  constructor(socket: net.Socket, receiveInto?: (data: (chunk: Uint8Array) => void) => void) {
    this.#socket = socket;
    this.#receiveInto = receiveInto;
    this.local = { host: socket.localAddress ?? '', port: socket.localPort ?? 0 };
    this.remote = { host: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
    socket.on('error', (error) => {
      this.#error ??= toNetError(`connection with ${this.remote.host}:${this.remote.port}`, error);
    });
    socket.on('close', () => {
      this.#isClosed = true;
      this.#events?.closed(this.#error);
    });
  }

  get queuedBytes(): number {
    return this.#socket.writableLength;
  }

  start(events: ConnectionEvents): void {
    if (this.#isClosed) {
      setImmediate(() => events.closed(this.#error));
      return;
    }
    this.#events = events;
    if (this.#receiveInto !== undefined) this.#receiveInto((chunk) => events.data(chunk));
    else this.#socket.on('data', (chunk: Buffer) => events.data(chunk));
    this.#socket.on('end', () => events.end());
    this.#socket.resume();
  }

  write(chunks: readonly Uint8Array[]): void {
    const socket = this.#socket;
    if (!socket.writable || chunks.length === 0) return;
    if (chunks.length === 1) {
      socket.write(chunks[0]!, this.#written);
      return;
    }
    let bytes = 0;
    for (const chunk of chunks) bytes += chunk.length;
    if (bytes <= joinBytesMax) {
      socket.write(Buffer.concat(chunks, bytes), this.#written);
      return;
    }
    socket.cork();
    const last = chunks.length - 1;
    for (let i = 0; i < last; i++) socket.write(chunks[i]!);
    socket.write(chunks[last]!, this.#written);
    socket.uncork();
  }

  end(): void {
    if (this.#socket.writable) this.#socket.end();
  }

  reset(): void {
    if (!this.#socket.destroyed) this.#socket.resetAndDestroy();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  readonly #written = (error: Error | null | undefined): void => {
    if (!error && !this.#isClosed) this.#events?.drained();
  };
}
