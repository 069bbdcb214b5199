import type { Logger } from '../base/logger.js';
import type { Clock } from './clock.js';
import type { Files } from './files.js';
import type { Net } from './net.js';
import type { Process } from './process.js';
import type { Random } from './random.js';

/** The world as a daemon sees it: all five seams and the log. One object a process, real or simulated. */
export interface Runtime {
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  readonly net: Net;
  readonly process: Process;
  readonly logger: Logger;
}
