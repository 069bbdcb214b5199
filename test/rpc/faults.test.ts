import t from 'tap';
import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import { heartbeatMs } from '../../src/base/limits.js';
import type { Caller } from '../../src/rpc/caller.js';
import { Connections } from '../../src/rpc/connections.js';
import { RpcServer } from '../../src/rpc/server.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { resolveApp } from '../../src/wire/methods.js';
import { identity, tester } from '../support/rpc-pair.js';

const address = { host: '127.0.0.1', port: 7400 };
const honest: readonly number[] = [
  ErrorCode.NOT_SENT,
  ErrorCode.CONNECTION_LOST,
  ErrorCode.DEADLINE,
  ErrorCode.DRAINING,
];

async function serve(runtime: Runtime): Promise<void> {
  const server = new RpcServer(runtime, identity);
  server.onCall(resolveApp, (request, call) => call.reply({ appId: request.app.length }));
  await server.listen(address);
}

/** Calls again and again, ten at a time, until `count` were answered; every failure must be one of the honest ones. */
async function ask(runtime: Runtime, count: number, done: (failures: number) => void): Promise<void> {
  const connections = new Connections(runtime, tester);
  const caller: Caller = connections.to(address);
  let answers = 0;
  let failures = 0;
  const one = async (): Promise<void> => {
    while (answers < count) {
      try {
        const { message } = await caller.call(resolveApp, { app: 'x'.repeat(answers % 50) }, { deadlineMs: 3_000 });
        if (message.appId >= 50) throw new Error('another call’s answer');
        answers++;
      } catch (error) {
        if (!isTaskdError(error) || !honest.includes(error.code)) throw error;
        failures++;
      }
      await new Promise<void>((resolve) => runtime.clock.timer(5, resolve));
    }
  };
  await Promise.all(Array.from({ length: 10 }, one));
  await connections.close();
  done(failures);
}

const firstSeed = Number(process.env['SEED'] ?? 1);

t.test('calls go on through kills, restarts and pauses, and fail with honest errors only', async (t) => {
  for (let seed = firstSeed; seed < firstSeed + 3; seed++) {
    const world = new SimWorld(seed);
    const server = world.process('server');
    const client = world.process('client');
    server.start(serve);
    let failures = -1;
    client.start((runtime) => ask(runtime, 800, (count) => void (failures = count)));
    for (let atMs = 60; atMs < 20_000; atMs += 400) {
      world.after(atMs, () => {
        const way = world.random.below(3);
        if (way === 0) server.pause(1 + world.random.below(4 * heartbeatMs));
        else if (way === 1) client.pause(1 + world.random.below(4 * heartbeatMs));
        else {
          server.kill();
          world.after(world.random.below(2_000), () => server.restart());
        }
      });
    }
    await world.run({ untilMs: 300_000, until: () => failures >= 0 });
    t.ok(failures >= 0, `seed ${seed}: ${failures} failures`);
  }
});

t.test('a server that stands still is noticed after three heartbeats', async (t) => {
  const world = new SimWorld(firstSeed);
  const server = world.process('server');
  const client = world.process('client');
  server.start(serve);
  let code = 0;
  let lostMs = 0;
  client.start(async (runtime) => {
    const caller = new Connections(runtime, tester).to(address);
    await caller.call(resolveApp, {});
    const begunMs = runtime.clock.monotonicMs();
    server.pause(60_000);
    await caller.call(resolveApp, {}, { deadlineMs: 50_000 }).catch((error) => {
      code = error.code;
    });
    lostMs = runtime.clock.monotonicMs() - begunMs;
  });
  await world.run({ untilMs: 60_000, until: () => code !== 0 });
  t.equal(code, ErrorCode.CONNECTION_LOST);
  t.ok(lostMs >= 3 * heartbeatMs && lostMs < 4 * heartbeatMs, `${lostMs} ms of virtual time`);
});
