import t from 'tap';
import type { InstanceClaim } from '../../src/nameserver/instance.js';
import { ToldVersions } from '../../src/nameserver/told-versions.js';

const key = (service: string, instanceId = 'a') => ({ namespace: 'n', group: '', service, instanceId });
const claim = (service: string, incarnation: number, instanceId = 'a'): InstanceClaim =>
  ({ ...key(service, instanceId), version: { incarnation, counter: 1 } }) as unknown as InstanceClaim;

t.test('the highest version told is kept, for as long as somebody watches', (t) => {
  const told = new ToldVersions();
  told.note(claim('s', 5));
  told.note(claim('s', 3));
  told.note(claim('t', 1));
  told.note(claim('s', 1, 'b'));
  t.match(told.find(key('s')), { incarnation: 5 });
  told.forget(key('s'));
  t.equal(told.find(key('s')), undefined);
  told.forgetUnwatched(key('t'), () => true);
  t.ok(told.find(key('t')), 'somebody watches the whole group');
  told.forgetUnwatched(key(''), (service) => service === 'n\n\nt');
  t.ok(told.find(key('t')));
  t.equal(told.find(key('s', 'b')), undefined);
  told.forgetUnwatched(key('t'), () => false);
  t.equal(told.find(key('t')), undefined);
  told.note(claim('s', 1));
  told.note(claim('s', 1, 'b'));
  told.forgetGone(({ instanceId }) => instanceId === 'a');
  t.equal(told.find(key('s')), undefined);
  t.ok(told.find(key('s', 'b')));
  t.end();
});

t.test('nothing is kept of a service of which no instance is', (t) => {
  const told = new ToldVersions();
  for (const service of ['s', 't', 'u']) told.note(claim(service, 1));
  told.note(claim('s', 1, 'b'));
  told.forget(key('s'));
  told.forget(key('t'));
  t.equal(told.size, 2);
  told.forget(key('s', 'b'));
  told.forgetGone(() => true);
  t.equal(told.size, 0);
  t.end();
});
