import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { freePort, Program, root, runProgram, startTaskd } from '../../scripts/programs.js';
import { Discovery } from '../../src/discovery/discovery.js';

/** `taskctl ns` with two name servers as processes of their own. */
const folder = mkdtempSync(join(tmpdir(), 'taskctl-ns-'));
const addresses = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
const start = (at: number) =>
  startTaskd([
    ...['--role=nameserver', '--listen', addresses[at]!, '--admin-port', '0', '--log-format', 'json'],
    ...['--name-servers', addresses.join(','), '--data', join(folder, `n${at + 1}`), '--node-id', `n${at + 1}`],
  ]);
const servers = await Promise.all([start(0), start(1)]);
const discovery = new Discovery({ servers: [addresses[0]!], clientId: 'test' });
t.teardown(async () => {
  await discovery.close();
  await Promise.all(servers.map(({ program }) => program.stop('SIGKILL')));
  rmSync(folder, { recursive: true, force: true });
});

const ns = (argv: readonly string[], server = addresses[1]!) =>
  runProgram('taskctl', ['ns', ...argv], { environment: { TASKD_SERVER: server } });

async function json(argv: readonly string[], server?: string): Promise<unknown> {
  const ended = await ns([...argv, '--json'], server);
  if (ended.code !== 0) throw new Error(`${argv.join(' ')}: ${ended.err}`);
  return JSON.parse(ended.out);
}

/** The first event of the watch that `pick` makes something of. */
function event(watch: Program, what: string, pick: (event: Record<string, unknown>) => boolean): Promise<unknown> {
  return watch.waitFor(what, (line) => {
    const event = JSON.parse(line) as Record<string, unknown>;
    return pick(event) ? event : undefined;
  });
}

t.test('from one name server taskctl finds the other, and shows what each sees', async (t) => {
  const { nodes } = (await json(['nodes'])) as { nodes: { nodeId: string; owners: object[] }[] };
  t.strictSame(nodes.map(({ nodeId }) => nodeId).sort(), ['n1', 'n2']);
  t.ok(nodes.every(({ owners }) => owners.length === 2));
});

t.test('an instance: listed, watched, drained, weighed, gone', async (t) => {
  const watch = new Program('taskctl', join(root, 'bin', 'taskctl.cjs'), ['ns', 'watch', 'billing', '--json'], {
    TASKD_SERVER: addresses.join(','),
  });
  t.teardown(() => watch.stop('SIGKILL'));
  t.match(await event(watch, 'the list', () => true), { change: 'listed', instances: 0 });
  const added = event(watch, 'it was added', ({ change }) => change === 'added');
  const at = { host: '127.0.0.1', port: 9_000 };
  const registration = discovery.registry.register({
    service: 'billing',
    instanceId: 'b1',
    addresses: [at],
    zone: 'east',
  });
  await registration.registered;
  t.match(await added, { instanceId: 'b1', addresses: ['127.0.0.1:9000'], health: 'up', weight: 100 });

  // Registered at the first one, seen at the second.
  t.match(await json(['instances', 'billing']), [{ instanceId: 'b1', owner: 'n1', zone: 'east', override: null }]);
  t.match((await ns(['instances', 'billing'])).out, /^b1 +127\.0\.0\.1:9000 +east +100 +up +- +n1 +\d+\.\d+$/m);
  const services = (await json(['services'])) as { service: string }[];
  t.ok(services.some(({ service }) => service === 'billing'));

  const draining = event(watch, 'it was draining', ({ health }) => health === 'draining');
  t.match(await ns(['drain', 'billing', 'b1']), { code: 0, out: 'billing/b1 gets nothing new\n' });
  await draining;
  const light = event(watch, 'it was light', ({ weight }) => weight === 7);
  t.match(await json(['weight', 'billing', 'b1', '7']), { mode: 'draining', weight: 7 });
  await light;
  const up = event(watch, 'it was up', ({ health, weight }) => health === 'up' && weight === 7);
  t.match((await ns(['enable', 'billing', 'b1'])).out, /may be called, with the weight 7 that was set/);
  await up;
  const heavy = event(watch, 'it was as registered', ({ weight }) => weight === 100);
  t.match(await json(['weight', 'billing', 'b1', 'reset']), { isInForce: false });
  await heavy;
  t.match(await ns(['drain', 'billing', 'b2']), { code: 3, err: /has no instance "b2"; it has: b1/ });
  t.match(await ns(['instances', 'nothing']), { code: 3, err: /there are: billing, taskd\.nameserver/ });

  const removed = event(watch, 'it was removed', ({ change }) => change === 'removed');
  await registration.close();
  t.match(await removed, { instanceId: 'b1' });
  t.equal((await watch.stop('SIGINT')).code, 0, 'a person ends it');
});

t.test('one is gone: the others answer, and the exit code says so', async (t) => {
  await servers[1]!.program.stop('SIGKILL');
  const nodes = await ns(['nodes'], addresses[0]);
  t.equal(nodes.code, 1);
  t.match(nodes.out, /no answer \(NOT_SENT\)/);
  t.match(await ns(['services'], `${addresses[1]},${addresses[0]}`), { code: 0, out: /taskd\.nameserver/ });
  t.match(await ns(['services']), { code: 4, err: /^taskctl: no name server answers at [^\n]+\n$/ });
});
