import { connect, createServer, type Server, type Socket } from 'node:net';

/**
 * A TCP proxy to a port of 127.0.0.1 that can be cut as a network is: connections stay open and nothing comes through.
 * What was sent meanwhile comes when it is healed, as TCP sends it again; new connections get nowhere until then.
 */
export class CutProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** What happens once it is healed. */
  #waiting: (() => void)[] = [];
  #isCut = false;

  private constructor(server: Server) {
    this.#server = server;
  }

  static start(port: number): Promise<CutProxy> {
    return new Promise((resolve, reject) => {
      const server = createServer((socket) => {
        const join = (): void => {
          if (!socket.destroyed) proxy.#join(socket, connect({ port, host: '127.0.0.1' }));
        };
        socket.on('error', () => socket.destroy());
        if (proxy.#isCut) proxy.#waiting.push(join);
        else join();
      });
      const proxy = new CutProxy(server);
      server.once('error', reject);
      server.listen(0, '127.0.0.1', () => resolve(proxy));
    });
  }

  /** host:port */
  get listen(): string {
    const address = this.#server.address();
    return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  }

  cut(isCut: boolean): void {
    this.#isCut = isCut;
    for (const socket of this.#sockets) {
      if (isCut) socket.pause();
      else socket.resume();
    }
    if (isCut) return;
    for (const act of this.#waiting.splice(0)) act();
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #join(a: Socket, b: Socket): void {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay();
      from.on('data', (chunk) => to.write(chunk));
      from.on('error', () => from.destroy());
      from.on('close', () => {
        this.#sockets.delete(from);
        // The other end can't hear of it during a cut.
        if (this.#isCut) this.#waiting.push(() => to.destroy());
        else to.destroy();
      });
      if (this.#isCut) from.pause();
    }
  }
}
