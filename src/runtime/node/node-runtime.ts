import type { Logger } from '../../base/logger.js';
import type { Runtime } from '../runtime.js';
import { NodeClock } from './node-clock.js';
import { NodeFiles } from './node-files.js';
import { NodeNet } from './node-net.js';
import { NodeProcess } from './node-process.js';
import { NodeRandom } from './node-random.js';

/** The real world: this process, its system's clock, generator, files and sockets. One a process. */
export function nodeRuntime(logger: Logger): Runtime {
  return {
    clock: new NodeClock(),
    random: new NodeRandom(),
    files: new NodeFiles(),
    net: new NodeNet(logger),
    process: new NodeProcess(),
    logger,
  };
}
