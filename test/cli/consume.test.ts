import t from 'tap';
import { ErrorCode, TaskdError } from '../../src/base/errors.js';
import { control } from '../../src/cli/control.js';
import { parseFormat, recordJson } from '../../src/cli/record-format.js';
import { startStandalone } from '../../src/cli/standalone.js';
import { TaskdClient } from '../../src/client/client.js';
import { ConsumerRecord } from '../../src/client/consumer/consumer-record.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { temporaryFolder } from '../support/broker-node.js';
import { fakeClient, letter, lines, nowMs } from '../support/fake-control-client.js';
import { noNameServers } from '../support/fake-name-servers.js';
import { MemoryLogger } from '../support/rpc-pair.js';

async function taskctl(argv: string[], failure?: Error) {
  const ended = { code: -1, out: '', err: '', calls: [] as unknown[][] };
  ended.code = await control(argv, {
    nowMs,
    environment: {},
    lines,
    files: nodeRuntime(new MemoryLogger()).files,
    onStop: () => {},
    sink: { out: (text) => void (ended.out += text), err: (text) => void (ended.err += text) },
    nameServers: noNameServers,
    connect: () => Promise.resolve({ ...fakeClient(ended.calls, failure), close: async () => {} }),
  });
  return ended;
}

t.test('every command sends what its flags say', async (t) => {
  const sinceMs = Date.UTC(2030, 0, 1);
  const cases: [string[], unknown[][]][] = [
    [['groups', 'ls', '--prefix', 'b'], [['groups.list', 'b']]],
    [['groups', 'describe', 'billing'], [['groups.describe', 'billing']]],
    [
      ['groups', 'reset', 'billing', '--topic', 'orders', '--to', 'earliest', '--dry-run'],
      [['groups.reset', 'billing', { topic: 'orders', to: 'earliest', dryRun: true }]],
    ],
    [
      ['groups', 'reset', 'billing', '--topic=orders', '--to-offset', '0', '--partition', '3', '--partition', '1'],
      [['groups.reset', 'billing', { topic: 'orders', to: { offset: 0 }, partitions: [3, 1], dryRun: false }]],
    ],
    [
      ['groups', 'reset', 'billing', '--topic=orders', '--to-time', '2030-01-01T00:00:00Z'],
      [['groups.reset', 'billing', { topic: 'orders', to: { timeMs: sinceMs }, dryRun: false }]],
    ],
    [['groups', 'rm', 'billing'], [['groups.remove', 'billing']]],
    [['dlq', 'ls', '--group', 'billing'], [['deadRecords.list', 'billing', {}, 50]]],
    [
      ['dlq', 'ls', '--group=b', '--topic=t', '--error=e', '--since=2030-01-01T00:00:00Z', '--limit=3'],
      [['deadRecords.list', 'b', { topic: 't', error: 'e', sinceMs }, 3]],
    ],
    [['dlq', 'show', letter.id], [['deadRecords.get', letter.id]]],
    [
      ['dlq', 'replay', letter.id],
      [
        ['deadRecords.get', letter.id],
        ['deadRecords.replay', 'billing', { ids: [letter.id] }, { perSecond: 100, dryRun: false }],
      ],
    ],
    [
      ['dlq', 'replay', '--group', 'billing', '--per-second', '5', '--dry-run'],
      [['deadRecords.replay', 'billing', {}, { perSecond: 5, dryRun: true }]],
    ],
    [
      ['dlq', 'purge', '--group', 'billing', '--before', '2030-01-01T00:00:00Z'],
      [['deadRecords.purge', 'billing', { beforeMs: sinceMs }, { dryRun: false }]],
    ],
    [
      ['consume', 'orders'],
      [
        ['consumer', { topics: ['orders'], from: 'earliest', concurrency: 1, stopAtEnd: true }],
        ['topics.describe', 'orders'],
        ['consumer.run'],
      ],
    ],
    [
      ['consume', 'orders', '--follow', '--partition', '2'],
      [['consumer', { topics: ['orders'], from: 'latest', stopAtEnd: false, partitions: [2] }], [], []],
    ],
    [
      ['consume', 'orders', '--offset', '7'],
      [['consumer', { from: { offset: 7 } }], [], []],
    ],
    [
      ['consume', 'orders', '--group', 'g'],
      [['consumer', { group: 'g', from: 'earliest', retry: false }], [], []],
    ],
  ];
  for (const [argv, calls] of cases) {
    const ended = await taskctl(argv);
    t.match(ended, { code: 0, calls, err: '' }, argv.join(' '));
    t.equal(ended.calls.length, calls.length, argv.join(' '));
  }
});

t.test('what is wrong is said in one line, with exit code 2', async (t) => {
  const cases: [string[], RegExp][] = [
    [['consume'], /topic/],
    [['consume', 'orders', '--from-beginning', '--offset', '3'], /give one of/],
    [['consume', 'orders', '--group', 'g', '--partition', '3'], /leave out --partition/],
    [['consume', 'orders', '--offset', '-1'], /offset/],
    [['consume', 'orders', '--format', '%q'], /no field/],
    [['groups', 'reset', 'billing', '--to', 'earliest'], /--topic/],
    [['groups', 'reset', 'billing', '--topic', 'orders'], /give one of --to, --to-time and --to-offset/],
    [['groups', 'reset', 'billing', '--topic', 'orders', '--to', 'middle'], /earliest, latest/],
    [['dlq', 'ls'], /give <app>, or --group <group>/],
    [['dlq', 'ls', 'mail', '--error', 'x'], /go with --group/],
    [['dlq', 'ls', 'mail', '--group', 'g'], /or --group/],
    [['dlq', 'show', 'orders/1:2'], /dlq\.billing\.orders/],
    [['dlq', 'purge', '3:17'], /only dead letters of groups/],
    [['dlq', 'purge'], /give the id of a dead letter, or --group <group>/],
  ];
  for (const [argv, message] of cases) {
    const ended = await taskctl(argv);
    t.match(ended, { code: 2, calls: [] }, argv.join(' '));
    t.match(ended.err, /^taskctl: [^\n]+\n$/, argv.join(' '));
    t.match(ended.err, message);
  }
  const refused = new TaskdError(ErrorCode.CONFLICT, 'the group has members: stop them first');
  t.match(await taskctl(['groups', 'rm', 'billing'], refused), { code: 5, err: /stop them first/ });
});

t.test('people get tables without control characters, programs JSON', async (t) => {
  const group = await taskctl(['groups', 'describe', 'billing']);
  t.match(group.out, /^state +STABLE$/m);
  t.match(group.out, /^orders +0 +3 +10 +7 +m1$/m);
  t.match(group.out, /^orders +1 +- +0 +0 +-$/m);
  const described = JSON.parse((await taskctl(['groups', 'describe', 'billing', '--json'])).out) as object;
  t.match(described, { name: 'billing', lag: 7, partitions: [{ committed: 3 }, { committed: null }] });
  const list = await taskctl(['dlq', 'ls', '--group', 'billing']);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that there are none
  t.notMatch(list.out, /[\u0000-\u0009\u001b]/);
  t.match(list.out, /^dlq\.billing\.orders\/2:17 +orders\/2:900 +k� +5 +5s ago +Error: no/m);
  t.match(JSON.parse((await taskctl(['dlq', 'show', letter.id, '--json'])).out) as object, {
    id: letter.id,
    offset: 900,
    value: { base64: '//4=' },
    headers: { trace: 'x' },
    lastFailedAt: /^20/,
  });
  t.match(await taskctl(['dlq', 'purge', '--group', 'billing']), { out: '1 dead letter given up\n' });
});

t.test('a record as a line', async (t) => {
  const record = new ConsumerRecord({
    topic: 'orders',
    partition: 1,
    offset: 7,
    key: Buffer.from('k'),
    value: Buffer.from('a\tb\u001b[31m\nc'),
    timestampMs: Date.UTC(2030, 0, 1),
    headers: [{ name: 'n', value: Buffer.from('v') }],
    failure: undefined,
  });
  t.equal(
    parseFormat('%t/%p:%o %k=%v [%h] %T 100%%\\n')(record),
    'orders/1:7 k=a\tb�[31m�c [n=v] 2030-01-01T00:00:00.000Z 100%\n',
  );
  t.match(recordJson(record), {
    topic: 'orders',
    key: 'k',
    value: 'a\tb\u001b[31m\nc',
    headers: { n: 'v' },
    attempt: 1,
  });
});

t.test('against a server: consume, groups, dead letters', async (t) => {
  const runtime = nodeRuntime(new MemoryLogger());
  const options = { dataFolder: temporaryFolder(t), listen: { host: '127.0.0.1', port: 0 }, shards: 1 };
  const server = await startStandalone(runtime, options);
  t.teardown(() => server.stop());
  const client = new TaskdClient({ servers: [server.address] });
  t.teardown(() => client.close());
  const run = async (...argv: string[]) => {
    const ended = { code: -1, out: '', err: '' };
    const sink = { out: (text: string) => void (ended.out += text), err: (text: string) => void (ended.err += text) };
    const connect = async () => new TaskdClient({ servers: [server.address] });
    ended.code = await control(argv, {
      sink,
      environment: {},
      nowMs: Date.now(),
      lines,
      connect,
      nameServers: noNameServers,
      files: runtime.files,
      onStop: () => {},
    });
    return ended;
  };
  await client.topics.create('orders', { partitions: 2 });
  const producer = client.producer();
  for (const value of ['one', 'two', 'bad']) await producer.send('orders', { value, key: 'k', partition: 1 });

  t.match(await run('consume', 'orders'), { code: 0, out: 'one\ntwo\nbad\n', err: '' });
  t.match(await run('consume', 'orders', '--max', '1', '--format', '%p %k %v'), { code: 0, out: '1 k one\n' });
  const printed = (await run('consume', 'orders', '--json')).out.trim().split('\n');
  t.match(
    printed.map((line) => JSON.parse(line) as unknown),
    [{ value: 'one', partition: 1 }, { value: 'two' }, { value: 'bad', key: 'k' }],
  );
  t.match(await run('consume', 'absent'), { code: 3, out: '' });
  t.match(await run('consume', 'orders', '--partition', '9'), { code: 3, err: /partitions 0 to 1/ });

  t.match(await run('consume', 'orders', '--partition', '0', '--offset', '99999'), {
    code: 1,
    err: /partition 0 of orders ends at offset \d+: there is no offset 99999 yet/,
  });
  t.match((await run('consume', '--help')).out, /--format <pattern> .*\(default: %v\)/s);
  await client.topics.create('past', { partitions: 1 });
  t.match(await run('produce', 'past', 'late', '--at', '2001-01-01T00:00:00Z'), {
    code: 0,
    out: 'its time is over: delivered at once\n',
  });
  t.match(await run('topics', 'create', 'orders', '--partitions', '2', '--if-absent'), { code: 0, err: '' });
  t.match(await run('topics', 'create', 'orders', '--partitions', '2', '--if-absent', '--retention', '9d'), {
    code: 0,
    err: /topic orders was there, with another retention: change it with "taskctl topics alter"/,
  });
  for (const [flag, value, limit] of [
    ['--flush', '2m', /it is 1ms to 60s, or 0ms/],
    ['--retention', '0.5s', /it is 1s or more, or forever/],
  ] as const) {
    t.match(await run('topics', 'create', 'x', '--partitions', '1', flag, value), { code: 2, err: limit });
  }

  t.match(await run('consume', 'orders', '--group', 'billing', '--max', '2'), { code: 0, out: 'one\ntwo\n' });
  t.match((await run('groups', 'ls')).out, /^billing +EMPTY +0 /m);
  t.match((await run('groups', 'describe', 'billing')).out, /^orders +1 +\d+ +\d+ +1 +-$/m);
  const consumer = client.consumer({ group: 'billing', topics: ['orders'], retry: { delaysMs: [] } });
  let tries = 0;
  void consumer.run(() => {
    tries++;
    if (tries === 1) throw new Error('poison');
  });
  let list = '';
  while (!list.includes('dlq.')) list = (await run('dlq', 'ls', '--group', 'billing')).out;
  const id = /dlq\.billing\.orders\/1:\d+/.exec(list)![0];
  t.match((await run('dlq', 'show', id)).out, /^lastError +Error: poison$/m);
  t.match(await run('groups', 'reset', 'billing', '--topic', 'orders', '--to', 'earliest'), { code: 5, err: /member/ });
  t.match(await run('dlq', 'replay', id), { code: 0, out: /yes/ });
  t.match(await run('dlq', 'replay', id), { code: 5, out: '', err: /was replayed or given up before/ });
  t.match(await run('dlq', 'purge', id), { code: 5, out: '', err: /was replayed or given up before/ });
  t.match(await run('dlq', 'purge', '--group', 'billing'), { code: 0, out: '0 dead letters given up\n' });
  t.match(await run('dlq', 'purge', '--group', 'nope'), { code: 3, out: '', err: /nope/ });
  t.match(await run('dlq', 'replay', '--group', 'nope'), { code: 3, out: '', err: /nope/ });
  await consumer.close();
  t.match(await run('groups', 'reset', 'billing', '--topic', 'orders', '--to', 'earliest', '--dry-run'), { code: 0 });
  t.match(await run('groups', 'rm', 'billing'), { code: 0, out: 'billing is forgotten\n' });
});
