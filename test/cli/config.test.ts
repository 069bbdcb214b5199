import t from 'tap';
import { ConfigError, type Flags, otherNameServers, readConfig } from '../../src/cli/config.js';

function faults(command: 'standalone' | 'roles', flags: Flags, environment: Record<string, string> = {}): string[] {
  try {
    readConfig(command, flags, environment, '/home/me');
  } catch (error) {
    if (error instanceof ConfigError) return [...error.lines];
    throw error;
  }
  return [];
}

t.test('defaults', async (t) => {
  t.strictSame(readConfig('standalone', {}, {}, '/home/me'), {
    roles: ['nameserver', 'broker', 'scheduler'],
    listen: { host: '127.0.0.1', port: 7400 },
    dataFolder: '/home/me/taskd-data',
    nameServers: [],
    shards: 16,
    nodeId: undefined,
    zone: '',
    onPeerLoss: 'freeze',
    staticInstancesFile: undefined,
    autoCreateTopics: true,
    produceQuota: { perClient: undefined, clients: new Map() },
    fetchQuota: { perClient: undefined, clients: new Map() },
    space: { reserveBytesMax: 64 * 1024 * 1024 },
    scrubBytesPerSecond: 4 * 1024 * 1024,
    zeroCopy: 'auto',
    adminPort: 7401,
    logLevel: 'info',
    logFormat: 'auto',
  });
});

t.test('quotas', async (t) => {
  const read = (rates: string) => readConfig('roles', { role: 'broker,nameserver', produceQuota: rates }, {}, '/');
  t.strictSame(read('10MiB').produceQuota, { perClient: 10_485_760, clients: new Map() });
  t.strictSame(read('1.5GiB, importer=1KiB').produceQuota, {
    perClient: 1_610_612_736,
    clients: new Map([['importer', 1_024]]),
  });
  t.strictSame(read('a=2KiB,b=3KiB').fetchQuota, { perClient: undefined, clients: new Map() });
  for (const wrong of ['', '10', '5B', 'a=', '=1MiB', '1MiB;2MiB']) t.throws(() => read(wrong), /is no rate/, wrong);
});

t.test('a flag wins over the environment, which wins over the default', async (t) => {
  const environment = { TASKD_DATA: '/env', TASKD_SHARDS: '4', TASKD_PORT: '1000' };
  const config = readConfig('standalone', { data: 'flag', listen: '[::1]:9' }, environment, '/home/me');
  t.match(config, { dataFolder: '/home/me/flag', shards: 4, listen: { host: '::1', port: 9 } });
  t.equal(readConfig('standalone', { data: '../you/./data/' }, {}, '/home/me').dataFolder, '/home/you/data');
  t.match(readConfig('standalone', { port: '0' }, { TASKD_LISTEN: '127.0.0.1:1' }, '/'), {
    listen: { host: '127.0.0.1', port: 0 },
  });
});

t.test('roles', async (t) => {
  t.match(readConfig('roles', { role: 'broker', nameServers: '127.0.0.1:1,localhost:2' }, {}, '/'), {
    roles: ['broker'],
    nameServers: [
      { host: '127.0.0.1', port: 1 },
      { host: 'localhost', port: 2 },
    ],
  });
  t.strictSame(readConfig('roles', { role: 'broker,nameserver' }, {}, '/').roles, ['nameserver', 'broker']);
});

t.test('every fault names the key, the value and the remedy, and all are told at once', async (t) => {
  const cases: [Flags, Record<string, string>, RegExp][] = [
    [{ port: '70000' }, {}, /^--port is "70000": must be a whole number from 0 to 65535; 0 lets the system choose$/],
    [{ port: '1e3' }, {}, /^--port is "1e3"/],
    [{ port: '' }, {}, /^--port is ""/],
    [{}, { TASKD_SHARDS: '0' }, /^TASKD_SHARDS is "0": must be a whole number from 1 to 1024/],
    [{ listen: '0.0.0.0:7400' }, {}, /^--listen is "0.0.0.0:7400": is not a loopback address.*ssh -L/],
    [{ listen: '7400' }, {}, /^--listen is "7400": must be host:port/],
    [{ port: '1', listen: '127.0.0.1:2' }, {}, /^--port is "1" and --listen is "127.0.0.1:2".*give one/],
    [{ data: ' ' }, {}, /^--data is " ": must name a folder$/],
    [{ logLevel: 'loud' }, {}, /^--log-level is "loud": must be one of debug, info, warn, error, silent$/],
    [{ nodeId: 'a b' }, {}, /^--node-id is "a b": must be 1 to 128 letters/],
    [{ adminPort: '7400' }, {}, /^--admin-port \(TASKD_ADMIN_PORT\) is 7400, where taskd itself.*0 for none$/],
    [{}, { TASKD_PROT: '1' }, /^TASKD_PROT is "1": there is no such setting; unset it, or use one of TASKD_ROLE/],
  ];
  for (const [flags, environment, line] of cases) {
    const lines = faults('standalone', flags, environment);
    t.equal(lines.length, 1, lines.join('\n'));
    t.match(lines[0], line);
  }
  t.equal(faults('standalone', { port: 'x', shards: 'y', logFormat: 'z' }, { TASKD_NOPE: '1' }).length, 4);
  t.strictSame(faults('standalone', {}, { TASKD_SERVER: '127.0.0.1:7400', PATH: '/bin' }), []);
});

t.test('faults of roles', async (t) => {
  t.match(faults('roles', {}), [/^--role \(TASKD_ROLE\) is missing.*taskd standalone/]);
  t.match(faults('roles', { role: 'king' }), [/^--role is "king": "king" is not a role; choose from nameserver/]);
  t.match(faults('roles', { role: 'scheduler' }), [/^--name-servers \(TASKD_NAME_SERVERS\) is missing/]);
  t.match(faults('roles', { role: 'broker', nameServers: 'here,' }), [
    /^--name-servers is "here,": "here" is not host/,
  ]);
});

t.test('the cluster of a name server, itself included or not', async (t) => {
  const read = (more: Flags) => readConfig('roles', { role: 'nameserver', listen: '127.0.0.1:1', ...more }, {}, '/');
  const nameServers = '127.0.0.1:1,127.0.0.1:2,localhost:2,127.0.0.1:3';
  const config = read({ nameServers, zone: 'east' });
  t.match(config, { onPeerLoss: 'freeze', zone: 'east' });
  t.same(otherNameServers(config.nameServers, config.listen), [
    { host: '127.0.0.1', port: 2 },
    { host: '127.0.0.1', port: 3 },
  ]);
  t.same(otherNameServers(config.nameServers, { host: 'localhost', port: 3 }).length, 2);
  t.equal(read({ nameServers: '127.0.0.1:2', onPeerLoss: 'expire' }).onPeerLoss, 'expire');
  t.equal(read({ staticInstances: 'x/y.yaml' }).staticInstancesFile, '/x/y.yaml');
  t.match(faults('roles', { role: 'nameserver', listen: '127.0.0.1:1', nameServers, onPeerLoss: 'expire' }), [
    /--on-peer-loss is "expire": it is for two name servers, and this start has 3/,
  ]);
  t.match(faults('roles', { role: 'broker', nameServers, onPeerLoss: 'die', staticInstances: 'f', zone: 'a b' }), [
    /--zone is "a b"/,
    /--on-peer-loss is "die": must be one of/,
  ]);
  t.match(faults('roles', { role: 'broker', nameServers, staticInstances: 'f' }), [
    /--static-instances is for a name server/,
  ]);
});

t.test('the discovery cache of those who look others up', async (t) => {
  const read = (more: Flags) => readConfig('roles', { nameServers: '127.0.0.1:1', ...more }, {}, '/home');
  t.equal(read({ role: 'broker' }).discoveryCacheFile, '/home/taskd-data/discovery-cache');
  t.equal(read({ role: 'scheduler', data: '/d' }).discoveryCacheFile, '/d/discovery-cache');
  t.equal(read({ role: 'scheduler' }).discoveryCacheFile, undefined, 'nothing in a folder that nobody named');
  t.equal(read({ role: 'nameserver,broker', discoveryCache: 'x/cache' }).discoveryCacheFile, '/home/x/cache');
  t.equal(read({ role: 'nameserver' }).discoveryCacheFile, undefined);
  t.equal(readConfig('standalone', {}, {}, '/').discoveryCacheFile, undefined);
  t.match(faults('roles', { role: 'nameserver', discoveryCache: 'f' }), [/--discovery-cache is for a broker/]);
  t.match(faults('roles', { role: 'broker', nameServers: '127.0.0.1:1', discoveryCache: 'folder/' }), [
    /--discovery-cache is "folder\/": must name a file/,
  ]);
});
