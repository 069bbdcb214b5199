import * as net from 'node:net';
import { NodeConnection, type Receive } from './node-connection.js';
import type { RegionSender } from './region-sender.js';

/**
 * Bytes of the buffer that all connections read into. One serves all: the loop reads a socket and hands the bytes over
 * before it reads the next one, and a chunk is only good until its callback returns.
 */
const readBufferBytes = 1024 * 1024;

/** The part of Node's handle that an accepted connection is moved by. */
type AcceptedSocket = net.Socket & { _handle?: object | null };

/**
 * Connections that read into one buffer. Node's ordinary way is a buffer of 64 KiB for each read: at hundreds of megabytes
 * a second such memory outside the heap makes the garbage collector mark the whole heap all the time, and small reads cut
 * large frames in pieces that must be gathered.
 */
export class ReadBuffer {
  readonly #sender: RegionSender;
  /** Not a Buffer, whose `slice` would give whoever means to keep a chunk a view that changes under its hands. */
  #bytes: Uint8Array | undefined;

  constructor(sender: RegionSender) {
    this.#sender = sender;
  }

  /** Options for a socket, and what makes a connection of it. */
  reader(): { readonly onread: net.OnReadOpts; connection(socket: net.Socket): NodeConnection } {
    let receive: Receive | undefined;
    this.#bytes ??= new Uint8Array(readBufferBytes);
    return {
      onread: {
        buffer: this.#bytes,
        callback: (count, buffer) => receive?.(buffer.subarray(0, count)) ?? false,
      },
      connection: (socket) =>
        new NodeConnection(socket, this.#sender, (data) => {
          receive = data;
        }),
    };
  }

  /**
   * A connection for a socket that a server has accepted and paused. A server takes no `onread`, so the handle moves to a
   * socket that does; where Node has no such handle any more, the connection reads in the ordinary way.
   */
  accepted(socket: AcceptedSocket): NodeConnection {
    const handle = socket._handle;
    if (typeof handle !== 'object' || handle === null) return new NodeConnection(socket, this.#sender);
    socket._handle = null;
    const { onread, connection } = this.reader();
    const options = { handle, allowHalfOpen: true, pauseOnCreate: true, onread };
    return connection(new net.Socket(options as net.SocketConstructorOpts));
  }
}
