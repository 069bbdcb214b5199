import type { Address, Connection, Listener, Net } from '../runtime/net.js';

/**
 * Takes an address before anything else happens, so that a port in use is found while nothing on disk has changed, and
 * so that a port which the system chose is known to all roles from the start. `net` is the same network, except that
 * the first `listen` to that address is handed the socket that is open already. Connections that come earlier are cut;
 * their clients dial again.
 */
export interface ReservedPort {
  readonly address: Address;
  readonly net: Net;
  /** Gives the address back if nobody has taken it over. */
  release(): Promise<void>;
}

export async function reservePort(net: Net, wanted: Address): Promise<ReservedPort> {
  let accept: ((connection: Connection) => void) | undefined;
  const listener: Listener = await net.listen(wanted, (connection) => {
    if (accept !== undefined) return accept(connection);
    connection.start({ data() {}, end() {}, drained() {}, closed() {} });
    connection.reset();
  });
  const { address } = listener;
  return {
    address,
    net: {
      listen(asked, callback) {
        if (accept !== undefined || asked.port !== address.port || asked.host !== address.host) {
          return net.listen(asked, callback);
        }
        accept = callback;
        return Promise.resolve(listener);
      },
      dial: (to, timeoutMs) => net.dial(to, timeoutMs),
      regions: net.regions,
    },
    async release() {
      if (accept === undefined) await listener.close();
    },
  };
}
