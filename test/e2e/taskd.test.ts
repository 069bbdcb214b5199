import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { freePort, isListening, Program, root, runProgram, startTaskd, type Taskd } from '../../scripts/programs.js';

const folder = mkdtempSync(join(tmpdir(), 'taskd-e2e-'));
const running = new Set<Taskd>();
t.teardown(async () => {
  for (const { program } of running) await program.stop('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

async function standalone(name: string, ...more: string[]): Promise<Taskd> {
  const argv = ['standalone', '--data', join(folder, name), '--port', '0', '--admin-port', '0', ...more];
  const taskd = await startTaskd(argv);
  running.add(taskd);
  return taskd;
}

/** Every file below a folder with a digest of its bytes. */
function contents(path: string, below = ''): Record<string, string> {
  const all: Record<string, string> = {};
  for (const entry of readdirSync(join(path, below), { withFileTypes: true })) {
    const name = join(below, entry.name);
    if (entry.isDirectory()) Object.assign(all, { [`${name}/`]: '' }, contents(path, name));
    else
      all[name] = createHash('sha256')
        .update(readFileSync(join(path, name)))
        .digest('hex');
  }
  return all;
}

t.test('starts, says where, answers, stops with 0', async (t) => {
  const adminPort = await freePort();
  const taskd = await standalone('start', '--admin-port', String(adminPort));
  t.match(taskd.ready, {
    listen: /^127\.0\.0\.1:\d+$/,
    dataFolder: join(folder, 'start'),
    roles: ['nameserver', 'broker', 'scheduler'],
    pid: taskd.program.pid,
    admin: `http://127.0.0.1:${adminPort}`,
  });
  // It listens before the last shard is taken.
  let health = await fetch(`http://127.0.0.1:${adminPort}/healthz`);
  while (health.status !== 200) health = await fetch(`http://127.0.0.1:${adminPort}/healthz`);
  t.match(await health.json(), {
    status: 'ready',
    roles: { nameserver: 'ready', broker: 'ready', scheduler: 'ready' },
  });
  const metrics = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  for (const name of [
    'taskd_broker_records_appended_total',
    'taskd_rpc_connections',
    'process_resident_memory_bytes',
  ]) {
    t.match(metrics, new RegExp(`^${name}`, 'm'));
  }
  const port = Number(taskd.listen.split(':')[1]);
  t.strictSame(await taskd.program.stop('SIGTERM'), { code: 0, signal: null });
  t.notOk(await isListening(port));
  t.notOk(await isListening(adminPort));
  const again = await standalone('start', '--port', String(port));
  t.equal(again.listen, taskd.listen, 'the same port can be had at once');
  t.match(await again.program.stop('SIGINT'), { code: 0 });
});

t.test('a start that waits for others says so, and can be stopped', async (t) => {
  const [nobody, adminPort] = await Promise.all([freePort(), freePort()]);
  const argv = [
    '--role=scheduler',
    '--port',
    '0',
    '--name-servers',
    `127.0.0.1:${nobody}`,
    '--admin-port',
    `${adminPort}`,
  ];
  const program = new Program('taskd', join(root, 'bin', 'taskd.cjs'), argv);
  t.teardown(() => program.stop('SIGKILL'));
  await program.waitFor('it waited', (line) => line.includes('waiting for a broker') || undefined);
  const health = await fetch(`http://127.0.0.1:${adminPort}/healthz`);
  t.equal(health.status, 503);
  t.match(await health.json(), { status: 'starting', roles: { scheduler: 'starting' } });
  t.match(await program.stop('SIGTERM'), { code: 0 });
});

t.test('a second signal ends a drain at once', async (t) => {
  const taskd = await standalone('drain');
  const worker = new Program('worker.mjs', join(root, 'examples', 'worker.mjs'), [], { TASKD_SERVER: taskd.listen });
  t.teardown(() => worker.stop('SIGKILL'));
  await worker.waitFor('it worked', (line) => line === 'working' || undefined);
  // It holds its connection open and can't be asked to leave.
  worker.process.kill('SIGSTOP');
  const drains = taskd.program.waitFor('it drained', (line) => line.includes('taskd drains') || undefined);
  taskd.program.process.kill('SIGTERM');
  await drains;
  t.match(await taskd.program.stop('SIGTERM'), { code: 143 });
});

t.test('a wrong flag or variable: exit 2, and nothing on disk', async (t) => {
  const data = join(folder, 'never');
  const cases: [string[], Record<string, string>, RegExp][] = [
    [['standalone', '--data', data, '--listen', '0.0.0.0:0'], {}, /not a loopback address.*ssh -L/],
    [['standalone', '--data', data, '--colour'], {}, /unknown option '--colour'/],
    [['standalone', '--data', data], { TASKD_PROT: '1' }, /TASKD_PROT is "1": there is no such setting/],
    [['--role=scheduler', '--data', data], {}, /--name-servers .* is missing/],
  ];
  const check = async ([argv, environment, line]: (typeof cases)[number]): Promise<void> => {
    const ended = await runProgram('taskd', argv, { environment, cwd: folder });
    t.equal(ended.code, 2, argv.join(' '));
    t.match(ended.err, /^taskd: [^\n]+\n$/);
    t.match(ended.err, line);
    t.equal(ended.out, '');
  };
  await Promise.all(cases.map(check));
  t.notOk(existsSync(data));
});

t.test('a port in use: exit 9, and nothing on disk', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  t.teardown(() => other.close());
  const { port } = other.address() as { port: number };
  const data = join(folder, 'port-in-use');
  const start = ['standalone', '--data', data];
  const [taken, admin] = await Promise.all([
    runProgram('taskd', [...start, '--port', `${port}`, '--admin-port', '0']),
    runProgram('taskd', [...start, '--port', '0', '--admin-port', `${port}`]),
  ]);
  t.match(taken, { code: 9, err: new RegExp(`^taskd: 127\\.0\\.0\\.1:${port} is in use[^\n]*--port\n$`) });
  t.match(admin, { code: 9, err: new RegExp(`^taskd: --admin-port [^\n]*is ${port}: it is in use[^\n]*\n$`) });
  t.notOk(existsSync(data));
});

t.test('a data folder that can not be used: exit 8, one line, and nothing in it is changed', async (t) => {
  const refused = async (name: string, line: RegExp): Promise<void> => {
    const data = join(folder, name);
    const before = name === 'used' ? {} : contents(data);
    const ended = await runProgram('taskd', ['standalone', '--data', data, '--port', '0', '--admin-port', '0']);
    t.equal(ended.code, 8, `${name}: ${ended.err}`);
    t.match(ended.err, /^taskd: [^\n]+\n$/);
    t.match(ended.err, line);
    t.ok(ended.err.includes(data), 'it names the folder');
    if (name !== 'used') t.strictSame(contents(data), before);
  };

  const used = await standalone('used');
  await refused('used', /in use|another process/);
  t.match(await used.program.stop(), { code: 0 }, 'the one that uses it has not noticed');

  mkdirSync(join(folder, 'foreign'));
  writeFileSync(join(folder, 'foreign', 'thesis.txt'), 'mine');
  await refused('foreign', /foreign|empty|not .*taskd/);

  cpSync(join(folder, 'used'), join(folder, 'newer'), { recursive: true });
  await t.test('a newer version', async (t) => {
    const meta = join(folder, 'newer', 'meta');
    t.ok(existsSync(meta));
    writeFileSync(meta, readFileSync(meta, 'latin1').replace('format 1\n', 'format 999\n'));
    await refused('newer', /newer|version/);
  });

  if (process.getuid?.() !== 0) {
    mkdirSync(join(folder, 'unwritable'));
    chmodSync(join(folder, 'unwritable'), 0o500);
    await refused('unwritable', /EACCES|written/);
  }
  writeFileSync(join(folder, 'file'), 'not a folder');
  const nowhere = [join(folder, 'file', 'x'), '/proc/taskd-e2e'];
  const start = ['standalone', '--port', '0', '--admin-port', '0', '--data'];
  for (const ended of await Promise.all(nowhere.map((path) => runProgram('taskd', [...start, path])))) {
    t.match(ended, { code: 8, err: /^taskd: [^\n]+\n$/ });
  }
});

t.test('not built: the launcher says what to do', async (t) => {
  mkdirSync(join(folder, 'clone', 'bin'), { recursive: true });
  for (const name of ['taskd', 'taskctl'] as const) {
    const launcher = join(folder, 'clone', 'bin', `${name}.cjs`);
    cpSync(join(root, 'bin', `${name}.cjs`), launcher);
    const program = new Program(name, launcher, []);
    t.match(await program.exited, { code: 1 });
    t.match(program.lastLines.join('\n'), /not built yet.*npm run build/);
  }
});
