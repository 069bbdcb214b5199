import { silentLogger } from '../../src/base/logger.js';
import type { Clock } from '../../src/runtime/clock.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';

/** The real files under a wall clock that the test sets, with seeded random numbers. */
export class FixedRuntime implements Runtime {
  wallMs = 1_700_000_000_000;
  readonly warnings: { fields: Record<string, unknown>; message: string }[] = [];
  readonly clock: Clock;
  readonly random: SeededRandom = new SeededRandom(1);
  readonly files: Runtime['files'];
  readonly net: Runtime['net'];
  readonly process: Runtime['process'];
  readonly logger: Runtime['logger'];

  constructor() {
    const { clock, files, net, process } = nodeRuntime(silentLogger);
    this.clock = {
      monotonicMs: () => clock.monotonicMs(),
      wallMs: () => this.wallMs,
      timer: (delayMs, callback) => clock.timer(delayMs, callback),
      defer: (callback) => clock.defer(callback),
    };
    this.files = files;
    this.net = net;
    this.process = process;
    const warn = (fields: object, message: string): void => {
      this.warnings.push({ fields: fields as Record<string, unknown>, message });
    };
    this.logger = { ...silentLogger, warn, child: () => this.logger };
  }
}
