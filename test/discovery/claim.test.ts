import t from 'tap';
import { Claim, parseVersion } from '../../src/discovery/claim.js';

const instance = { service: 's', instanceId: 'a', addresses: [{ host: 'h', port: 1 }] };

t.test('every register has a higher version', (t) => {
  const claim = new Claim(instance, 100, 0);
  t.same(claim.nextVersion(), { incarnation: 100, counter: 1 });
  t.same(claim.nextVersion(), { incarnation: 100, counter: 2 });
  t.same(claim.version, { incarnation: 100, counter: 2 });
  t.end();
});

t.test('it rises above what was seen, at most three times a minute', (t) => {
  const claim = new Claim(instance, 100, 0);
  claim.nextVersion();
  t.equal(claim.superseded({ incarnation: 100, counter: 1 }, 0), 'stale', 'that is ours');
  t.equal(claim.superseded({ incarnation: 99, counter: 7 }, 0), 'stale');
  t.equal(claim.refused({ incarnation: 100, counter: 1 }, 0), 'again', 'refused: an equal one is another’s');
  t.same(claim.nextVersion(), { incarnation: 101, counter: 1 });
  t.equal(claim.superseded({ incarnation: 101, counter: 2 }, 1_000), 'again');
  t.equal(claim.superseded({ incarnation: 500, counter: 0 }, 2_000), 'again');
  t.same(claim.nextVersion(), { incarnation: 501, counter: 1 });
  t.equal(claim.superseded({ incarnation: 600, counter: 0 }, 3_000), 'duplicate');
  t.equal(claim.superseded({ incarnation: 600, counter: 0 }, 60_500), 'again', 'a minute after the first');
  t.end();
});

t.test('the hint of SUPERSEDED', (t) => {
  t.same(parseVersion('1700000000000.3'), { incarnation: 1_700_000_000_000, counter: 3 });
  for (const text of ['', '1', '1.', 'a.b', '1.2.3', `${'9'.repeat(17)}.1`]) t.equal(parseVersion(text), undefined);
  t.end();
});
