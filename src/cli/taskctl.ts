import { createInterface } from 'node:readline';
import { ErrorCode, TaskdError } from '../base/errors.js';
import { silentLogger } from '../base/logger.js';
import { TaskdClient } from '../client/client.js';
import { type Address, formatAddress } from '../runtime/net.js';
import { nodeRuntime } from '../runtime/node/node-runtime.js';
import { control } from './control.js';
import { ExitCode } from './exit-codes.js';
import { NameServerClient } from './name-servers.js';

/** The whole life of the program `taskctl`; `argv` without node and script. */
export async function main(argv: readonly string[]): Promise<void> {
  // Whoever reads our output may stop early (`taskctl … | head`); that is no failure of ours.
  process.stdout.on('error', () => process.exit(ExitCode.OK));
  process.exitCode = await control(argv, {
    sink: {
      out: (text) => void process.stdout.write(text),
      err: (text) => void process.stderr.write(text),
    },
    environment: process.env,
    nowMs: Date.now(),
    lines: () => createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY }),
    connect: reach,
    nameServers: (servers) => new NameServerClient(servers),
    screen: process.stdout.isTTY
      ? {
          // Asked anew for each frame, as windows change their size; a terminal that doesn't know its own says 0.
          get rows() {
            return process.stdout.rows || 24;
          },
          get columns() {
            return process.stdout.columns || 80;
          },
        }
      : undefined,
    files: nodeRuntime(silentLogger).files,
    onStop: (callback) => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, callback);
    },
  });
}

/** A person is told after so long why the broker does not take what was submitted. */
const deliveryTimeoutMs = 10_000;

/** A client of `servers`, of which one has answered once. */
async function reach(servers: readonly Address[]): Promise<TaskdClient> {
  const client = new TaskdClient({ servers, deliveryTimeoutMs, runtime: nodeRuntime(silentLogger) });
  try {
    await client.nodes();
    return client;
  } catch (cause) {
    await client.close();
    const why = cause instanceof Error ? cause.message : String(cause);
    const remedy = 'is taskd running? name another server with --server or TASKD_SERVER';
    const where = servers.map(formatAddress).join(', ');
    throw new TaskdError(ErrorCode.NOT_SENT, `no server answers at ${where}: ${remedy} (${why})`, { cause });
  }
}
