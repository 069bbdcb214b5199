import t from 'tap';
import { Places } from '../../../src/nameserver/core/place.js';
import { beatMs, removalMs, type Session, Sessions, suspectMs } from '../../../src/nameserver/core/sessions.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';
import { claimOf } from './core-cluster.js';

const never = Number.NEGATIVE_INFINITY;

function holding(sessions: Sessions, places: Places, id: number, nowMs: number): Session {
  const session = sessions.open(id, nowMs);
  sessions.hold(session, places.at(claimOf(`i${id}`, 1)));
  return session;
}

t.test('those whose time is up are the silent ones, whatever the order of the frames', (t) => {
  const random = new SeededRandom(7);
  const sessions = new Sessions();
  const places = new Places();
  const heard = new Map<number, number>();
  for (let id = 0; id < 50; id++) {
    holding(sessions, places, id, 0);
    heard.set(id, 0);
  }
  const wrong: number[] = [];
  for (let nowMs = 0; nowMs < 60_000; nowMs += 100) {
    const id = random.below(40);
    sessions.hear(sessions.get(id)!, nowMs);
    heard.set(id, nowMs);
    const silent = sessions.silent(nowMs).map((session) => session.id);
    const expected = [...heard].filter(([, ms]) => nowMs - ms >= suspectMs).map(([each]) => each);
    const isRight = silent.sort((a, b) => a - b).join() === expected.sort((a, b) => a - b).join();
    if (!isRight) wrong.push(nowMs);
    if (random.below(10) === 0 && silent.length > 5) {
      const gone = sessions.get(silent[0]!)!;
      for (const place of [...gone.places]) sessions.release(place);
      sessions.removeIfIdle(gone);
      heard.delete(gone.id);
      holding(sessions, places, gone.id, nowMs);
      heard.set(gone.id, nowMs);
    }
  }
  t.same(wrong, []);
  t.end();
});

t.test('marked a beat before its time, ended after it, not right after a pause', (t) => {
  const sessions = new Sessions();
  holding(sessions, new Places(), 1, 0);
  t.same(sessions.expired(removalMs - beatMs, never), []);
  t.equal(sessions.get(1)?.markedMs, removalMs - beatMs);
  t.same(sessions.expired(removalMs - 1, never), []);
  t.same(sessions.expired(removalMs, removalMs - 100), [], 'frames may wait to be read');
  t.match(sessions.expired(removalMs, never), [{ id: 1 }]);
  sessions.hear(sessions.get(1)!, removalMs);
  t.equal(sessions.get(1)?.markedMs, undefined);
  t.end();
});

t.test('many lost at once are held, few are not', (t) => {
  const ends = (lost: number, total: number, apartMs: number): number => {
    const sessions = new Sessions();
    const places = new Places();
    for (let id = 0; id < total; id++) holding(sessions, places, id, 0);
    for (let id = 0; id < lost; id++) sessions.lose(sessions.get(id)!, 1_000 + id * apartMs);
    const endMs = 1_000 + lost * apartMs + removalMs;
    sessions.expired(endMs - beatMs, never);
    return sessions.expired(endMs, never).length;
  };
  t.equal(ends(3, 10, 10), 0, 'three of ten');
  t.equal(ends(2, 9, 10), 9, 'two are never a mass');
  t.equal(ends(3, 10, 5_000), 10, 'one after the other');
  t.equal(ends(3, 100, 10), 100);
  t.equal(ends(21, 100, 10), 0);
  t.end();
});

t.test('a place has one holder; a session without instances needs no memory', (t) => {
  const sessions = new Sessions();
  const place = new Places().at(claimOf('x', 1));
  const first = sessions.open(1, 0);
  const second = sessions.open(2, 0);
  sessions.hold(first, place);
  sessions.hold(second, place);
  t.same([first.places.size, second.places.size, place.session?.id], [0, 1, 2]);
  sessions.removeIfIdle(first);
  first.isOpen = false;
  t.notOk(sessions.hear(first, 1));
  sessions.release(place);
  sessions.removeIfIdle(second);
  t.equal(sessions.size, 0);
  t.same(sessions.silent(1e9), []);
  t.end();
});
