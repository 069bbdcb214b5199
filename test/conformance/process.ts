import type { Test } from 'tap';
import type { InRuntime } from './in-runtime.js';

/** What every `Process` does; `exit` and stop signals are tested where there is a process to lose. */
export async function processConformance(t: Test, run: InRuntime): Promise<void> {
  await t.test('process: names and sizes', (t) =>
    run(async ({ process }) => {
      t.ok(Number.isInteger(process.pid) && process.pid > 0);
      t.ok(process.hostName.length > 0);
      t.ok(process.residentBytes() > 1024 * 1024);
    }),
  );
}
