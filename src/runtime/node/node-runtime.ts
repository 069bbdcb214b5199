import type { Logger } from '../../base/logger.js';
import type { Runtime } from '../runtime.js';
import type { KernelCalls } from './kernel-calls.js';
import { NodeClock } from './node-clock.js';
import { NodeFiles } from './node-files.js';
import { NodeNet } from './node-net.js';
import { NodeProcess } from './node-process.js';
import { NodeRandom } from './node-random.js';

/**
 * The real world: this process, its system's clock, generator, files and sockets. One a process. With `kernel`, regions
 * of files leave sockets without a copy.
 */
export function nodeRuntime(logger: Logger, kernel?: KernelCalls): Runtime {
  const net = new NodeNet(logger);
  if (kernel !== undefined) net.useKernel(kernel);
  return {
    clock: new NodeClock(),
    random: new NodeRandom(),
    files: new NodeFiles(),
    net,
    process: new NodeProcess(),
    logger,
  };
}
