import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { Catalog } from '../../src/nameserver/catalog.js';
import type { InstanceClaim } from '../../src/nameserver/instance.js';
import { Overrides } from '../../src/nameserver/overrides.js';
import { RegistryReads } from '../../src/nameserver/registry-reads.js';
import { StaticEntries } from '../../src/nameserver/static-entries.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { claimOf } from './core/core-cluster.js';
import { loneCore } from './core/lone-core.js';

function claim(service: string, instanceId: string, more: Partial<InstanceClaim> = {}): InstanceClaim {
  return { ...claimOf(instanceId, 1, 1, service), ...more };
}

const core = loneCore(0);
const overrides = new Overrides();
const statics = [claim('s1', 'fixed', { version: { incarnation: 0, counter: 0 } }), claim('only-static', 'x')];
const reads = new RegistryReads(core, new Catalog(core, new StaticEntries(statics), overrides), overrides);
const metadata = { text: 'x'.repeat(3_000) };
for (let i = 0; i < 300; i++) {
  const tags = i % 3 === 0 ? ['third'] : [];
  core.register(i, claim(`s${i % 3}`, `i${String(i).padStart(3, '0')}`, { metadata, tags }), 0);
}

/** Every page of a list, and how many there were. */
function pages<A extends { next?: string | null }>(read: (after: string) => A): A[] {
  const all: A[] = [];
  let after = '';
  do {
    const page = read(after);
    all.push(page);
    after = page.next ?? '';
  } while (after !== '');
  return all;
}

t.test('instances come in pages, each once and in order, also with a selector', (t) => {
  const list = (selector: string): string[] => {
    const read = (after: string) =>
      reads.instances(new taskd.ListInstancesRequest({ namespace: 'n', after, selector }));
    const all = pages(read);
    t.ok(all.length > 1, `${all.length} pages`);
    for (const page of all) t.ok(taskd.ListInstancesResponse.encode(page).finish().length < 400_000, 'of bounded size');
    return all.flatMap(({ instances }) => instances!.map(({ service, instanceId }) => `${service}/${instanceId}`));
  };
  const whole = list('');
  t.equal(whole.length, 302);
  t.same(whole, [...new Set(whole)].sort());
  t.equal(list('tag=third').length, 100);
  const one = reads.instances(new taskd.ListInstancesRequest({ namespace: 'n', service: 's1', selector: '!text' }));
  t.match(one.instances, [{ instanceId: 'fixed', owner: '', version: { incarnation: 0 } }]);
  t.throws(() => reads.instances(new taskd.ListInstancesRequest({ namespace: '' })), { code: ErrorCode.INVALID });
  t.end();
});

t.test('services are counted as they are served', (t) => {
  overrides.put(overrides.changed(claim('s0', 'i000'), { mode: 'disabled' }, 'n1', 1));
  overrides.put(overrides.changed(claim('s0', 'i003'), { weight: 1 }, 'n1', 1));
  core.closed(6, 0);
  const answer = reads.services(new taskd.ListServicesRequest({ namespace: 'n' }));
  t.match(answer.services, [
    { group: '', service: 'only-static', instances: 1, healthy: 1 },
    { service: 's0', instances: 100, healthy: 98, protected: false },
    { service: 's1', instances: 101, healthy: 101 },
    { service: 's2', instances: 100, healthy: 100 },
  ]);
  t.same(reads.services(new taskd.ListServicesRequest({ namespace: 'other' })).services, []);
  for (let i = 0; i < 1_500; i++) core.register(1_000 + i, claim(`many${i}`, 'x', { namespace: 'm' }), 0);
  const all = pages((after) => reads.services(new taskd.ListServicesRequest({ after })));
  t.equal(all.length, 2);
  t.equal(new Set(all.flatMap(({ services }) => services!.map(({ service }) => service))).size, 1_504);
  t.end();
});

t.test('overrides come in pages, those in force', (t) => {
  for (let i = 0; i < 1_200; i++) {
    overrides.put(overrides.changed(claim('o', `i${i}`, { namespace: 'm' }), { weight: 1 + (i % 2) }, 'n1', 1));
  }
  overrides.put(overrides.changed(claim('o', 'i5', { namespace: 'm' }), { weight: 0 }, 'n1', 2));
  const all = pages((after) => reads.overrides(new taskd.ListOverridesRequest({ namespace: 'm', after })));
  const ids = all.flatMap(({ overrides }) => overrides!.map(({ instanceId }) => instanceId!));
  t.equal(all.length, 2);
  t.equal(new Set(ids).size, 1_199);
  t.notOk(ids.includes('i5'));
  t.equal(reads.overrides(new taskd.ListOverridesRequest({ namespace: 'n' })).overrides!.length, 2);
  t.end();
});

t.test('what a name server knows of itself and of the others', (t) => {
  const address = { host: 'h', port: 1 };
  const answer = reads.nodes([{ address, nodeId: 'n2', isUp: true, queuedBytes: 3 }], 7);
  t.match(taskd.NodesResponse.decode(taskd.NodesResponse.encode(answer).finish()), {
    nodeId: 'n1',
    ready: true,
    frozen: false,
    cold: true,
    sessions: 1_800,
    instances: 1_800,
    watchers: 7,
    owners: [{ owner: 'n1', state: taskd.OwnerState.OWNER_ALIVE, instances: 1_800 }],
    peers: [{ nodeId: 'n2', connected: true, queuedBytes: 3 }],
  });
  t.end();
});
