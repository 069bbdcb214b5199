import { ErrorCode, TaskdError } from '../base/errors.js';
import { type Address, parseAddress } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import type { SchedulerNetwork } from './schedulers.js';
import type { RecordSender } from './shard-log.js';
import type { BrokerNetwork } from './topics.js';

export interface ClientOptions {
  /** Name servers, as `host:port` or addresses; standalone is one. */
  readonly servers: readonly string[] | readonly Address[];
  /** Default: the real one, without a log. */
  readonly runtime?: Runtime;
}

/** An instance of a service, as discovery knows it. */
export interface NodeInfo {
  readonly service: string;
  readonly instanceId: string;
  readonly addresses: readonly string[];
  readonly health: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** All that a client needs of the world around it. */
export interface ClientNetwork extends SchedulerNetwork, BrokerNetwork {
  readonly sender: RecordSender;
  /** The id of a topic by name; NOT_FOUND when there is none. */
  topicId(name: string): Promise<number>;
  nodes(): Promise<readonly NodeInfo[]>;
  /** Sends what is queued, then closes all connections. */
  close(): Promise<void>;
}

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

/** Connects to a real cluster; nothing is dialled before it is needed. */
export function connect(options: ClientOptions): ClientNetwork {
  parseServers(options.servers);
  throw new Error('not built yet');
}
