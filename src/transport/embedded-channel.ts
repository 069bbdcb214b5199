import type { Clock } from '../runtime/clock.js';
import type { Piece } from '../runtime/file-region.js';
import type { Address, Connection, ConnectionEvents } from '../runtime/net.js';
import { Channel } from './channel.js';
import type { Handler } from './handler.js';

const nowhere: Address = { host: 'embedded', port: 0 };

/** A connection without a socket: it keeps what is written, and does what it is told. */
class EmbeddedConnection implements Connection {
  readonly local: Address = nowhere;
  readonly remote: Address = nowhere;
  readonly written: Piece[] = [];
  /** Stands for bytes that the kernel does not take. */
  queuedBytes = 0;
  writes = 0;
  isPaused = false;
  hasEnded = false;
  wasReset = false;
  events: ConnectionEvents | undefined;

  start(events: ConnectionEvents): void {
    this.events = events;
  }
  write(pieces: readonly Piece[]): void {
    this.writes++;
    for (const piece of pieces) this.written.push(piece);
  }
  end(): void {
    this.hasEnded = true;
  }
  reset(): void {
    this.wasReset = true;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
}

/**
 * Runs a chain of handlers without a socket, in the manner of Netty's class of that name: bytes go in by `feed`, what
 * the chain writes comes out by `take`. Who uses it holds the clock.
 */
export class EmbeddedChannel {
  readonly channel: Channel;
  readonly #connection = new EmbeddedConnection();

  constructor(clock: Clock, handlers: readonly Handler[]) {
    this.channel = new Channel(clock, this.#connection, handlers);
    this.channel.start();
  }

  /** System calls that the chain's writes would have been. */
  get writes(): number {
    return this.#connection.writes;
  }
  /** Reading was stopped. */
  get isPaused(): boolean {
    return this.#connection.isPaused;
  }
  /** Our FIN was sent. */
  get hasEnded(): boolean {
    return this.#connection.hasEnded;
  }
  get wasReset(): boolean {
    return this.#connection.wasReset;
  }

  /** Bytes from the peer. */
  feed(bytes: Uint8Array): void {
    this.#connection.events!.data(bytes);
  }

  /** The peer's FIN. */
  peerEnd(): void {
    this.#connection.events!.end();
  }

  /** The connection is over. */
  closed(error?: Error): void {
    this.#connection.events!.closed(error);
  }

  /** So many bytes lie in the socket; told as if it had drained to it. */
  queue(bytes: number): void {
    this.#connection.queuedBytes = bytes;
    this.#connection.events!.drained();
  }

  /** All that was written and flushed since the last take; there must be no region of a file in it. */
  take(): Buffer {
    return Buffer.concat(this.takePieces() as Uint8Array[]);
  }

  takePieces(): Piece[] {
    return this.#connection.written.splice(0);
  }
}
