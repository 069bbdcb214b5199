/** Several name servers as processes of their own, for benchmarks and end-to-end runs. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../src/base/logger.js';
import { Connections } from '../src/rpc/connections.js';
import { type Address, parseAddress } from '../src/runtime/net.js';
import { nodeRuntime } from '../src/runtime/node/node-runtime.js';
import type { taskd } from '../src/wire/generated/messages.js';
import { listNodes } from '../src/wire/methods.js';
import { CutProxy } from './cut-proxy.js';
import { freePort, startTaskd, type Taskd } from './programs.js';

const pollMs = 20;

export interface NameServersOptions {
  /** The name servers reach each other through proxies, which can be cut. */
  readonly isCuttable?: boolean;
}

export class NameServers {
  /** `host:port` of each. */
  readonly listens: readonly string[];
  readonly #folder: string;
  readonly #running: (Taskd | undefined)[];
  /** What goes from one to another: `#proxies[from][to]`. */
  readonly #proxies: readonly (readonly (CutProxy | undefined)[])[];
  readonly #connections = new Connections(nodeRuntime(silentLogger), { clientId: 'watcher', kind: 'client' });

  private constructor(
    listens: readonly string[],
    folder: string,
    proxies: readonly (readonly (CutProxy | undefined)[])[],
  ) {
    this.listens = listens;
    this.#folder = folder;
    this.#proxies = proxies;
    this.#running = listens.map(() => undefined);
  }

  /** Starts `count` name servers of one cluster; resolves when all of them serve. */
  static async start(count: number, { isCuttable = false }: NameServersOptions = {}): Promise<NameServers> {
    const ports: number[] = [];
    for (let i = 0; i < count; i++) ports.push(await freePort());
    const proxies = ports.map(() => ports.map((): CutProxy | undefined => undefined));
    for (let from = 0; isCuttable && from < count; from++) {
      for (let to = 0; to < count; to++) if (from !== to) proxies[from]![to] = await CutProxy.start(ports[to]!);
    }
    const folder = mkdtempSync(join(tmpdir(), 'taskd-names-'));
    const servers = new NameServers(
      ports.map((port) => `127.0.0.1:${port}`),
      folder,
      proxies,
    );
    try {
      await Promise.all(ports.map((_, i) => servers.run(i)));
      for (let i = 0; i < count; i++) await servers.ready(i);
    } catch (error) {
      await servers.close();
      throw error;
    }
    return servers;
  }

  get addresses(): Address[] {
    return this.listens.map((listen) => parseAddress(listen)!);
  }

  pid(i: number): number {
    return this.#running[i]?.program.pid ?? -1;
  }

  get pids(): number[] {
    return this.listens.map((_, i) => this.pid(i));
  }

  /** Starts one that isn't running. It serves a little later: see `ready`. */
  async run(i: number): Promise<void> {
    const others = this.listens
      .map((listen, to) => this.#proxies[i]![to]?.listen ?? listen)
      .filter((_, to) => to !== i);
    const argv = ['--role=nameserver', '--node-id', `names-${i}`, '--listen', this.listens[i]!, '--admin-port', '0'];
    const rest = ['--name-servers', others.join(','), '--data', join(this.#folder, String(i)), '--log-format', 'json'];
    this.#running[i] = await startTaskd([...argv, ...rest]);
  }

  /** Resolves when that one serves and has links to all others. */
  async ready(i: number): Promise<taskd.NodesResponse> {
    for (;;) {
      const nodes = await this.nodes(i).catch(() => undefined);
      if (nodes?.ready && !nodes.frozen && nodes.peers.every(({ connected }) => connected)) return nodes;
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  /** What that one says of itself and of the others. */
  async nodes(i: number): Promise<taskd.NodesResponse> {
    return (await this.#connections.to(this.addresses[i]!).call(listNodes, {}, { deadlineMs: 1_000 })).message;
  }

  /** Ends one and waits for its end. */
  async stop(i: number, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.#running[i]?.program.stop(signal);
    this.#running[i] = undefined;
  }

  /** Sends a signal and waits for nothing. */
  signal(i: number, signal: NodeJS.Signals): void {
    this.#running[i]?.program.process.kill(signal);
  }

  /** Cuts one from all others, or heals it. */
  cut(i: number, isCut: boolean): void {
    this.#proxies.forEach((row, from) => {
      row.forEach((proxy, to) => {
        if (from === i || to === i) proxy?.cut(isCut);
      });
    });
  }

  async close(): Promise<void> {
    await this.#connections.close();
    for (const each of this.#running) {
      each?.program.process.kill('SIGKILL');
      await each?.program.exited;
    }
    for (const row of this.#proxies) for (const proxy of row) proxy?.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
