import fc from 'fast-check';
import t from 'tap';
import {
  backgroundBytesPerSecondMin,
  backgroundReadBytesMax,
  clearMs,
  freeReadsMax,
  ReadPace,
  yieldMsMax,
} from '../../src/runtime/read-pace.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';

const bytes = backgroundReadBytesMax;

t.test('while nobody syncs, reads run at once, a few at a time', (t) => {
  const pace = new ReadPace();
  for (let i = 0; i < freeReadsMax; i++) {
    t.equal(pace.waitMs(0, 0), 0);
    pace.readBegan(bytes, 0);
  }
  t.equal(pace.waitMs(0, 0), Number.POSITIVE_INFINITY, 'until one ends');
  t.equal(pace.bytesPerSecond(0), undefined);
  pace.readEnded(1);
  t.equal(pace.waitMs(0, 1), 0);
  t.end();
});

t.test('a read begins while no sync runs, and no second one beside it; soon it begins anyway', (t) => {
  const pace = new ReadPace();
  pace.syncBegan();
  t.equal(pace.waitMs(10, 10), yieldMsMax);
  t.equal(pace.waitMs(10, 11), yieldMsMax - 1);
  t.equal(pace.waitMs(10, 10 + yieldMsMax), 0, 'there may always be a sync');
  pace.syncEnded(10, 11);
  t.equal(pace.waitMs(10, 11), 0);
  pace.readBegan(bytes, 11);
  t.equal(pace.waitMs(11, 11), Number.POSITIVE_INFINITY);
  pace.readEnded(12);
  t.equal(pace.waitMs(12, 12), 0);
  t.equal(pace.waitMs(1_200, 1_200), 0, 'a second after the last sync nobody cares');
  pace.readBegan(bytes, 1_200);
  t.equal(pace.waitMs(1_200, 1_200), 0);
  t.end();
});

/**
 * A device that serves one thing after another, and somebody who syncs each millisecond, or as soon as it can.
 */
interface World {
  readonly seconds: number;
  readonly syncMs: number;
  readonly readMs: number;
  /** How long a sync is held up by what reads cause, and how likely that is when they did not rest for some ms. */
  readonly hitMs: number;
  readonly hitShare: number;
  /** The same for a sync that nobody else can help. */
  readonly noiseMs: number;
  readonly noiseShare: number;
}

interface Seen {
  readonly bytesPerSecond: number;
  readonly longestWaitMs: number;
  readonly clear: number[];
  readonly all: number[];
}

/** Steps of a tenth of a millisecond; what happens in the first half is not counted. */
function run(seed: number, world: World): Seen {
  const random = new SeededRandom(seed);
  const pace = new ReadPace();
  const chance = (share: number): boolean => random.below(1_000_000) < share * 1_000_000;
  const halfMs = world.seconds * 500;
  const seen = { bytesPerSecond: 0, longestWaitMs: 0, clear: [] as number[], all: [] as number[] };
  let sync: { readonly beganMs: number; untilMs: number } | undefined;
  let readUntilMs: number | undefined;
  let askedMs = 0;
  let busy = 0;
  let nextSyncMs = 0;
  let read = 0;
  for (let tick = 0; tick < world.seconds * 10_000; tick++) {
    const nowMs = tick / 10;
    busy *= 0.98;
    if (readUntilMs !== undefined) {
      busy += 0.02;
      if (nowMs >= readUntilMs) {
        pace.readEnded(nowMs);
        readUntilMs = undefined;
        askedMs = nowMs;
      }
    }
    if (sync !== undefined && nowMs >= sync.untilMs) {
      pace.syncEnded(sync.beganMs, nowMs);
      if (nowMs > halfMs) seen.all.push(nowMs - sync.beganMs);
      sync = undefined;
    }
    if (sync === undefined && nowMs >= nextSyncMs) {
      nextSyncMs = nowMs + 1;
      let untilMs = Math.max(nowMs, readUntilMs ?? 0) + world.syncMs;
      if (chance(world.noiseShare)) untilMs += world.noiseMs;
      if (chance(world.hitShare * busy)) untilMs += world.hitMs;
      sync = { beganMs: nowMs, untilMs };
      pace.syncBegan();
    }
    if (readUntilMs === undefined && pace.waitMs(askedMs, nowMs) === 0) {
      seen.longestWaitMs = Math.max(seen.longestWaitMs, nowMs - askedMs);
      pace.readBegan(bytes, nowMs);
      readUntilMs = nowMs + world.readMs;
      if (nowMs > halfMs) read += bytes;
    }
  }
  return { ...seen, bytesPerSecond: read / (world.seconds / 2) };
}

function percentile(values: number[], percent: number): number {
  values.sort((a, b) => a - b);
  return values[Math.ceil((values.length * percent) / 100) - 1]!;
}

const quiet: World = {
  seconds: 60,
  syncMs: 0.4,
  readMs: 0.3,
  hitMs: 0,
  hitShare: 0,
  noiseMs: 2,
  noiseShare: 0.02,
};

t.test('reads that hurt nobody are not slowed, whatever else makes syncs late', (t) => {
  const { bytesPerSecond, all } = run(1, quiet);
  t.ok(bytesPerSecond > 200e6, `${Math.round(bytesPerSecond / 1e6)} MB/s`);
  t.ok(percentile(all, 99) < 4, 'and syncs beside them are as without');
  t.end();
});

t.test('reads that hold up syncs are slowed until hardly a sync is late', (t) => {
  const hurt = { ...quiet, hitMs: 20, hitShare: 0.2 };
  const { bytesPerSecond, all } = run(1, hurt);
  const late = all.filter((ms) => ms > 4.8).length / all.length;
  t.ok(late < 0.02, `of all syncs ${(late * 100).toFixed(2)} % are late; at full speed it were 10`);
  t.ok(bytesPerSecond > backgroundBytesPerSecondMin * 0.85, `${Math.round(bytesPerSecond / 1e6)} MB/s`);
  t.end();
});

t.test('whatever syncs do, a read never waits long, and the floor is kept', (t) => {
  const worlds = fc.record({
    syncMs: fc.double({ min: 0.1, max: 30, noNaN: true }),
    readMs: fc.double({ min: 0.1, max: 2, noNaN: true }),
    hitMs: fc.integer({ min: 0, max: 100 }),
    hitShare: fc.double({ min: 0, max: 1, noNaN: true }),
    noiseMs: fc.integer({ min: 0, max: 100 }),
    noiseShare: fc.double({ min: 0, max: 0.5, noNaN: true }),
  });
  const atFloorMs = (bytes * 1_000) / backgroundBytesPerSecondMin;
  fc.assert(
    fc.property(fc.nat(), worlds, (seed, world) => {
      const { bytesPerSecond, longestWaitMs } = run(seed, { ...world, seconds: 12 });
      // The ticks of the simulation round each wait up.
      if (longestWaitMs > clearMs + atFloorMs + yieldMsMax + 1) return false;
      const perReadMs = Math.max(atFloorMs, world.readMs + yieldMsMax) + 0.5;
      return bytesPerSecond >= ((bytes * 1_000) / perReadMs) * 0.85;
    }),
    { numRuns: 40 },
  );
  t.end();
});
