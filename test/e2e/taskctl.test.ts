import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { freePort, Program, root, runProgram, startTaskd } from '../../scripts/programs.js';
import { silentLogger } from '../../src/base/logger.js';
import { control } from '../../src/cli/control.js';
import { NameServerClient } from '../../src/cli/name-servers.js';
import { TaskdClient } from '../../src/client/client.js';
import type { Address } from '../../src/runtime/net.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';

const { files } = nodeRuntime(silentLogger);
const folder = mkdtempSync(join(tmpdir(), 'taskctl-e2e-'));
const data = join(folder, 'data');
const server = await startTaskd(['standalone', '--data', data, '--port', '0', '--admin-port', '0']);
const environment = { TASKD_SERVER: server.listen };
t.teardown(async () => {
  await server.program.stop('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** The commands as the program runs them, without a process for each: some of the tests below start the program. */
async function taskctl(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const ended = { code: -1, out: '', err: '' };
  const sink = {
    out: (text: string): void => {
      ended.out += text;
    },
    err: (text: string): void => {
      ended.err += text;
    },
  };
  const connect = async (): Promise<TaskdClient> => new TaskdClient({ servers: [server.listen] });
  const nameServers = (servers: readonly Address[]): NameServerClient => new NameServerClient(servers);
  const world = { sink, environment, nowMs: Date.now(), lines, connect, nameServers, files, onStop: () => {} };
  ended.code = await control(argv, world);
  return ended;
}

async function* lines(): AsyncGenerator<string> {
  for (let i = 0; i < 300; i++) yield `line ${i}`;
}

async function json(...argv: string[]): Promise<unknown> {
  const ended = await taskctl(...argv, '--json');
  if (ended.code !== 0) throw new Error(`${argv.join(' ')}: ${ended.err}`);
  return JSON.parse(ended.out);
}

t.test('a server without anything in it', async (t) => {
  t.match(await taskctl('jobs', 'ls'), { code: 0, out: '', err: 'no jobs\n' });
  t.strictSame(await json('apps', 'ls'), []);
  t.match(await json('topics', 'ls'), [{ name: /^(taskd|__)/ }]);
  const nodes = (await json('nodes')) as { service: string }[];
  for (const service of ['taskd.broker', 'taskd.scheduler'])
    t.ok(
      nodes.some((node) => node.service === service),
      service,
    );
});

t.test('a job from its making to its end', async (t) => {
  const put = await json(
    'jobs',
    'put',
    'mail',
    'digest',
    '--processor',
    'send',
    '--cron',
    '0 8 * * *',
    '--args',
    '[1]',
  );
  t.match(put, {
    app: 'mail',
    name: 'digest',
    cron: '0 8 * * *',
    arguments: [1],
    paused: false,
    nextFire: /T08:00:00/,
  });
  t.match(await taskctl('jobs', 'ls'), { code: 0, out: /^mail +digest +send +0 8 \* \* \*/m });
  t.equal((await taskctl('jobs', 'pause', 'mail', 'digest')).code, 0);
  t.match(await json('jobs', 'get', 'mail', 'digest'), { paused: true });
  t.equal((await taskctl('jobs', 'resume', 'mail', 'digest')).code, 0);
  t.match(await json('jobs', 'get', 'mail', 'digest'), { paused: false });
  t.equal((await taskctl('jobs', 'rm', 'mail', 'digest')).code, 0);
  t.match(await taskctl('jobs', 'get', 'mail', 'digest'), { code: 3, err: /^taskctl: [^\n]+\n$/ });
});

t.test('what the owner refuses: exit 5 and the reason in one line', async (t) => {
  const cases: [string[], RegExp][] = [
    [['--cron', '61 * * * *'], /61|minute|field/],
    [['--cron', '* * * *'], /field/],
    [['--cron', '0 0 30 2 *'], /never/],
    [['--cron', '* * * * *', '--zone', 'Mars/Olympus'], /Mars\/Olympus/],
  ];
  for (const [flags, reason] of cases) {
    const ended = await taskctl('jobs', 'put', 'mail', 'bad', '--processor', 'send', ...flags);
    t.equal(ended.code, 5, ended.err);
    t.match(ended.err, /^taskctl: [^\n]+\n$/);
    t.match(ended.err, reason);
  }
  t.match(await taskctl('jobs', 'get', 'mail', 'bad'), { code: 3 });
});

t.test('topics: made, written to, changed, deleted', async (t) => {
  t.match(await json('topics', 'create', 'orders', '--partitions', '2', '--retention', '1d'), { partitions: 2 });
  const one = await json('produce', 'orders', '{"id":1}', '--key', 'k', '--header', 'kind=order');
  t.match(one, { topic: 'orders', offset: 1 });
  const many = (await json('produce', 'orders', '--partition', '1')) as { records: number; partitions: object[] };
  t.match(many, { records: 300, partitions: [{ partition: 1, records: 300 }] });
  t.match(await json('topics', 'alter', 'orders', '--retention', 'default', '--flush', '50ms'), {
    configured: { flushIntervalMs: 50 },
    config: { retentionMs: 604_800_000 },
  });
  const { out } = await taskctl('topics', 'describe', 'orders');
  t.match(out, /^retention +7d \(default\)$/m);
  t.match(out, /^flush +within 50ms$/m);
  t.match(out, /^ +1 +127\.0\.0\.1:\d+ +\d+ +0 +30[12] +/m);
  t.match((await taskctl('produce', 'orders', 'x', '--partition', '2')).code, 5);
  t.match((await taskctl('topics', 'rm', 'orders')).out, /orders is deleted/);
  t.equal((await taskctl('topics', 'describe', 'orders')).code, 3);
  t.equal((await taskctl('topics', 'rm', 'taskd.jobs')).code, 5);
});

t.test('runs: submitted, cancelled, waited for', async (t) => {
  const { id } = (await json('runs', 'submit', 'mail', 'send', '--after', '1h')) as { id: string };
  t.match(await json('runs', 'get', id), { id, state: 'SCHEDULED', processor: 'send' });
  t.match(await taskctl('runs', 'ls', 'mail', '--state', 'scheduled'), { code: 0, out: new RegExp(`^${id} `, 'm') });
  t.equal((await taskctl('runs', 'cancel', id)).code, 0);
  t.match(await json('runs', 'get', id), { state: 'CANCELLED' });
  t.equal((await taskctl('runs', 'cancel', id)).code, 5);
  t.equal((await taskctl('runs', 'get', '0:999999999')).code, 3);
  const waited = await taskctl('runs', 'submit', 'mail', 'nobody-does-this', '--wait', '50ms');
  t.equal(waited.code, 6, waited.err);
});

t.test('the program itself', async (t) => {
  const [list, missing, wrong] = await Promise.all([
    runProgram('taskctl', ['topics', 'ls', '--json'], { environment }),
    runProgram('taskctl', ['runs', 'get', '0:999999999'], { environment }),
    runProgram('taskctl', ['runs', 'get', 'seventeen'], { environment }),
  ]);
  t.match(list, { code: 0, err: '' });
  t.ok(Array.isArray(JSON.parse(list.out)));
  t.match(missing, { code: 3, out: '', err: /^taskctl: [^\n]+\n$/ });
  t.match(wrong, { code: 2, out: '', err: /^taskctl: [^\n]+\n$/ });
});

t.test('nobody there: exit 4 in one line', async (t) => {
  const port = await freePort();
  const ended = await runProgram('taskctl', ['--server', `127.0.0.1:${port}`, 'jobs', 'ls']);
  t.equal(ended.code, 4, ended.err);
  t.match(ended.err, /^taskctl: [^\n]+\n$/);
  t.ok(ended.err.includes(String(port)), 'it names the address');
});

t.test('the examples of README.md', async (t) => {
  const worker = new Program('worker.mjs', join(root, 'examples', 'worker.mjs'), [], environment);
  t.teardown(() => worker.stop('SIGKILL'));
  await worker.waitFor('it worked', (line) => line === 'working' || undefined);
  const job = new Program('job.mjs', join(root, 'examples', 'job.mjs'), [], environment);
  t.match(await job.exited, { code: 0 });
  t.strictSame(job.lastLines, ['SUCCEEDED hello you, at try 1']);

  const submitted = await taskctl('runs', 'submit', 'hello', 'greet', '--args', '{"name":"me"}', '--wait');
  t.match(submitted, { code: 0, out: /^result +hello me, at try 1$/m });
  const apps = (await json('apps', 'ls')) as { name: string }[];
  t.match(
    apps.find((app) => app.name === 'hello'),
    { workers: 1 },
  );
  t.equal((await worker.stop('SIGTERM')).code, 0);
});

t.test('the example of docs/consuming.md', async (t) => {
  const consumer = new Program('consumer.mjs', join(root, 'examples', 'consumer.mjs'), [], environment);
  t.teardown(() => consumer.stop('SIGKILL'));
  // The topic is made by the consumer.
  while ((await taskctl('topics', 'describe', 'orders')).code !== 0);
  const billed = consumer.waitFor('it billed', (line) => (line === 'billed 7 at try 2' ? line : undefined));
  for (const value of ['{"id":7,"amount":5000}', '{"id":8,"amount":-1}']) {
    t.equal((await taskctl('produce', 'orders', value, '--key', 'customer-7')).code, 0);
  }
  await billed;
  t.match(await json('dlq', 'ls', '--group', 'billing'), [{ topic: 'orders', lastError: 'a negative amount' }]);
  t.equal((await consumer.stop('SIGTERM')).code, 0);
  t.match(await json('groups', 'describe', 'billing'), { state: 'EMPTY', lag: 0 });
});

t.test('dead letters: listed, shown, replayed', async (t) => {
  const worker = new Program('worker.mjs', join(root, 'examples', 'worker.mjs'), [], environment);
  t.teardown(() => worker.stop('SIGKILL'));
  await worker.waitFor('it worked', (line) => line === 'working' || undefined);
  // Without arguments the processor throws.
  const failed = await taskctl('runs', 'submit', 'hello', 'greet', '--attempts', '1', '--wait', '--json');
  t.equal(failed.code, 7, failed.err);
  const { id } = JSON.parse(failed.out) as { id: string };
  t.match(await taskctl('dlq', 'ls', 'hello'), { code: 0, out: new RegExp(`^${id} +DEAD`, 'm') });
  t.match(await json('dlq', 'show', id), { id, state: 'DEAD', error: /destructure/ });
  const replayed = (await json('dlq', 'replay', id)) as { run: string; replayOf: string }[];
  t.match(replayed, [{ replayOf: id }]);
  t.match(await json('runs', 'get', replayed[0]!.run), { replayOf: id });
  t.equal((await taskctl('dlq', 'replay', id)).code, 5, 'only once');
  t.equal((await worker.stop('SIGTERM')).code, 0);
});
