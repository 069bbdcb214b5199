import fc from 'fast-check';
import t from 'tap';
import { historyMax, OwnerLog } from '../../../src/nameserver/core/owner-log.js';
import { Places } from '../../../src/nameserver/core/place.js';
import { claimOf } from './core-cluster.js';

const write = fc.record({
  id: fc.nat(6),
  version: fc.integer({ min: 1, max: 4 }),
  isUp: fc.boolean(),
  ends: fc.boolean(),
});

t.test('the sums are those of the state, whatever way led to it', (t) => {
  fc.assert(
    fc.property(fc.array(write), (writes) => {
      const places = new Places();
      const log = new OwnerLog('a');
      const state = new Map<number, { version: number; isUp: boolean }>();
      for (const { id, version, isUp, ends } of writes) {
        const claim = claimOf(`i${id}`, version);
        if (ends) {
          log.delete(places.at(claim));
          state.delete(id);
        } else {
          log.set(places.at(claim), claim, isUp ? 'up' : 'suspect', 1, 0);
          state.set(id, { version, isUp });
        }
      }
      const other = new OwnerLog('b');
      const others = new Places();
      for (const [id, { version, isUp }] of [...state].reverse()) {
        const claim = claimOf(`i${id}`, version);
        other.set(others.at(claim), claim, isUp ? 'up' : 'suspect', 9, 0);
      }
      return log.hashA === other.hashA && log.hashB === other.hashB && log.entries.size === state.size;
    }),
  );
  t.end();
});

t.test('states that differ have other sums', (t) => {
  const sums = new Set<string>();
  let states = 0;
  for (const id of ['x', 'y']) {
    for (const incarnation of [1, 2, 1 + 2 ** 32]) {
      for (const counter of [1, 2]) {
        for (const health of ['up', 'suspect'] as const) {
          const log = new OwnerLog('a');
          const claim = claimOf(id, incarnation, counter);
          log.set(new Places().at(claim), claim, health, 1, 0);
          sums.add(`${log.hashA} ${log.hashB}`);
          states++;
        }
      }
    }
  }
  t.equal(sums.size, states);
  t.end();
});

t.test('the latest changes are kept, at least as many as promised and at most twice that', (t) => {
  const log = new OwnerLog('a');
  const total = 5 * historyMax + 17;
  for (let i = 1; i <= total; i++) log.append({ kind: 'put', claim: claimOf(`i${i}`, 1), health: 'up' });
  t.same(log.changesFrom(total + 1), []);
  t.match(log.changesFrom(total), [{ claim: { instanceId: `i${total}` } }]);
  t.equal(log.changesFrom(total - historyMax + 1)?.length, historyMax);
  t.equal(log.changesFrom(total - 2 * historyMax), undefined);
  t.same(log.changesFrom(total + 1_000), [], 'someone who is ahead gets nothing');
  t.end();
});

t.test('a new incarnation numbers the same entries anew', (t) => {
  const places = new Places();
  const log = new OwnerLog('a');
  log.restart(5, 0);
  for (let i = 0; i < 3; i++) {
    const change = { kind: 'put', claim: claimOf(`i${i}`, 1), health: 'up' } as const;
    log.append(change);
    log.append(change);
    log.set(places.at(change.claim), change.claim, 'up', log.sequence, 0);
  }
  const { hashA } = log;
  log.renumber(6, 0);
  t.same([log.incarnation, log.sequence, log.entries.size, log.hashA], [6, 3, 3, hashA]);
  t.equal(log.changesFrom(1), undefined, 'there are no changes that lead there');
  t.ok(log.covers(5, 100));
  t.notOk(log.covers(6, 4));
  t.equal(places.find(claimOf('i1', 1))?.entries.length, 1);
  t.end();
});
