import { noRegions, type RegionStats } from '../file-region.js';
import { type Address, type Connection, type Listener, type Net, NetError } from '../net.js';
import type { EventLoop } from './event-loop.js';
import type { SimConnection } from './sim-connection.js';
import type { Holding, SimIncarnation } from './sim-incarnation.js';
import type { SimNetwork } from './sim-network.js';

/** Sockets of one incarnation on the world's network. */
export class SimNet implements Net {
  readonly regions: RegionStats = noRegions;
  readonly #loop: EventLoop;
  readonly #owner: SimIncarnation;
  readonly #network: SimNetwork;

  constructor(loop: EventLoop, owner: SimIncarnation, network: SimNetwork) {
    this.#loop = loop;
    this.#owner = owner;
    this.#network = network;
  }

  listen(address: Address, accept: (connection: Connection) => void): Promise<Listener> {
    return new Promise((resolve, reject) => {
      if (!this.#owner.mayOperate()) return;
      try {
        const listener = new SimListener(this.#loop, this.#owner, this.#network, address, accept);
        this.#loop.at(0, this.#owner, () => resolve(listener));
      } catch (error) {
        this.#loop.at(0, this.#owner, () => reject(error));
      }
    });
  }

  dial(address: Address, timeoutMs: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      if (!this.#owner.mayOperate()) return;
      let isSettled = false;
      const timeout = this.#loop.at(timeoutMs, this.#owner, () => {
        isSettled = true;
        const what = `connect to ${address.host}:${address.port}`;
        reject(new NetError('ETIMEDOUT', `${what}: no answer within ${timeoutMs} ms`));
      });
      this.#network.connect(this.#owner, address, (result) => {
        this.#loop.at(0, this.#owner, () => {
          if (isSettled) {
            if (!(result instanceof NetError)) result.reset();
            return;
          }
          isSettled = true;
          timeout.cancel();
          if (result instanceof NetError) reject(result);
          else {
            resolve(result);
            this.#expectStart(result);
          }
        });
      });
    });
  }

  #expectStart(connection: SimConnection): void {
    this.#loop.at(0, this.#owner, () => checkStarted(connection));
  }
}

/** A simulated listening socket. */
export class SimListener implements Listener, Holding {
  readonly held = 1;
  readonly address: Address;
  readonly owner: SimIncarnation;
  readonly #loop: EventLoop;
  readonly #network: SimNetwork;
  readonly #accept: (connection: Connection) => void;
  #isClosed = false;

  constructor(
    loop: EventLoop,
    owner: SimIncarnation,
    network: SimNetwork,
    address: Address,
    accept: (connection: Connection) => void,
  ) {
    this.#loop = loop;
    this.owner = owner;
    this.#network = network;
    this.#accept = accept;
    this.address = network.listen(address, this);
    owner.holdings.add(this);
  }

  /** A connection is in the backlog; the process accepts it when it runs, and until then the peer knows no better. */
  offer(connection: SimConnection): void {
    this.#loop.at(0, this.owner, () => {
      if (this.#isClosed) {
        connection.reset();
        return;
      }
      this.#accept(connection);
      this.#loop.at(0, this.owner, () => checkStarted(connection));
    });
  }

  close(): Promise<void> {
    this.#stop();
    return new Promise((resolve) => {
      this.#loop.at(0, this.owner, resolve);
    });
  }

  ownerDied(): void {
    this.#stop();
  }

  #stop(): void {
    if (this.#isClosed || (this.owner.isAlive && !this.owner.mayOperate())) return;
    this.#isClosed = true;
    this.#network.unlisten(this.address, this);
    this.owner.holdings.delete(this);
  }
}

function checkStarted(connection: SimConnection): void {
  if (!connection.isStarted && !connection.isOver) {
    throw new Error('taskd bug: a connection was not started in the turn in which it was handed over');
  }
}
