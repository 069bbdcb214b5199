import t from 'tap';
import { Outliers, outlierDefaults } from '../../src/discovery/outliers.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';

function outliersOf(count: number): Outliers {
  const outliers = new Outliers(outlierDefaults);
  for (let i = 0; i < count; i++) outliers.join(`c${i}`);
  return outliers;
}

/** Fails a candidate five times in a row; true when it is out then. */
function fail(outliers: Outliers, id: string, nowMs: number, count: number): boolean {
  for (let i = 0; i < 4; i++) if (outliers.record(id, false, nowMs, count)) return false;
  return outliers.record(id, false, nowMs, count);
}

t.test('five in a row take out; a success between them starts anew', (t) => {
  const outliers = outliersOf(10);
  for (let i = 0; i < 20; i++) t.notOk(outliers.record('c0', i % 5 === 4, 0, 10));
  t.ok(fail(outliers, 'c0', 0, 10));
  t.ok(outliers.isOut('c0'));
  t.notOk(outliers.record('stranger', false, 0, 10));
  t.end();
});

t.test('30 s, then each time 30 s more, at most 300 s; clean time takes off', (t) => {
  const outliers = outliersOf(1);
  let nowMs = 0;
  const outMs: number[] = [];
  for (let i = 0; i < 12; i++) {
    t.ok(fail(outliers, 'c0', nowMs, 1));
    outMs.push(outliers.nextBackMs - nowMs);
    outliers.advance(outliers.nextBackMs - 1);
    t.ok(outliers.isOut('c0'), 'to the last millisecond');
    nowMs = outliers.nextBackMs;
    outliers.advance(nowMs);
    t.notOk(outliers.isOut('c0'));
    t.equal(outliers.nextBackMs, Number.POSITIVE_INFINITY);
  }
  t.same(
    outMs.map((ms) => ms / 1_000),
    [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300],
  );
  // Twelve times out; in for 10 times 30 s leaves two of them.
  nowMs += 10 * 30_000;
  t.ok(fail(outliers, 'c0', nowMs, 1));
  t.equal(outliers.nextBackMs - nowMs, 90_000);
  nowMs = outliers.nextBackMs;
  outliers.advance(nowMs);
  nowMs += 24 * 3_600_000;
  t.ok(fail(outliers, 'c0', nowMs, 1));
  t.equal(outliers.nextBackMs - nowMs, 30_000, 'all forgotten, and not below');
  t.end();
});

t.test('a tenth at most, one always; who finds no room is out with the next error after', (t) => {
  for (const [count, max] of [
    [1, 1],
    [2, 1],
    [19, 1],
    [20, 2],
    [99, 9],
    [100, 10],
  ] as const) {
    const outliers = outliersOf(count);
    for (let i = 0; i < count; i++) t.equal(fail(outliers, `c${i}`, i, count), i < max);
    t.equal(outliers.outCount, max);
    if (count === max) continue;
    outliers.advance(30_000);
    t.ok(outliers.record(`c${max}`, false, 30_001, count), 'its errors were kept');
  }
  t.end();
});

t.test('what is said of one who is out does not count; a new start forgets all', (t) => {
  const outliers = outliersOf(2);
  t.ok(fail(outliers, 'c0', 0, 2));
  t.notOk(outliers.record('c0', true, 1, 2));
  t.ok(outliers.isOut('c0'));
  for (let i = 0; i < 9; i++) outliers.record('c0', false, 2, 2);
  outliers.advance(30_000);
  t.notOk(outliers.record('c0', false, 30_000, 2), 'errors from before are forgotten');
  t.ok(fail(outliers, 'c1', 30_000, 2));
  outliers.join('c1');
  t.notOk(outliers.isOut('c1'));
  t.ok(fail(outliers, 'c1', 30_000, 2));
  t.equal(outliers.nextBackMs, 60_000);
  outliers.leave('c1');
  t.equal(outliers.outCount, 0);
  t.notOk(outliers.record('c1', false, 30_000, 2));
  t.end();
});

t.test('never more out than allowed, whatever happens', (t) => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = new SeededRandom(seed);
    const outliers = outliersOf(0);
    const present = new Set<string>();
    let nowMs = 0;
    for (let step = 0; step < 2_000; step++) {
      const id = `c${random.below(40)}`;
      const kind = random.below(40);
      nowMs += random.below(400);
      outliers.advance(nowMs);
      if (kind === 0 && present.delete(id)) outliers.leave(id);
      else if (kind <= 4 && !present.has(id)) {
        outliers.join(id);
        present.add(id);
      }
      const before = outliers.outCount;
      const isOut = outliers.record(id, random.below(8) === 0, nowMs, present.size);
      if (isOut !== outliers.outCount > before) t.fail(`seed ${seed}: told ${isOut}`);
      if (isOut && outliers.outCount > Math.max(1, Math.floor(present.size / 10))) t.fail(`seed ${seed}: too many out`);
      if (isOut && outliers.nextBackMs > nowMs + 300_000) t.fail(`seed ${seed}: out for too long`);
    }
  }
  t.end();
});
