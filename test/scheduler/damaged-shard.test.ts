import t from 'tap';
import { ErrorCode, Retry, TaskdError } from '../../src/base/errors.js';
import type { LogReader, TaskLog } from '../../src/coordinator/task-log.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { ShardDriver } from '../../src/scheduler/shard-driver.js';
import { MemoryLogger } from '../support/rpc-pair.js';

/** A driver whose log does what the test wants. */
function driverOn(append: TaskLog['append']): { driver: ShardDriver; reader: LogReader; lines: MemoryLogger['lines'] } {
  let reader: LogReader | undefined;
  const log: TaskLog = {
    append,
    read: (_offset, given) => {
      reader = given;
      return { poke: () => {}, close: () => {} };
    },
    recordAt: () => Promise.resolve(undefined),
  };
  const logger = new MemoryLogger();
  const owner = { nodeId: 'n', address: () => ({ host: 'localhost', port: 1 }), nextSessionId: () => 1 };
  const driver = new ShardDriver(nodeRuntime(logger), 15, log, owner);
  driver.start();
  return { driver, reader: reader!, lines: logger.lines };
}

const damaged = new TaskdError(ErrorCode.STORAGE_FAILED, 'a segment is missing: restore the data folder');
const outOfService = {
  code: ErrorCode.STORAGE_FAILED,
  retry: Retry.NEVER,
  message: /shard 15 .*restore the data folder/,
};
const notReady = { code: ErrorCode.NOT_READY, retry: Retry.AFTER };

t.test('a shard whose log is damaged says so at once, and who waits is told', async (t) => {
  const { driver, reader } = driverOn(() => Promise.resolve([]));
  t.match(driver.notOwner(), notReady, 'nothing is known yet');
  const told = new Promise<TaskdError | undefined>((done) => void driver.waiters.awaitApplied(9, 0, { done }));
  reader.trouble?.(damaged);
  t.match(driver.notOwner(), outOfService);
  t.match(await told, outOfService);
  reader.trouble?.(new TaskdError(ErrorCode.NOT_SENT, 'the broker is started again'));
  t.match(driver.notOwner(), notReady, 'somebody may mend it just now');
  reader.lost(7, new TaskdError(ErrorCode.DATA_LOSS, 'a batch is gone: restore the data folder'));
  t.match(driver.notOwner(), outOfService);
  await driver.stop();
  t.match(driver.notOwner(), { code: ErrorCode.NOT_OWNER }, 'another process may have it mended');
});

t.test('a shard whose log takes no records says why', async (t) => {
  const { driver, reader, lines } = driverOn(() => Promise.reject(damaged));
  reader.caughtUp(0, 1);
  await new Promise((resolve) => setImmediate(resolve));
  t.match(driver.notOwner(), outOfService);
  t.match(lines, [{ level: 'error', message: 'an append failed: taking the shard anew' }]);
  await driver.stop();
});
