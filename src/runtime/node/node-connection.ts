import type * as net from 'node:net';
import { FileRegion, type Piece, releasePieces } from '../file-region.js';
import { type Address, type Connection, type ConnectionEvents, NetError } from '../net.js';
import { toNetError } from './node-net-error.js';
import type { RegionSender } from './region-sender.js';
import { SocketQueue } from './socket-queue.js';

/** Up to so many bytes, the chunks of one write are copied together: cheaper than a vector of many small ones. */
const joinBytesMax = 16 * 1024;

/** Takes a chunk that is good until it returns; false asks the socket to stop reading. */
export type Receive = (chunk: Uint8Array) => boolean;

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
  readonly #sender: RegionSender;
  /** From the first region of a file on. */
  #queue: SocketQueue | undefined;
  #hasEnded = false;
  readonly #receiveInto: ((receive: Receive) => void) | undefined;
  #events: ConnectionEvents | undefined;
  #error: Error | undefined;
  #isClosed = false;
  #isPaused = false;
  /**
   * What came after `pause`, to be told after `resume`: Node may read once more, at most a buffer full, when a socket
   * is paused soon after it was resumed.
   */
  #held: (() => void)[] = [];
  #releasePlanned = false;

  constructor(socket: net.Socket, sender: RegionSender, receiveInto?: (receive: Receive) => void) {
    this.#socket = socket;
    this.#sender = sender;
    this.#receiveInto = receiveInto;
    this.local = { host: socket.localAddress ?? '', port: socket.localPort ?? 0 };
    this.remote = { host: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
    socket.on('error', (error) => {
      this.#error ??= toNetError(`connection with ${this.remote.host}:${this.remote.port}`, error);
    });
    socket.on('close', this.#ended);
  }

  get queuedBytes(): number {
    return this.#socket.writableLength + (this.#queue?.bytes ?? 0);
  }

  start(events: ConnectionEvents): void {
    this.#events = events;
    if (this.#isClosed) {
      setImmediate(() => events.closed(this.#error));
      return;
    }
    if (this.#receiveInto !== undefined) this.#receiveInto(this.#receive);
    else this.#socket.on('data', this.#receive);
    this.#socket.on('end', () => this.#tell(() => events.end()));
    this.#socket.resume();
  }

  write(pieces: readonly Piece[]): void {
    if (this.#hasEnded || !this.#socket.writable) releasePieces(pieces);
    else if (this.#queue?.isEmpty !== false && !hasRegion(pieces)) this.#writeBytes(pieces as readonly Uint8Array[]);
    else {
      this.#queue ??= new SocketQueue(this.#socket, this.#sender, this.#drained, this.#regionFailed);
      this.#queue.add(pieces);
    }
  }

  #writeBytes(chunks: readonly Uint8Array[]): void {
    const socket = this.#socket;
    if (chunks.length === 0) return;
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
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    if (this.#queue !== undefined) this.#queue.end();
    else if (this.#socket.writable) this.#socket.end();
  }

  reset(): void {
    this.#held = [];
    this.#queue?.die();
    if (!this.#socket.destroyed) this.#socket.resetAndDestroy();
  }

  pause(): void {
    this.#isPaused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#held.length === 0) this.#socket.resume();
    else if (!this.#releasePlanned) {
      this.#releasePlanned = true;
      setImmediate(this.#release);
    }
  }

  readonly #receive = (chunk: Uint8Array): boolean => {
    if (this.#isPaused || this.#held.length > 0) {
      const copy = chunk.slice();
      this.#held.push(() => this.#events!.data(copy));
    } else this.#events!.data(chunk);
    return !this.#isPaused;
  };

  #tell(what: () => void): void {
    if (this.#isPaused || this.#held.length > 0) this.#held.push(what);
    else what();
  }

  readonly #release = (): void => {
    this.#releasePlanned = false;
    while (!this.#isPaused) {
      const next = this.#held.shift();
      if (next === undefined) {
        this.#socket.resume();
        return;
      }
      next();
    }
  };

  readonly #ended = (): void => {
    this.#isClosed = true;
    this.#queue?.die();
    const events = this.#events;
    if (events === undefined) return;
    if (this.#error !== undefined) this.#held = []; // Cut: what was not told is lost.
    if (this.#held.length > 0) this.#held.push(() => events.closed(undefined));
    else events.closed(this.#error);
  };

  readonly #written = (error: Error | null | undefined): void => {
    if (error || this.#isClosed) return;
    this.#queue?.socketDrained();
    this.#drained();
  };

  readonly #drained = (): void => {
    if (!this.#isClosed) this.#events?.drained();
  };

  readonly #regionFailed = (error: Error): void => {
    this.#error ??= error;
    const fields = { peer: this.remote, error: error.message };
    // Clients go when they like; a file that can't be read is ours to see to.
    if (error instanceof NetError) this.#sender.logger.debug(fields, 'a connection was cut');
    else this.#sender.logger.error(fields, 'a connection was cut');
    if (!this.#socket.destroyed) this.#socket.resetAndDestroy();
  };
}

function hasRegion(pieces: readonly Piece[]): boolean {
  for (const piece of pieces) if (piece instanceof FileRegion) return true;
  return false;
}
