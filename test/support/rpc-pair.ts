import type { Logger } from '../../src/base/logger.js';
import { type ClientIdentity, type DialShare, dial, type RpcConnection } from '../../src/rpc/connection.js';
import { type NodeIdentity, RpcServer } from '../../src/rpc/server.js';
import { RpcStats } from '../../src/rpc/stats.js';
import type { Address } from '../../src/runtime/net.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { Ticker } from '../../src/transport/ticker.js';

export interface LogLine {
  readonly level: string;
  readonly fields: Record<string, unknown>;
  readonly message: string;
}

/** Keeps its lines. */
export class MemoryLogger implements Logger {
  readonly lines: LogLine[] = [];

  debug(fields: object, message: string): void {
    this.#add('debug', fields, message);
  }
  info(fields: object, message: string): void {
    this.#add('info', fields, message);
  }
  warn(fields: object, message: string): void {
    this.#add('warn', fields, message);
  }
  error(fields: object, message: string): void {
    this.#add('error', fields, message);
  }
  child(): Logger {
    return this;
  }
  #add(level: string, fields: object, message: string): void {
    this.lines.push({ level, fields: fields as Record<string, unknown>, message });
  }
}

/** A promise to wait for, and what makes it come true. */
export function signal(): { readonly wait: Promise<void>; readonly done: () => void } {
  let done: () => void = () => {};
  const wait = new Promise<void>((resolve) => {
    done = resolve;
  });
  return { wait, done };
}

export interface Pair {
  readonly runtime: Runtime;
  readonly server: RpcServer;
  readonly serverLog: MemoryLogger;
  readonly address: Address;
  readonly client: RpcConnection;
  readonly share: DialShare;
}

export const identity: NodeIdentity = { nodeId: 'node-1', incarnation: 7, roles: ['broker'], clusterId: 'cluster-1' };
export const tester: ClientIdentity = { clientId: 'tester', kind: 'client' };

/** A server on loopback with these handlers. */
export async function openServer(
  t: { teardown(callback: () => void): void },
  handlers: (server: RpcServer) => void,
): Promise<{ runtime: Runtime; server: RpcServer; serverLog: MemoryLogger; address: Address }> {
  const serverLog = new MemoryLogger();
  const runtime = nodeRuntime(serverLog);
  const server = new RpcServer(runtime, identity);
  handlers(server);
  const address = await server.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(() => server.close());
  return { runtime, server, serverLog, address };
}

/** A server and a connection to it, closed when the test ends. */
export async function openPair(
  t: { teardown(callback: () => void): void },
  handlers: (server: RpcServer) => void,
): Promise<Pair> {
  const opened = await openServer(t, handlers);
  const share = { ticker: new Ticker(opened.runtime.clock), stats: new RpcStats() };
  const client = await dial(opened.runtime, opened.address, tester, 5_000, share);
  t.teardown(() => client.close());
  return { ...opened, client, share };
}
