import { MetricSet } from '../base/counters.js';
import type { Logger } from '../base/logger.js';
import { formatAddress } from '../runtime/net.js';
import type { KernelCalls } from '../runtime/node/kernel-calls.js';
import { nodeRuntime } from '../runtime/node/node-runtime.js';
import { tryZeroCopy } from '../runtime/node/zero-copy.js';
import { AdminServer, type Health } from './admin.js';
import type { DaemonConfig } from './config.js';
import { ExitCode } from './exit-codes.js';
import { openLog } from './logs.js';
import { type RunningRoles, startRoles } from './roles.js';
import { AdminPortError, explainStart, ZeroCopyError } from './start-errors.js';
import { readStaticInstances } from './static-instances.js';

/** A stop that takes longer is cut off: what is on disk is safe, as after a crash. */
const stopMsMax = 15_000;

/**
 * One process of taskd.
 *
 *     starting ──roles are up──► ready ──signal──► draining ──► exit 0
 *        │ error: one line, exit 8, 9 or 1          │ second signal, or 15 s: exit at once
 */
export class Daemon {
  readonly #config: DaemonConfig;
  readonly #log: Logger;
  readonly #metrics: MetricSet = new MetricSet();
  readonly #admin: AdminServer;
  #status: Health['status'] = 'starting';
  #roles: RunningRoles | undefined;

  constructor(config: DaemonConfig) {
    this.#config = config;
    this.#log = openLog(config.logLevel, config.logFormat, process.stdout.isTTY === true);
    this.#admin = new AdminServer(this.#metrics, () => this.#health());
  }

  async run(): Promise<void> {
    process.on('uncaughtException', (error) => this.#crash(error));
    process.on('unhandledRejection', (error) => this.#crash(error));
    const config = this.#config;
    const runtime = nodeRuntime(this.#log);
    runtime.process.onStop((signal) => this.#onSignal(signal));
    try {
      if (config.adminPort !== 0) {
        await this.#admin.listen(config.adminPort).catch((cause: unknown) => {
          throw new AdminPortError('the admin port can not be listened on', { cause });
        });
      }
      if (config.zeroCopy !== 'off' && config.roles.includes('broker')) {
        const kernel = await this.#tryZeroCopy();
        if (kernel !== undefined) {
          runtime.net.useKernel(kernel);
          runtime.files.useKernel(kernel);
        }
      }
      const { staticInstancesFile } = config;
      const staticInstances = staticInstancesFile === undefined ? [] : readStaticInstances(staticInstancesFile);
      this.#roles = await startRoles(runtime, { ...config, staticInstances }, this.#metrics);
    } catch (error) {
      const { line, exitCode } = explainStart(error, config);
      process.stderr.write(`taskd: ${line}\n`);
      this.#log.debug({ error }, 'the start failed');
      process.exit(exitCode);
    }
    this.#status = 'ready';
    this.#log.info(
      {
        listen: formatAddress(this.#roles.address),
        admin: config.adminPort === 0 ? 'off' : `http://127.0.0.1:${config.adminPort}`,
        dataFolder: config.roles.some((role) => role !== 'scheduler') ? config.dataFolder : 'none',
        roles: config.roles,
        nodeId: this.#roles.nodeId,
        pid: process.pid,
      },
      'taskd is ready',
    );
  }

  async #tryZeroCopy(): Promise<KernelCalls | undefined> {
    try {
      const kernel = await tryZeroCopy(this.#log);
      this.#log.info({}, 'what is on disk is sent by the kernel, without a copy');
      return kernel;
    } catch (error) {
      const why = String(error instanceof Error ? error.message : error).split('\n')[0]!;
      if (this.#config.zeroCopy === 'on') throw new ZeroCopyError(why, { cause: error });
      this.#log.info({ why }, 'what is on disk is read and written: sending it by the kernel does not work here');
      return undefined;
    }
  }

  #health(): Health {
    const roles = this.#roles?.states() ?? Object.fromEntries(this.#config.roles.map((role) => [role, 'starting']));
    const isReady = this.#status === 'ready' && Object.values(roles).every((state) => state === 'ready');
    return { status: this.#status === 'ready' && !isReady ? 'starting' : this.#status, roles };
  }

  #onSignal(signal: string): void {
    if (this.#status === 'draining') {
      this.#log.warn({ signal }, 'stopped at once by a second signal');
      process.exit(signal === 'SIGINT' ? 130 : 143);
    }
    if (this.#status === 'starting') {
      // Nobody relies on us yet, and what is on disk bears a stop at any moment.
      this.#log.info({ signal }, 'stopped while starting');
      process.exit(ExitCode.OK);
    }
    this.#log.info({ signal }, 'taskd drains');
    this.#status = 'draining';
    void this.#drain();
  }

  async #drain(): Promise<void> {
    setTimeout(() => {
      this.#log.warn({ stopMsMax }, 'the drain took too long; stopping now');
      process.exit(ExitCode.FAILED);
    }, stopMsMax).unref();
    await this.#roles?.stop();
    this.#admin.close();
    this.#log.info({}, 'taskd has stopped');
    process.exit(ExitCode.OK);
  }

  #crash(error: unknown): void {
    this.#log.error({ error }, 'taskd failed; this is a bug');
    process.stderr.write(`taskd: failed: ${error instanceof Error ? error.message : error}\n`);
    process.exit(ExitCode.FAILED);
  }
}
