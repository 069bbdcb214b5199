import { ErrorCode, TaskdError } from '../base/errors.js';
import { runtimeOf } from '../client/client-network.js';
import { checkName } from '../client/job-definition.js';
import { checkCachePath } from '../discovery/cache-file.js';
import { parseServers } from '../discovery/name-servers.js';
import type { Address } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import { ClusterLink } from './cluster-link.js';
import type { Processor } from './processor.js';
import { WorkerDriver } from './worker-driver.js';

export type { BytesProcessor, JsonProcessor, Processor, RunContext } from './processor.js';
export { AttemptStopped, NonRetryable, RetryAfter, type StopCause } from './run-error.js';

/** Leases that one worker may hold at once. */
export const capacityMax = 4_096;
const slotsDefault = 64;
const prefetchDefault = 256;
const processorsMax = 1_000;

export interface WorkerOptions {
  /** Name servers, as `host:port` or addresses; standalone is one. */
  readonly servers: readonly string[] | readonly Address[];
  readonly app: string;
  /** By name; see `Processor`. Arguments are JSON unless the processor asks for bytes. */
  readonly processors: Readonly<Record<string, Processor>>;
  /** Runs at once, default 64. */
  readonly slots?: number;
  /** Runs that wait here for a slot, so that none stands idle; default the greater of `slots` and 256. */
  readonly prefetch?: number;
  /** Names the worker over its restarts; default: a random one. */
  readonly workerId?: string;
  /** As in a client's options: the absolute path of a file of this process alone. Default: none. */
  readonly discoveryCache?: string;
  /** Default: the real one, without a log. */
  readonly runtime?: Runtime;
}

/** Runs an app's processors in this process. `start` once, then `drain` (or `stop`) once. */
export class Worker {
  readonly workerId: string;
  readonly #driver: WorkerDriver;

  /** Throws INVALID with what is wrong and the limit. */
  constructor(options: WorkerOptions) {
    checkName(options.app, 'the app');
    const servers = parseServers(options.servers);
    const runtime = runtimeOf(options);
    const processors = new Map(Object.entries(options.processors));
    if (processors.size === 0 || processors.size > processorsMax) {
      throw new TaskdError(ErrorCode.INVALID, `${processors.size} processors: give 1 to ${processorsMax}`);
    }
    for (const [name, processor] of processors) {
      checkName(name, 'a processor');
      if (typeof processor !== 'function' && typeof processor?.run !== 'function') {
        throw new TaskdError(ErrorCode.INVALID, `processor "${name}" is no function: give (args, context) => result`);
      }
    }
    const slots = options.slots ?? slotsDefault;
    const prefetch = options.prefetch ?? Math.min(Math.max(slots, prefetchDefault), capacityMax - slots);
    checkCount(slots, 'slots', 1);
    checkCount(prefetch, 'prefetch', 0);
    if (slots + prefetch > capacityMax) {
      throw new TaskdError(
        ErrorCode.INVALID,
        `slots and prefetch are ${slots + prefetch}; at most ${capacityMax} together`,
      );
    }
    this.workerId = options.workerId ?? `worker-${runtime.random.u32().toString(36)}`;
    checkName(this.workerId, 'the worker id');
    const incarnation = runtime.clock.wallMs();
    const { discoveryCache } = options;
    if (discoveryCache !== undefined) checkCachePath(discoveryCache);
    const link = new ClusterLink(runtime, servers, options.app, this.workerId, discoveryCache);
    this.#driver = new WorkerDriver(runtime, link, {
      workerId: this.workerId,
      incarnation,
      processors,
      slots,
      prefetch,
    });
  }

  /** Resolves once the app's scheduler knows this worker; tries until then, or until it is stopped. */
  start(): Promise<void> {
    return this.#driver.start();
  }

  /** Takes no more runs, lets those that run end, resolves when all reports are on disk and the worker has left. */
  drain(): Promise<void> {
    return this.#driver.drain();
  }

  /** Leaves now. What runs is given up: its signal is aborted and another worker takes it, without an attempt used. */
  stop(): Promise<void> {
    return this.#driver.stop();
  }

  /** Attempts under way in this moment. */
  get running(): number {
    return this.#driver.runningCount;
  }
}

function checkCount(value: number, what: string, min: number): void {
  if (Number.isSafeInteger(value) && value >= min && value <= capacityMax) return;
  throw new TaskdError(
    ErrorCode.INVALID,
    `${what} is ${value}; a whole number from ${min} to ${capacityMax} is allowed`,
  );
}
