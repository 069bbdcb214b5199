import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ErrorCode, TaskdError } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/logger.js';
import { control } from '../../src/cli/control.js';
import type { ControlClient } from '../../src/cli/control-client.js';
import { formatAddress } from '../../src/runtime/net.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { fakeClient, job, lines, nowMs, stats } from '../support/fake-control-client.js';
import { noNameServers } from '../support/fake-name-servers.js';

const { files } = nodeRuntime(silentLogger);

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly calls: unknown[][];
  readonly server: string;
}

async function taskctl(argv: string[], failure?: Error, environment: Record<string, string> = {}): Promise<Ended> {
  const ended = { code: -1, out: '', err: '', calls: [] as unknown[][], server: '' };
  ended.code = await control(argv, {
    files,
    nowMs,
    environment,
    lines,
    onStop: () => {},
    sink: {
      out: (text) => {
        ended.out += text;
      },
      err: (text) => {
        ended.err += text;
      },
    },
    nameServers: noNameServers,
    async connect(servers) {
      ended.server = servers.map(formatAddress).join(' ');
      // The client isn't closed in vain: a failure of a command leaves close alone.
      const client = fakeClient(ended.calls, failure);
      return { ...client, close: async () => {} };
    },
  });
  return ended;
}

t.test('every command sends what its flags say', async (t) => {
  const cases: [string[], unknown[][]][] = [
    [['delayed', 'cancel', '2:5:1234:1764120000000'], [['cancelDelayed', '2:5:1234:1764120000000']]],
    [['jobs', 'put', 'mail', 'digest', '--processor', 'send'], [['jobs.put', 'mail', 'digest', { processor: 'send' }]]],
    [
      // biome-ignore format: one line of a shell
      ['jobs', 'put', 'mail', 'd', '--processor=p', '--cron', '* * * * *', '--zone', 'UTC', '--args', '[1]', '--timeout', '5m', '--priority', '9', '--attempts', '4', '--delays', '1s,1.5m', '--paused', '--if-version', '12'],
      [
        [
          'jobs.put',
          'mail',
          'd',
          {
            processor: 'p',
            cron: '* * * * *',
            zone: 'UTC',
            arguments: [1],
            timeoutMs: 300_000,
            priority: 9,
            paused: true,
            expectedVersion: 12,
            retry: { attemptsMax: 4, delaysMs: [1_000, 90_000] },
          },
        ],
      ],
    ],
    [['jobs', 'ls', 'mail'], [['jobs.list', 'mail']]],
    [
      ['jobs', 'ls'],
      [['apps.list'], ['jobs.list', 'mail']],
    ],
    [['jobs', 'get', 'mail', 'digest'], [['jobs.get', 'mail', 'digest']]],
    [['jobs', 'pause', 'mail', 'digest'], [['jobs.pause', 'mail', 'digest']]],
    [['jobs', 'resume', 'mail', 'digest'], [['jobs.resume', 'mail', 'digest']]],
    [['jobs', 'rm', 'mail', 'digest'], [['jobs.remove', 'mail', 'digest']]],
    [['runs', 'submit', 'mail', 'send'], [['runs.submit', 'mail', { processor: 'send' }]]],
    [
      ['runs', 'submit', 'mail', 'send', '--args', 'null', '--after', '2h', '--attempts', '1'],
      [['runs.submit', 'mail', { processor: 'send', arguments: null, delayMs: 7_200_000, retry: { attemptsMax: 1 } }]],
    ],
    [
      ['runs', 'submit', 'mail', 'send', '--at', '2030-01-31T08:00:00Z'],
      [['runs.submit', 'mail', { processor: 'send', runAtMs: Date.UTC(2030, 0, 31, 8) }]],
    ],
    [
      ['runs', 'ls', 'mail', '--state', 'running,Dead', '--job', 'digest', '--limit', '3'],
      [['runs.list', 'mail', { limit: 3, states: ['RUNNING', 'DEAD'], job: 'digest' }]],
    ],
    [['runs', 'get', '3:17'], [['runs.get', '3:17']]],
    [['runs', 'cancel', '3:17'], [['runs.cancel', '3:17']]],
    [['dlq', 'ls', 'mail'], [['dead.list', 'mail', 50]]],
    [['dlq', 'show', '3:17'], [['dead.get', '3:17']]],
    [['dlq', 'replay', '3:17'], [['dead.replay', '3:17']]],
    [
      ['dlq', 'replay', '--all', 'mail'],
      [
        ['dead.list', 'mail', 10_000],
        ['dead.replay', '3:17'],
      ],
    ],
    [['topics', 'ls'], [['topics.list']]],
    [
      ['topics', 'create', 'orders', '--partitions', '2', '--if-absent', '--retention', 'default'],
      [['topics.create', 'orders', { partitions: 2, ifAbsent: true }]],
    ],
    [
      // biome-ignore format: one line of a shell
      ['topics', 'create', 'orders', '--partitions', '2', '--retention', '1h', '--retention-bytes', '1.5GiB', '--flush', '100ms', '--retry-delays', '1s,1m'],
      [
        [
          'topics.create',
          'orders',
          {
            partitions: 2,
            ifAbsent: false,
            retentionMs: 3_600_000,
            retentionBytes: 1_610_612_736,
            flushIntervalMs: 100,
            retryDelaysMs: [1_000, 60_000],
          },
        ],
      ],
    ],
    [
      ['topics', 'alter', 'orders', '--retention', 'forever', '--flush', 'default', '--partitions', '9'],
      [['topics.alter', 'orders', { retentionMs: 0, flushIntervalMs: null, partitions: 9 }]],
    ],
    [['topics', 'rm', 'orders'], [['topics.remove', 'orders']]],
    [['topics', 'describe', 'orders'], [['topics.describe', 'orders']]],
    [
      [
        'produce',
        'orders',
        'x',
        '--key',
        'k',
        '--header',
        'a=1',
        '--header',
        'b=c=d',
        '--partition',
        '1',
        '--delay',
        '60d',
      ],
      [
        [
          'send',
          'orders',
          { value: 'x', key: 'k', headers: { a: '1', b: 'c=d' }, partition: 1, delayMs: 5_184_000_000 },
        ],
      ],
    ],
    [
      ['produce', 'orders'],
      [
        ['send', 'orders', { value: 'first line' }],
        ['send', 'orders', { value: 'second' }],
      ],
    ],
    [['nodes'], [['nodes']]],
    [
      ['apps', 'ls'],
      [['apps.list'], ['apps.stats', 'mail']],
    ],
  ];
  for (const [argv, calls] of cases) {
    const plain = await taskctl(argv);
    t.equal(plain.code, 0, argv.join(' '));
    t.strictSame(plain.calls, calls);
    t.not(plain.out, '');
    t.notMatch(plain.out, /undefined|\[object/);
    const json = await taskctl([...argv, '--json']);
    const document: unknown = JSON.parse(json.out);
    t.equal(Array.isArray(document), argv.includes('ls') || argv[0] === 'nodes' || argv[1] === 'replay');
  }
});

t.test('tables and details are for people', async (t) => {
  const list = await taskctl(['runs', 'ls', 'mail']);
  t.equal(
    list.out,
    'ID    STATE  PROCESSOR  JOB  TRIES  DUE      TOOK   WORKER  ERROR\n' +
      '3:17  DEAD   send       -    3/3    90s ago  500ms  w1      Error: no�[31m such host\n',
  );
  const one = await taskctl(['runs', 'get', '3:17']);
  t.match(one.out, /^id {9}3:17$/m);
  t.match(one.out, /^arguments {2}\{"to":"me"\}$/m);
  t.notMatch(one.out, /null|replayOf/);
  t.match((await taskctl(['jobs', 'ls', 'mail'])).out, /^mail +digest +send +\* \* \* \* \* +UTC +in 30s +7 +12$/m);
  const json = JSON.parse((await taskctl(['runs', 'get', '3:17', '--json'])).out);
  t.match(json, { id: '3:17', arguments: { to: 'me' }, result: null, job: null, due: '2029-12-31T23:58:30.000Z' });
});

t.test('exit codes mean something', async (t) => {
  const cases: [ErrorCode, number][] = [
    [ErrorCode.NOT_FOUND, 3],
    [ErrorCode.NOT_SENT, 4],
    [ErrorCode.INVALID, 5],
    [ErrorCode.OUTCOME_UNKNOWN, 6],
    [ErrorCode.INTERNAL, 1],
  ];
  for (const [code, exit] of cases) {
    const failed = await taskctl(['runs', 'get', '3:17'], new TaskdError(code, 'so it is'));
    t.match(failed, { code: exit, out: '', err: 'taskctl: so it is\n' });
  }
  const json = await taskctl(['runs', 'get', '3:17', '--json'], new TaskdError(ErrorCode.NOT_FOUND, 'so it is'));
  t.match(JSON.parse(json.err), { error: { code: 'NOT_FOUND', message: 'so it is' } });
  t.equal(json.out, '');
  const waited = await taskctl(['runs', 'submit', 'mail', 'send', '--wait', '5s']);
  t.equal(waited.code, 7);
  t.strictSame(waited.calls[1], ['runs.result', '3:18', 5_000]);
});

t.test('wrong use is one line, exit 2, and nothing is sent', async (t) => {
  const cases: [string[], RegExp][] = [
    [['jobs', 'put', 'mail'], /give an app and a name, or --file/],
    [['jobs', 'put', 'mail', 'd'], /--processor is missing/],
    [['jobs', 'put', 'mail', 'd', '--processor', 'p', '--file', 'x'], /can not be read \(ENOENT\)/],
    [['jobs', 'put', 'mail', 'd', '--processor', 'p', '--args', '{to:me}'], /--args.*it is JSON/],
    [['runs', 'submit', 'mail', 'send', '--after', 'soon'], /'--after <duration>'.*'soon'.*500ms, 10s, 5m/],
    [['runs', 'submit', 'mail', 'send', '--at', 'x', '--after', '1s'], /an instant is such as/],
    [['runs', 'submit', 'mail', 'send', '--at', '2030-01-01', '--after', '1s'], /give one of them/],
    [['runs', 'submit', 'mail'], /missing required argument 'processor'/],
    [['runs', 'get', '17'], /a run id is shard:offset, such as 3:1742/],
    [['runs', 'ls', 'mail', '--state', 'broken'], /states are SCHEDULED/],
    [['runs', 'list', 'mail'], /unknown command 'list'/],
    [['dlq', 'replay'], /give the id of a dead letter, --all <app>, or --group <group>/],
    [['topics', 'create', 'orders'], /required option '--partitions <n>'/],
    [['topics', 'create', 'orders', '--partitions', '0'], /a whole number from 1 to 1024/],
    [['topics', 'create', 'orders', '--partitions', '1', '--retention', 'long'], /500ms, 10s, 5m, 2h or 365d/],
    [['topics', 'create', 'orders', '--partitions', '1', '--retention-bytes', '5'], /64KiB, 10MiB/],
    [['topics', 'alter', 'orders'], /name at least one setting/],
    [['produce', 'orders', 'x', '--file', 'y'], /give a value or --file/],
    [['produce', 'orders', '--file', '/absent'], /--file: ENOENT/],
    [['produce', 'orders', 'x', '--header', 'a'], /a header is name=value/],
    [['produce', 'orders', 'x', '--delay', '1s', '--at', '2030-01-01'], /give --delay or --at/],
    [['--server', 'here', 'nodes'], /--server is "here": it must be host:port/],
  ];
  for (const [argv, line] of cases) {
    const ended = await taskctl(argv);
    t.equal(ended.code, 2, argv.join(' '));
    t.match(ended.err, line);
    t.match(ended.err, /^taskctl: [^\n]+\n$/);
    t.strictSame(ended.calls, []);
  }
});

t.test('the server: flag, environment, default', async (t) => {
  t.equal((await taskctl(['nodes'])).server, '127.0.0.1:7400');
  t.equal((await taskctl(['nodes'], undefined, { TASKD_SERVER: 'a:1' })).server, 'a:1');
  t.equal((await taskctl(['nodes', '--server', 'b:2'], undefined, { TASKD_SERVER: 'a:1' })).server, 'b:2');
  t.equal((await taskctl(['nodes', '--server', 'b:2, c:3'])).server, 'b:2 c:3', 'several');
  t.equal((await taskctl(['nodes', '--server', 'b:2,'])).code, 2);
});

t.test('help has examples for each command', async (t) => {
  const top = await taskctl(['--help']);
  t.equal(top.code, 0);
  t.match(top.out, /Exit codes:\n {2}0 {2}done/);
  const commands = [
    ...['put', 'ls', 'get', 'pause', 'resume', 'rm'].map((verb) => ['jobs', verb]),
    ...['submit', 'ls', 'get', 'cancel'].map((verb) => ['runs', verb]),
    ...['ls', 'show', 'replay'].map((verb) => ['dlq', verb]),
    ['topics', 'ls'],
    ['nodes'],
    ['apps', 'ls'],
  ];
  for (const command of commands) {
    const help = await taskctl([...command, '--help']);
    t.equal(help.code, 0);
    t.match(help.out, new RegExp(`Examples?:\\n  taskctl ${command.join(' ')}`));
  }
});

t.test('a file of jobs', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'taskctl-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'jobs.yaml');
  writeFileSync(
    path,
    `
- app: reports
  name: nightly
  processor: build
  cron: 0 3 * * *
  arguments: { kind: full }
  attempts: 5
  delays: [10s, 1m]
  timeout: 10m
- { app: mail, name: digest, processor: send }
`,
  );
  const put = await taskctl(['jobs', 'put', '--file', path]);
  t.equal(put.code, 0, put.err);
  t.strictSame(put.calls, [
    [
      'jobs.put',
      'reports',
      'nightly',
      {
        processor: 'build',
        cron: '0 3 * * *',
        arguments: { kind: 'full' },
        timeoutMs: 600_000,
        retry: { attemptsMax: 5, delaysMs: [10_000, 60_000] },
      },
    ],
    ['jobs.put', 'mail', 'digest', { processor: 'send' }],
  ]);
  const faults: [string, RegExp][] = [
    ['- { app: a, name: b }', /job 1 processor: /],
    ['- { app: a, name: b, processor: c, crom: x }', /job 1: .*crom/],
    ['- { app: a, name: b, processor: c, timeout: soon }', /job 1 timeout: a duration is/],
    ['{', /is not YAML/],
    ['a: 1', /the file: /],
  ];
  for (const [text, line] of faults) {
    writeFileSync(path, text);
    const ended = await taskctl(['jobs', 'put', '--file', path]);
    t.equal(ended.code, 2);
    t.match(ended.err, line);
    t.strictSame(ended.calls, []);
  }
});

t.test('a command that there is not points to the help', async (t) => {
  for (const argv of [['frobnicate'], ['jobs', 'frobnicate']]) {
    const { code, err } = await taskctl(argv);
    t.equal(code, 2);
    t.match(err, /^taskctl: unknown command 'frobnicate'; see taskctl --help\n$/);
  }
});

t.test('lists of all apps leave out the shards that are out of service, and name them', async (t) => {
  const failure = new TaskdError(ErrorCode.STORAGE_FAILED, 'its log is damaged');
  const apps = [
    { name: 'bad', appId: 1, shard: 15 },
    { name: 'mail', appId: 2, shard: 3 },
    { name: 'worse', appId: 3, shard: 15 },
  ];
  const whole = fakeClient([]);
  const only =
    <T>(value: T) =>
    (name: string) =>
      name === 'mail' ? Promise.resolve(value) : Promise.reject(failure);
  const client: ControlClient = {
    ...whole,
    jobs: { ...whole.jobs, list: only([job]) },
    apps: { list: () => Promise.resolve(apps), stats: only(stats) },
  };
  const world = { nowMs, environment: {}, lines, files, onStop: () => {}, nameServers: noNameServers };
  for (const argv of [
    ['jobs', 'ls'],
    ['apps', 'ls'],
  ]) {
    let [out, err] = ['', ''];
    const sink = { out: (text: string) => void (out += text), err: (text: string) => void (err += text) };
    t.equal(await control(argv, { ...world, sink, connect: () => Promise.resolve(client) }), 1);
    t.match(out, /^mail /m);
    t.equal(err, 'taskctl: shard 15 is left out: its log is damaged\n');
  }
});
