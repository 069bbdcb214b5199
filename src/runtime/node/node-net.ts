import * as net from 'node:net';
import type { Logger } from '../../base/logger.js';
import type { RegionStats } from '../file-region.js';
import { type Address, type Connection, type Listener, type Net, NetError } from '../net.js';
import type { KernelCalls } from './kernel-calls.js';
import { toNetError } from './node-net-error.js';
import { ReadBuffer } from './read-buffer.js';
import { RegionSender } from './region-sender.js';

/** Connections that may wait to be accepted: a restart's rush of returning clients must not be refused. */
const acceptBacklog = 4_096;

class NodeListener implements Listener {
  readonly address: Address;
  readonly #server: net.Server;

  constructor(server: net.Server, address: Address) {
    this.#server = server;
    this.address = address;
  }

  close(): Promise<void> {
    // The socket stops listening at once; the server's own event would also wait for every accepted connection.
    this.#server.close();
    return Promise.resolve();
  }
}

/** The system's TCP. */
export class NodeNet implements Net {
  readonly #logger: Logger;
  readonly #sender: RegionSender;
  readonly #readBuffer: ReadBuffer;

  constructor(logger: Logger) {
    this.#logger = logger;
    this.#sender = new RegionSender(logger);
    this.#readBuffer = new ReadBuffer(this.#sender);
  }

  get regions(): RegionStats {
    return this.#sender;
  }

  /** From now on regions of files are sent by the kernel where it can. */
  useKernel(kernel: KernelCalls): void {
    this.#sender.useKernel(kernel);
  }

  listen(address: Address, accept: (connection: Connection) => void): Promise<Listener> {
    const what = `listen on ${address.host}:${address.port}`;
    return new Promise((resolve, reject) => {
      const server = net.createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
        accept(this.#readBuffer.accepted(socket));
      });
      const failed = (error: Error): void => reject(toNetError(what, error));
      server.once('error', failed);
      server.listen({ host: address.host, port: address.port, backlog: acceptBacklog }, () => {
        server.off('error', failed);
        server.on('error', (error) => this.#logger.warn({ error: error.message }, `${what}: a connection was lost`));
        const bound = server.address() as net.AddressInfo;
        resolve(new NodeListener(server, { host: bound.address, port: bound.port }));
      });
    });
  }

  dial(address: Address, timeoutMs: number): Promise<Connection> {
    const what = `connect to ${address.host}:${address.port}`;
    return new Promise((resolve, reject) => {
      const { onread, connection } = this.#readBuffer.reader();
      const options = { host: address.host, port: address.port, allowHalfOpen: true, noDelay: true };
      const socket = net.connect({ ...options, onread });
      socket.pause(); // Nothing is read before the connection is started.
      const timeout = setTimeout(() => {
        socket.destroy();
        reject(new NetError('ETIMEDOUT', `${what}: no answer within ${timeoutMs} ms`));
      }, timeoutMs);
      const failed = (error: Error): void => {
        clearTimeout(timeout);
        reject(toNetError(what, error));
      };
      socket.once('error', failed);
      socket.once('connect', () => {
        clearTimeout(timeout);
        socket.off('error', failed);
        resolve(connection(socket));
      });
    });
  }
}
