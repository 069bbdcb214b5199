import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { freePort, Program, root, startTaskd, type Taskd } from '../../scripts/programs.js';
import { TaskdClient } from '../../src/client/client.js';
import { Worker } from '../../src/worker/worker.js';

/** Resolves once the file holds the text. */
async function holds(path: string, text: string): Promise<void> {
  while (!existsSync(path) || !readFileSync(path, 'latin1').includes(text)) await new Promise(setImmediate);
}

t.test('all name servers are killed: work goes on, and who starts from its cache takes part', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'taskd-no-names-'));
  const programs: Program[] = [];
  t.teardown(async () => {
    for (const program of programs) await program.stop('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  const common = ['--admin-port', '0', '--log-format', 'json'];
  const start = async (...argv: string[]): Promise<Taskd> => {
    const taskd = await startTaskd([...argv, ...common]);
    programs.push(taskd.program);
    return taskd;
  };
  const servers = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const names = ['--name-servers', servers.join()];
  const startNames = (): Promise<Taskd[]> =>
    Promise.all(
      servers.map((server, i) =>
        start('--role=nameserver', '--listen', server, '--data', join(folder, `n${i}`), ...names),
      ),
    );
  const nameServers = await startNames();
  await start(
    '--role=broker',
    '--listen',
    '127.0.0.1:0',
    '--data',
    join(folder, 'b'),
    '--node-id',
    'the-broker',
    ...names,
  );
  const schedulerArgv = [
    '--role=scheduler',
    '--data',
    join(folder, 's'),
    '--node-id',
    'the-scheduler',
    ...names,
    ...common,
  ];
  const scheduler = await start(...schedulerArgv, '--listen', '127.0.0.1:0');

  const cacheOf = (name: string): string => join(folder, `${name}.cache`);
  const processors = { double: (value: unknown) => Number(value) * 2 };
  const worker = new Worker({ servers, app: 'math', processors, discoveryCache: cacheOf('worker') });
  t.teardown(() => worker.stop());
  const client = new TaskdClient({ servers, discoveryCache: cacheOf('client') });
  const double = async (by: TaskdClient, value: number): Promise<unknown> => {
    const { id } = await by.runs.submit('math', { processor: 'double', arguments: value });
    return (await by.runs.result(id, 60_000)).value;
  };
  await worker.start();
  t.equal(await double(client, 1), 2);
  await holds(join(folder, 's', 'discovery-cache'), 'the-broker');
  for (const each of ['the-broker', 'the-scheduler']) await holds(cacheOf('client'), each);

  for (const { program } of nameServers) await program.stop('SIGKILL');
  t.equal(await double(client, 2), 4, 'who knows everybody notices nothing');
  await client.close();

  // The scheduler and the client know only what is on their disks.
  await scheduler.program.stop('SIGKILL');
  const again = new Program('taskd', join(root, 'bin', 'taskd.cjs'), [...schedulerArgv, '--listen', scheduler.listen]);
  programs.push(again);
  const isReady = again.waitFor('it was ready', (line) => (line.includes('taskd is ready') ? true : undefined));
  const cold = new TaskdClient({ servers, discoveryCache: cacheOf('client') });
  t.equal(await double(cold, 3), 6);
  const stranger = new TaskdClient({ servers });
  await t.rejects(stranger.nodes(), /not sent|no connection/, 'without a cache nothing is known');
  await stranger.close();

  await startNames();
  t.ok(await isReady, 'the scheduler is known to them');
  t.equal(await double(cold, 4), 8);
  const nodes = await cold.nodes();
  t.ok(nodes.some(({ instanceId }) => instanceId === 'the-scheduler'));
  await cold.close();
});
