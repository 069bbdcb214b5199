import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import type { Runtime } from '../../../src/runtime/runtime.js';
import { SimWorld } from '../../../src/runtime/sim/sim-world.js';

const elapse = ({ clock }: Runtime, ms: number): Promise<void> =>
  new Promise((resolve) => {
    clock.timer(ms, resolve);
  });

/** Appends numbers to a file, one sync each or by writing through, and tells which are durable. */
async function appender(runtime: Runtime, told: (n: number) => void, isThrough = false): Promise<void> {
  const { files } = runtime;
  await files.makeFolder('/data');
  await files.syncFolder('/');
  const file = await files.open('/data/log', (await files.exists('/data/log')) ? 'write' : 'create');
  // Also when it was there: the last life may have died between its creation and this.
  await files.syncFolder('/data');
  const size = await file.size();
  const before = new Uint8Array(size);
  await file.read(before, 0);
  let next = 0;
  while (before[next] === (next % 250) + 1) next++;
  await file.truncate(next);
  await file.dataSync();
  const writer = isThrough ? await files.open('/data/log', 'through') : file;
  for (;;) {
    await writer.write([Uint8Array.of((next % 250) + 1)], next);
    if (!isThrough) await file.dataSync();
    told(next++);
  }
}

await t.test('kills and power losses at any moment never lose what was synced', async (t) => {
  let tornStarts = 0;
  for (let seed = 0; seed < 40; seed++) {
    const world = new SimWorld(seed);
    const process = world.process('a');
    let durable = -1;
    process.start((runtime) =>
      appender(
        runtime,
        (n) => {
          if (n <= durable) world.fail(new Error(`lost ${durable}: starts again at ${n}`));
          durable = n;
        },
        seed % 2 === 1,
      ),
    );
    for (let i = 0; i < 12; i++) {
      await world.run({ untilMs: world.nowMs + world.random.unit() * 15 });
      const before = durable;
      if (i % 3 === 2) {
        process.killAfterOperations(world.random.below(6), { powerLoss: true });
        await world.run({ untilMs: world.nowMs + 5, until: () => !process.isAlive });
        if (process.isAlive) process.kill({ powerLoss: true });
      } else process.kill({ powerLoss: world.random.below(2) === 0 });
      const killedAt = durable;
      await world.run({ untilMs: world.nowMs + 1 });
      if (durable !== killedAt) t.fail(`seed ${seed}: a dead process went on`);
      if (durable > before) tornStarts++;
      process.restart();
    }
    t.ok(durable > 10, `seed ${seed} got to ${durable}`);
  }
  t.ok(tornStarts > 0, 'some were killed between two operations');
});

await t.test('the same seed gives the same run', async (t) => {
  const digest = async (seed: number): Promise<string> => {
    const world = new SimWorld(seed);
    const process = world.process('a');
    process.start((runtime) => appender(runtime, () => {}));
    world.after(20, () => process.restart({ powerLoss: true }));
    world.after(30, () => process.pause(10));
    await world.run({ untilMs: 60 });
    return `${world.digest} ${world.events}`;
  };
  t.equal(await digest(7), await digest(7));
  t.not(await digest(7), await digest(8));
});

await t.test('nothing of a dead life runs: timers, promises, deferred callbacks', async (t) => {
  const world = new SimWorld(1);
  const seen: string[] = [];
  const process = world.process('a');
  process.start(async (runtime) => {
    const life = process.lives;
    runtime.clock.timer(5, () => {
      seen.push(`timer ${life}`);
      runtime.clock.defer(() => seen.push(`deferred ${life}`));
      if (life === 1) process.kill();
    });
    await runtime.files.makeFolder('/x');
    await elapse(runtime, 6);
    seen.push(`promise ${life}`);
  });
  await world.run();
  t.same(seen, ['timer 1']);
  t.throws(() => process.runtime, 'is not running');
  process.restart();
  await world.run();
  t.same(seen, ['timer 1', 'timer 2', 'deferred 2', 'promise 2']);
});

await t.test('a paused process is late, not early, and keeps its order', async (t) => {
  const world = new SimWorld(2);
  const seen: string[] = [];
  const process = world.process('a');
  process.start(({ clock }) => {
    const startMs = clock.monotonicMs();
    for (const ms of [30, 10, 20, 500]) {
      clock.timer(ms, () => seen.push(`${ms} at ${Math.round((clock.monotonicMs() - startMs) / 100)}`));
    }
  });
  await world.run({ untilMs: 1 });
  process.pause(300);
  await world.run();
  t.same(seen, ['10 at 3', '20 at 3', '30 at 3', '500 at 5']);
});

await t.test('exit and stop', async (t) => {
  const world = new SimWorld(3);
  const process = world.process('a');
  const signals: string[] = [];
  process.start(({ process: self }) => {
    self.onStop((signal) => {
      signals.push(signal);
      self.exit(3);
    });
  });
  await world.run();
  process.stop('SIGINT');
  await world.run();
  t.same(signals, ['SIGINT']);
  t.equal(process.exitCode, 3);
  t.equal(process.isAlive, false);
});

await t.test('errors end the run and name the seed', async (t) => {
  const failures: [string, (runtime: Runtime) => Promise<void> | void][] = [
    ['main', () => Promise.reject(new Error('main'))],
    [
      'callback',
      ({ clock }) =>
        void clock.timer(1, () => {
          throw new Error('callback');
        }),
    ],
    [
      'deferred',
      ({ clock }) =>
        clock.defer(() => {
          throw new Error('deferred');
        }),
    ],
    ['unhandled', ({ files }) => void files.list('/none').then(() => {})],
  ];
  for (const [name, main] of failures) {
    const world = new SimWorld(41);
    world.process('a').start(main);
    await t.rejects(world.run(), { message: /^seed 41, at [\d.]+ ms: (main|callback|deferred|ENOENT: \/none)$/ }, name);
  }
});

await t.test('a wall clock steps and drifts, the monotonic one does not', async (t) => {
  const world = new SimWorld(5);
  const process = world.process('a');
  process.wallClock.driftPpm = 1000;
  let wall: number[] = [];
  let monotonic: number[] = [];
  process.start(async (runtime) => {
    const read = (): void => {
      wall.push(runtime.clock.wallMs());
      monotonic.push(runtime.clock.monotonicMs());
    };
    read();
    await elapse(runtime, 10_000);
    read();
    process.stepWall(-60_000);
    read();
  });
  await world.run();
  wall = wall.map((ms) => ms - wall[0]!);
  monotonic = monotonic.map((ms) => Math.round(ms - monotonic[0]!));
  t.same(wall, [0, 10_010, -49_990]);
  t.same(monotonic, [0, 10_000, 10_000]);
});

await t.test('a world that is over leaves nothing behind, also of those who waited when they died', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const overWorld = async (): Promise<WeakRef<SimWorld>> => {
    const world = new SimWorld(1);
    const process = world.process('a');
    process.start(async ({ files }) => {
      await files.makeFolder('/data');
      process.kill();
      await files.exists('/data');
      // Whoever waits is held by what it waits for, and holds its world.
      world.fail(new Error('a dead process was answered'));
    });
    await world.run({ untilMs: 1_000 });
    return new WeakRef(world);
  };
  const over = await overWorld();
  // Another one, since the last turn may still hold its own.
  await overWorld();
  await new Promise<void>((resolve) => setImmediate(resolve));
  collect();
  t.equal(over.deref(), undefined);
});
