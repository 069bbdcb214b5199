import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/logger.js';
import { startStandalone } from '../../src/cli/standalone.js';
import { TaskdClient } from '../../src/client/client.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { Worker } from '../../src/worker/worker.js';

t.test('client and worker find their way in a real cluster, and through its restart', async (t) => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'taskd-cluster-'));
  t.teardown(() => rmSync(dataFolder, { recursive: true, force: true }));
  const runtime = nodeRuntime(silentLogger);
  const first = await startStandalone(runtime, { dataFolder, listen: { host: '127.0.0.1', port: 0 }, shards: 3 });
  const servers = [`127.0.0.1:${first.address.port}`];
  const client = new TaskdClient({ servers });
  const worker = new Worker({
    servers,
    app: 'shop',
    workerId: 'till-1',
    processors: {
      add: async ({ a, b }: { a: number; b: number }) => a + b,
      length: { bytes: true, run: async (args) => args.length },
    },
  });
  await worker.start();
  const sums = await Promise.all(
    Array.from({ length: 200 }, async (_, a) => {
      const { id } = await client.runs.submit('shop', { processor: 'add', arguments: { a, b: 1 } });
      return (await client.runs.result(id)).value;
    }),
  );
  t.same(
    sums,
    Array.from({ length: 200 }, (_, a) => a + 1),
  );
  const nodes = await client.nodes();
  t.same(nodes.map((node) => node.service).sort(), ['taskd.broker', 'taskd.nameserver', 'taskd.scheduler']);
  t.same((await client.topics.list()).map((topic) => topic.name).includes('taskd.jobs'), true);
  t.match((await client.apps.stats('shop')).workers, [{ workerId: 'till-1' }]);
  const waiting = await client.runs.submit('shop', { processor: 'length', arguments: new Uint8Array(9), delayMs: 600 });

  await first.stop();
  const second = await startStandalone(runtime, { dataFolder, listen: first.address, shards: 3 });
  t.match(await client.runs.result(waiting.id), { state: 'SUCCEEDED', value: 9 });
  const after = await client.runs.submit('shop', { processor: 'add', arguments: { a: 20, b: 22 } });
  t.match(await client.runs.result(after.id), { state: 'SUCCEEDED', value: 42, workerId: 'till-1' });
  await worker.drain();
  await client.close();
  await second.stop();
});

t.test('what a worker is made with is checked', async (t) => {
  const good = { servers: ['127.0.0.1:1'], app: 'shop', processors: { p: () => 1 } };
  const refusals: [object, RegExp][] = [
    [{ app: '' }, /app is empty/],
    [{ servers: [] }, /servers is empty/],
    [{ servers: ['somewhere'] }, /"somewhere" is no address/],
    [{ processors: {} }, /0 processors/],
    [{ processors: { p: 7 } }, /"p" is no function/],
    [{ slots: 0 }, /slots is 0/],
    [{ slots: 4_000, prefetch: 200 }, /4200; at most 4096/],
    [{ workerId: 'x'.repeat(200) }, /200 bytes/],
  ];
  for (const [change, message] of refusals) {
    t.throws(() => new Worker({ ...good, ...change } as never), { code: ErrorCode.INVALID, message });
  }
});
