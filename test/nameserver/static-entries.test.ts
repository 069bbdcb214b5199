import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import type { InstanceClaim } from '../../src/nameserver/instance.js';
import { StaticEntries, staticEntriesMax } from '../../src/nameserver/static-entries.js';

function claim(instanceId: string, service = 's', group = ''): InstanceClaim {
  return {
    namespace: 'n',
    group,
    service,
    instanceId,
    addresses: [{ host: 'h', port: 1 }],
    zone: '',
    weight: 100,
    tags: [],
    metadata: {},
    version: { incarnation: 0, counter: 0 },
  };
}

t.test('entries are found by all of their name', (t) => {
  const entries = new StaticEntries([claim('a'), claim('b'), claim('a', 't'), claim('a', 's', 'g')]);
  t.equal(entries.size, 4);
  t.same(entries.ids('n', '', 's'), ['a', 'b']);
  t.same(entries.ids('n', 'g', 's'), ['a']);
  t.same(entries.ids('m', '', 's'), []);
  t.equal(entries.find('n', 'g', 's', 'a')?.group, 'g');
  t.equal(entries.find('n', 'g', 's', 'b'), undefined);
  t.same(
    [...entries.services()].map(({ group, service }) => `${group}/${service}`),
    ['/s', '/t', 'g/s'],
  );
  t.end();
});

t.test('two of one name and too many are refused', (t) => {
  t.throws(() => new StaticEntries([claim('a'), claim('a')]), { code: ErrorCode.INVALID, message: /twice/ });
  const many = Array.from({ length: staticEntriesMax + 1 }, (_, i) => claim(`i${i}`));
  t.throws(() => new StaticEntries(many), { code: ErrorCode.QUOTA, message: new RegExp(`${staticEntriesMax}`) });
  t.end();
});
