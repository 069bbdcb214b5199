import t from 'tap';
import { Ghosts } from '../../../src/nameserver/core/ghosts.js';
import { OwnerLog } from '../../../src/nameserver/core/owner-log.js';
import { Places } from '../../../src/nameserver/core/place.js';
import { Tombstones, tombstoneMs, tombstoneMsMax, tombstonesMax } from '../../../src/nameserver/core/tombstones.js';
import type { OwnerPosition } from '../../../src/nameserver/core/view-state.js';
import { claimOf } from './core-cluster.js';

const none: ReadonlyMap<string, OwnerPosition> = new Map();
const version = (incarnation: number): { incarnation: number; counter: number } => ({ incarnation, counter: 1 });

t.test('a tombstone goes when it is old enough, all were caught up after it, and nobody holds a lower claim', (t) => {
  const places = new Places();
  const tombstones = new Tombstones(places);
  const place = places.at(claimOf('x', 1));
  const log = new OwnerLog('a');
  log.set(place, claimOf('x', 5), 'up', 1, 0);
  tombstones.bury(place, version(5), log, undefined, 1_000);
  tombstones.sweep(1_000 + tombstoneMs - 1, Number.POSITIVE_INFINITY, none);
  t.equal(tombstones.size, 1, 'too young');
  tombstones.sweep(1_000 + tombstoneMs, 1_000, none);
  t.equal(tombstones.size, 1, 'not caught up after it');
  tombstones.sweep(1_000 + tombstoneMs, 1_001, none);
  t.equal(tombstones.size, 1, 'a log still holds what it ends');
  log.set(place, claimOf('x', 6), 'up', 2, 0);
  tombstones.sweep(1_000 + tombstoneMs, 1_001, none);
  t.equal(tombstones.size, 0);
  tombstones.bury(place, version(7), log, undefined, 2_000);
  tombstones.sweep(2_000 + tombstoneMsMax, Number.NEGATIVE_INFINITY, none);
  t.equal(tombstones.size, 0, 'a day is enough in any case');
  t.end();
});

t.test('a tombstone waits until everyone has the log that said it', (t) => {
  const places = new Places();
  const tombstones = new Tombstones(places);
  const origin = { owner: 'a', incarnation: 5, sequence: 10 };
  tombstones.bury(places.at(claimOf('x', 1)), version(5), undefined, origin, 0);
  const sweep = (incarnation: number, sequence: number): number => {
    tombstones.sweep(tombstoneMs, 1, new Map([['a', { owner: 'a', incarnation, sequence }]]));
    return tombstones.size;
  };
  t.equal(sweep(5, 9), 1);
  t.equal(sweep(4, 90), 1);
  t.equal(sweep(6, 0), 0, 'or a later incarnation of it');
  t.end();
});

t.test('only a higher version replaces one; the same one again does not make it younger', (t) => {
  const places = new Places();
  const tombstones = new Tombstones(places);
  const place = places.at(claimOf('x', 1));
  tombstones.bury(place, version(5), undefined, undefined, 0);
  tombstones.bury(place, version(5), undefined, undefined, 50_000);
  tombstones.bury(place, version(4), undefined, undefined, 50_000);
  t.match(place.tombstone, { version: version(5), atMs: 0 });
  tombstones.bury(place, version(6), undefined, undefined, 50_000);
  t.match(place.tombstone, { version: version(6), atMs: 50_000 });
  t.end();
});

t.test('the oldest goes for want of room, and is counted', (t) => {
  const places = new Places();
  const tombstones = new Tombstones(places);
  for (let i = 0; i <= tombstonesMax; i++)
    tombstones.bury(places.at(claimOf(`i${i}`, 1)), version(1), undefined, undefined, i);
  t.same([tombstones.size, tombstones.dropped], [tombstonesMax, 1]);
  t.equal(places.find(claimOf('i0', 1))?.tombstone, undefined);
  t.end();
});

t.test('a log ships its own tombstones and those of no log', (t) => {
  const places = new Places();
  const tombstones = new Tombstones(places);
  const a = new OwnerLog('a');
  const b = new OwnerLog('b');
  tombstones.bury(places.at(claimOf('x', 1)), version(1), a, undefined, 0);
  tombstones.bury(places.at(claimOf('y', 1)), version(1), b, undefined, 0);
  const shipped = (log?: OwnerLog): string[] => [...tombstones.shipped(log)].map(({ instanceId }) => instanceId);
  t.same([shipped(a), shipped(b), shipped()], [['x'], ['y'], ['x', 'y']]);
  tombstones.keep(a);
  t.same([shipped(a), shipped(b)], [['x'], ['x', 'y']]);
  t.end();
});

t.test('ghosts: the highest counts, none below a tombstone, each until its time, shipped while shown', (t) => {
  const places = new Places();
  const tombstones = new Tombstones(places);
  const ghosts = new Ghosts(places);
  const place = places.at(claimOf('x', 1));
  ghosts.add(place, claimOf('x', 5), 'a', 100, 100);
  t.equal(place.ghost, undefined, 'its time was up');
  ghosts.add(place, claimOf('x', 5), 'a', 1_000, 0);
  ghosts.add(place, claimOf('x', 4), 'b', 2_000, 0);
  t.match(place.ghost, { owner: 'a', untilMs: 1_000 });
  t.same([...ghosts.shipped(0)], [], 'nobody shows it');
  place.shown = { claim: claimOf('x', 5), health: 'suspect', owner: 'a' };
  t.equal([...ghosts.shipped(0)].length, 1);
  ghosts.sweep(999);
  t.ok(place.ghost);
  ghosts.sweep(1_000);
  t.same([place.ghost, ghosts.size], [undefined, 0]);
  ghosts.add(place, claimOf('x', 6), 'a', 3_000, 2_000);
  tombstones.bury(place, version(6), undefined, undefined, 2_000);
  t.equal(place.ghost, undefined, 'a tombstone lays it');
  ghosts.add(place, claimOf('x', 6), 'a', 3_000, 2_000);
  t.equal(place.ghost, undefined);
  t.end();
});
