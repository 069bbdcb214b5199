import type { Logger } from '../../base/logger.js';
import type { Runtime } from '../runtime.js';
import { NodeClock } from './node-clock.js';
import { NodeFiles } from './node-files.js';
import { NodeNet } from './node-net.js';
import { NodeProcess } from './node-process.js';
import { NodeRandom } from './node-random.js';

export interface NodeRuntime extends Runtime {
  readonly files: NodeFiles;
  readonly net: NodeNet;
}

/** The real world: this process, its system's clock, generator, files and sockets. One a process. */
export function nodeRuntime(logger: Logger): NodeRuntime {
  return {
    clock: new NodeClock(),
    random: new NodeRandom(),
    files: new NodeFiles(),
    net: new NodeNet(logger),
    process: new NodeProcess(),
    logger,
  };
}
