import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { silentLogger } from '../../../src/base/logger.js';
import type { KernelCalls } from '../../../src/runtime/node/kernel-calls.js';
import { nodeRuntime } from '../../../src/runtime/node/node-runtime.js';
import { tryZeroCopy } from '../../../src/runtime/node/zero-copy.js';
import { regionConformance } from '../../conformance/regions.js';

/** Undefined on systems where nothing is sent by the kernel: the other way is tested with the other seams. */
const kernel: KernelCalls | undefined = await tryZeroCopy(silentLogger).catch((error: Error) => {
  t.comment(`not here: ${error.message}`);
  return undefined;
});

await t.test('what every connection does with regions, by the kernel', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'taskd-zero-copy-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  let zeroCopyBytes = 0;
  await regionConformance(
    t,
    async (body) => {
      const runtime = nodeRuntime(silentLogger);
      if (kernel !== undefined) runtime.net.useKernel(kernel);
      await body(runtime);
      zeroCopyBytes += runtime.net.regions.zeroCopyBytes;
      t.equal(runtime.net.regions.queued, 0);
    },
    folder,
  );
  t.equal(zeroCopyBytes > 0, kernel !== undefined);
});
