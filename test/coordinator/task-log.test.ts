import t from 'tap';
import { silentLogger } from '../../src/base/logger.js';
import { MemoryTaskLog } from '../../src/coordinator/memory-task-log.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { taskLogConformance } from '../conformance/task-log.js';

const { clock } = nodeRuntime(silentLogger);

taskLogConformance(t, 'memory', () =>
  Promise.resolve({
    log: new MemoryTaskLog(clock),
    monotonicMs: () => clock.monotonicMs(),
    close: () => Promise.resolve(),
  }),
);
