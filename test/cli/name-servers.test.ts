import t from 'tap';
import { ErrorCode, TaskdError } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/logger.js';
import { changesBetween, tableFrame } from '../../src/cli/commands/instance-watch.js';
import { differencesOf } from '../../src/cli/commands/name-server-nodes.js';
import { control } from '../../src/cli/control.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { lines, nowMs } from '../support/fake-control-client.js';
import { billing1, billing2, FakeNameServers, viewOf } from '../support/fake-name-servers.js';

const { files } = nodeRuntime(silentLogger);
const scope = { namespace: 'taskd', group: '' };

async function taskctl(argv: string[], names = new FakeNameServers(), onStop: (stop: () => void) => void = () => {}) {
  const ended = { code: -1, out: '', err: '', calls: names.calls };
  ended.code = await control(argv, {
    ...{ nowMs, environment: {}, lines, files, onStop },
    sink: { out: (text) => void (ended.out += text), err: (text) => void (ended.err += text) },
    connect: () => Promise.reject(new Error('a client was asked for')),
    nameServers: () => names,
  });
  return ended;
}

t.test('every command sends what its flags say', async (t) => {
  const cases: [string[], unknown[][]][] = [
    [['services', '--namespace', 'shop'], [['services', 'shop']]],
    [
      ['instances', 'billing'],
      [
        ['instances', { ...scope, selector: '' }, 'billing'],
        ['overrides', 'taskd'],
      ],
    ],
    [['overrides'], [['overrides', '']]],
    [
      ['drain', 'billing', 'b1'],
      [
        ['instances', { ...scope, selector: '' }, 'billing'],
        ['override', { ...scope, service: 'billing', instanceId: 'b1', mode: 'draining' }],
      ],
    ],
    [
      ['disable', 'billing', 'b1', '--group', 'blue', '--namespace', 'shop'],
      [[], ['override', { namespace: 'shop', group: 'blue', service: 'billing', instanceId: 'b1', mode: 'disabled' }]],
    ],
    [
      ['enable', 'billing', 'b9'],
      [[], ['overrides', 'taskd'], ['override', { ...scope, service: 'billing', instanceId: 'b9', mode: 'enabled' }]],
    ],
    [
      ['weight', 'billing', 'b1', '250'],
      [[], ['override', { ...scope, service: 'billing', instanceId: 'b1', weight: 250 }]],
    ],
    [
      ['weight', 'billing', 'b1', 'reset'],
      [[], ['override', { ...scope, service: 'billing', instanceId: 'b1', weight: 0 }]],
    ],
  ];
  for (const [argv, calls] of cases) {
    const plain = await taskctl(['ns', ...argv]);
    t.equal(plain.code, 0, plain.err);
    t.strictSame(
      plain.calls.slice(0, -1).map((call, i) => (calls[i]?.length === 0 ? [] : call)),
      calls,
      argv.join(' '),
    );
    t.strictSame(plain.calls.at(-1), ['close']);
    t.not(plain.out, '');
    t.notMatch(plain.out, /undefined|\[object/);
    const json = await taskctl(['ns', ...argv, '--json']);
    t.doesNotThrow(() => JSON.parse(json.out), json.out);
  }
});

t.test('tables are for people', async (t) => {
  const { out } = await taskctl(['ns', 'instances', 'billing']);
  t.equal(
    out,
    'ID  ADDRESSES       ZONE  WEIGHT    HEALTH    TAGS     OWNER  VERSION\n' +
      'b1  127.0.0.1:9000  east  100       up        gpu new  n1     5.1\n' +
      'b2  127.0.0.1:9001  -     10 (set)  draining  -        -      static\n',
  );
  const json = JSON.parse((await taskctl(['ns', 'instances', 'billing', '--json'])).out);
  t.match(json, [
    { instanceId: 'b1', addresses: ['127.0.0.1:9000'], metadata: { rack: '7' }, override: null },
    { instanceId: 'b2', override: { mode: 'draining', weight: 10, at: '2029-12-31T23:59:00.000Z', nodeId: 'n2' } },
  ]);
  t.match((await taskctl(['ns', 'overrides'])).out, /^taskd +- +billing +b9 +draining +- +60s ago +n2$/m);
  t.match((await taskctl(['ns', 'enable', 'billing', 'b2'])).out, /b2 may be called, with the weight 10 that was set/);
  const services = await taskctl(['ns', 'services', '--group', '', '--json']);
  t.match(JSON.parse(services.out), [{ service: 'billing', instances: 2, healthy: 1 }]);
  t.equal(JSON.parse(services.out).length, 1);
});

t.test('what is not there: exit 3, and what there is', async (t) => {
  const cases: [string[], RegExp][] = [
    [['instances', 'biling'], /no service "biling"; there are: billing$/m],
    [['drain', 'biling', 'b1'], /no service "biling"; there are: billing$/m],
    [['drain', 'billing', 'b7'], /billing has no instance "b7"; it has: b1, b2$/m],
    [['weight', 'billing', 'b7', '5'], /it has: b1, b2/],
    [
      ['instances', 'shop'],
      /no service "shop"; there are: billing; there is one in the namespace taskd and the group blue/,
    ],
    [['instances', 'x', '--namespace', 'y'], /no service "x" in the namespace y; there is none/],
  ];
  for (const [argv, reason] of cases) {
    const ended = await taskctl(['ns', ...argv]);
    t.equal(ended.code, 3, ended.err);
    t.match(ended.err, reason);
    t.notOk(ended.calls.some(([name]) => name === 'override'));
  }
  const none = await taskctl(['ns', 'instances', 'billing', '--selector', 'zone=west']);
  t.match(none, { code: 0, out: '', err: 'no instance of billing matches\n' });
});

t.test('wrong use: exit 2, and nobody is asked', async (t) => {
  const cases: [string[], RegExp][] = [
    [['weight', 'billing', 'b1', '0'], /the weight is "0": a whole number from 1 to 10000, or reset/],
    [['weight', 'billing', 'b1'], /missing required argument/],
    [['drain', 'billing'], /missing required argument 'instance'/],
    [['list'], /unknown command 'list'/],
  ];
  for (const [argv, reason] of cases) {
    const ended = await taskctl(['ns', ...argv]);
    t.equal(ended.code, 2);
    t.match(ended.err, reason);
    t.notOk(ended.calls.some(([name]) => name !== 'close'));
  }
});

t.test('refusals and silence have their exit codes; an old answer is told as one', async (t) => {
  const cases: [ErrorCode, number][] = [
    [ErrorCode.NOT_SENT, 4],
    [ErrorCode.NOT_READY, 4],
    [ErrorCode.QUOTA, 5],
    [ErrorCode.DEADLINE, 6],
    [ErrorCode.STORAGE_FULL, 1],
  ];
  for (const [code, exit] of cases) {
    const names = new FakeNameServers();
    names.failure = new TaskdError(code, 'so it is');
    t.match(await taskctl(['ns', 'services'], names), { code: exit, out: '', err: 'taskctl: so it is\n' });
  }
  const names = new FakeNameServers();
  names.isFrozen = true;
  t.match(await taskctl(['ns', 'services'], names), { code: 0, err: /does not reach most of the others/ });
});

t.test('ns nodes: views side by side, with marks where they differ', async (t) => {
  const names = new FakeNameServers();
  const n1 = viewOf('n1', ['n2']);
  const n2 = viewOf('n2', ['n1']);
  names.answers = [n1, n2].map((view) => ({ address: `${view.nodeId}:1`, view, error: undefined }));
  const same = await taskctl(['ns', 'nodes'], names);
  t.match(same, { code: 0, err: '' });
  t.notMatch(same.out, /\*/);
  t.match(same.out, /^n1 +n1:1 +ready +7 +1 +2 +0 +2 +1\/1 +0ms$/m);
  t.match(same.out, /^n1 +self, 1 +alive 200ms, 1$/m);

  const blind = { ...n2, instances: 1, isFrozen: true, owners: [{ ...n2.owners[1]!, state: 'gone' as const }] };
  const error = new TaskdError(ErrorCode.NOT_SENT, 'refused');
  names.answers = [
    { address: 'n1:1', view: n1, error: undefined },
    { address: 'n2:1', view: blind, error: undefined },
    { address: 'n3:1', view: undefined, error },
  ];
  const differing = await taskctl(['ns', 'nodes'], names);
  t.equal(differing.code, 1, 'one does not answer');
  t.match(differing.out, /^- +n3:1 +no answer \(NOT_SENT\)/m);
  t.match(differing.out, /^n2 +n2:1 +ready, frozen +7 +1 +1 \*/m);
  t.match(differing.out, /^n1 +self, 1 \* +gone 200ms, 1 \*$/m);
  t.match(differing.err, /differ about the state of n1: alive at n1, gone at n2$/m);
  const json = JSON.parse((await taskctl(['ns', 'nodes', '--json'], names)).out);
  t.match(json.nodes, [
    { nodeId: 'n1', error: null },
    { nodeId: 'n2' },
    { address: 'n3:1', error: { code: 'NOT_SENT' } },
  ]);
  t.match(json.differences[0], { owner: '', what: 'instances', values: { n1: 2, n2: 1 } });
});

t.test('ages and positions in logs are no differences', async (t) => {
  const n1 = viewOf('n1', ['n2', 'n3']);
  const later = {
    ...viewOf('n2', ['n1', 'n3']),
    staleMs: 40,
    owners: viewOf('n2', ['n1', 'n3']).owners.map((each) => ({ ...each, sequence: 9, ageMs: 1_000 })),
  };
  t.strictSame(differencesOf([n1, later]), []);
  t.strictSame(differencesOf([n1]), []);
  t.strictSame(differencesOf([]), []);
  const restarted = { ...later, owners: later.owners.map((each) => ({ ...each, incarnation: 8 })) };
  t.match(differencesOf([n1, restarted])[0], { owner: 'n1', what: 'incarnation', values: { n1: 7, n2: 8 } });
});

t.test('ns watch: a line for each true change, until it is stopped', async (t) => {
  for (const isJson of [false, true]) {
    const names = new FakeNameServers();
    let stop = (): void => {};
    names.onWatch = () => {
      names.listener([billing1]);
      names.listener([{ ...billing1 }]);
      names.listener([{ ...billing1, weight: 5, health: 'suspect' }, billing2]);
      names.listener([billing2]);
      stop();
    };
    const argv = ['ns', 'watch', 'billing', '--selector', 'zone=east', ...(isJson ? ['--json'] : [])];
    const ended = await taskctl(argv, names, (callback) => (stop = callback));
    t.match(ended, { code: 0, err: '' });
    t.strictSame(ended.calls[1], ['watch', 'billing', { ...scope, selector: 'zone=east' }]);
    const told = ended.out.trim().split('\n');
    if (isJson) {
      t.match(
        told.map((line) => JSON.parse(line)),
        [
          { change: 'added', instanceId: 'b1', addresses: ['127.0.0.1:9000'] },
          { change: 'listed', instances: 1 },
          { change: 'changed', weight: 5 },
          { change: 'added', instanceId: 'b2' },
          { change: 'removed', instanceId: 'b1' },
        ],
      );
      continue;
    }
    t.match(told, [
      /^\S+Z {2}added {4}billing\/b1 {2}127\.0\.0\.1:9000, up, weight 100, zone east, tags gpu new$/,
      /^\S+ {2}changed {2}billing\/b1 {2}health up → suspect, weight 100 → 5$/,
      /^\S+ {2}added {4}billing\/b2 /,
      /^\S+ {2}removed {2}billing\/b1 /,
    ]);
  }
});

t.test('ns watch: nobody there, and a wrong selector, are told at once', async (t) => {
  const names = new FakeNameServers();
  names.failure = new TaskdError(ErrorCode.INVALID, 'no selector');
  t.match(await taskctl(['ns', 'watch', 'billing', '--selector', '='], names), {
    code: 5,
    err: 'taskctl: no selector\n',
  });
});

t.test('what changed between two lists', async (t) => {
  const other = { ...billing1, service: 'shop' };
  t.strictSame(changesBetween([], []), []);
  t.match(changesBetween([billing1, other], [other]), [{ change: 'removed', instance: billing1 }]);
  t.strictSame(changesBetween([billing1], [{ ...billing1, tags: [...billing1.tags] }]), []);
});

t.test('a frame is no larger than the screen', async (t) => {
  const many = Array.from({ length: 50 }, (_, i) => ({ ...billing1, instanceId: `b${i}`, metadata: {} }));
  const frame = tableFrame('billing', many, { rows: 12, columns: 40 }, 'last change just now');
  const told = frame.trimEnd().split('\n');
  t.equal(told.length, 11);
  t.ok(told.every((line) => line.length <= 40));
  t.equal(told[0], 'billing: 50 instances, last change just ');
  t.equal(told.at(-1), '… and 42 more');
  t.equal(tableFrame('x', [], { rows: 2, columns: 80 }, 'y'), 'x: 0 instances, y\n');
  t.match(tableFrame('x', [billing1], { rows: 1, columns: 80 }, 'y'), /billing +b1/);
});
