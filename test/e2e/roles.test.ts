import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Cluster, WorkerFleet } from '../../scripts/demo/cluster.js';
import { readStarts } from '../../scripts/demo/starts.js';
import { TaskdClient } from '../../src/client/client.js';

const runsBefore = 200;

t.test('the main job with a process for each role, all of them killed in the middle', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'taskd-roles-'));
  const cluster = new Cluster(folder, true);
  let fleet: WorkerFleet | undefined;
  t.teardown(() => {
    fleet?.kill();
    cluster.kill();
    rmSync(folder, { recursive: true, force: true });
  });
  await cluster.start();
  mkdirSync(join(folder, 'files'));
  fleet = new WorkerFleet(cluster.servers, join(folder, 'files'), folder);
  await Promise.all([fleet.add('w1'), fleet.add('w2')]);
  const client = new TaskdClient({ servers: [cluster.servers] });
  const nodes = await client.nodes();
  for (const service of ['taskd.broker', 'taskd.scheduler']) {
    t.equal(nodes.filter((node) => node.service === service).length, 1, service);
  }

  await client.jobs.put('demo', 'often', { processor: 'tick', cron: '* * * * * *' });
  const submit = (i: number): Promise<{ readonly id: string }> =>
    client.runs.submit('demo', { processor: 'echo', arguments: i });
  const before = await Promise.all(Array.from({ length: runsBefore }, (_, i) => submit(i)));
  const later = await client.runs.submit('demo', { processor: 'echo', arguments: 'later', delayMs: 1_500 });
  const restarted = cluster.killAndRestart();
  const during = await Promise.all(Array.from({ length: runsBefore }, (_, i) => submit(i)));
  await restarted;

  const ended = await Promise.all([...before, ...during].map(({ id }) => client.runs.result(id, 60_000)));
  t.ok(ended.every((run) => run.state === 'SUCCEEDED'));
  t.strictSame(
    ended.map((run) => run.value),
    [...Array(runsBefore).keys(), ...Array(runsBefore).keys()],
  );
  const delayed = await client.runs.result(later.id, 60_000);
  t.equal(delayed.state, 'SUCCEEDED');
  t.ok(delayed.startedMs >= delayed.dueMs, 'not before its time');
  const starts = readStarts(fleet.startsFolder);
  t.notOk(ended.some((run) => starts.get(run.id)!.some((start) => start.wallMs > run.endedMs)));
  t.ok((await client.runs.list('demo', { job: 'often' })).length > 0, 'the cron job fired');

  await client.close();
  await fleet.stop();
  t.ok(await cluster.stop(), 'every process stops with 0');
});
