import { ErrorCode, TaskdError } from '../base/errors.js';
import { type Address, parseAddress } from '../runtime/net.js';

/** The addresses in `servers`; throws INVALID for a text that is none, and for none at all. */
export function parseServers(servers: readonly (string | Address)[]): readonly Address[] {
  if (servers.length === 0) {
    throw new TaskdError(
      ErrorCode.INVALID,
      'servers is empty: give the address of a name server, such as localhost:7400',
    );
  }
  return servers.map((server) => {
    if (typeof server !== 'string') return server;
    const address = parseAddress(server);
    if (address !== undefined) return address;
    throw new TaskdError(ErrorCode.INVALID, `"${server}" is no address: expected host:port, such as localhost:7400`);
  });
}
