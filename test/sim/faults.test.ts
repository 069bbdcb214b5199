import t from 'tap';
import type { Runtime } from '../../src/runtime/runtime.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { Faults } from './faults.js';

const address = { host: '127.0.0.1', port: 7000 };

async function echo({ net }: Runtime): Promise<void> {
  await net.listen(address, (connection) =>
    connection.start({
      data: (chunk) => connection.write([chunk.slice()]),
      end: () => connection.end(),
      drained() {},
      closed() {},
    }),
  );
}

/** Asks again and again, with a new connection for each question, and counts the answers. */
function asker(answered: () => void): (runtime: Runtime) => Promise<void> {
  return async ({ net, clock, process }) => {
    process.onStop(() => process.exit(0));
    for (;;) {
      await new Promise<void>((resolve) => {
        clock.timer(50, resolve);
      });
      const connection = await net.dial(address, 1_000).catch(() => undefined);
      if (connection === undefined) continue;
      await new Promise<void>((resolve) => {
        const timeout = clock.timer(1_000, () => connection.reset());
        connection.start({
          data: () => {
            answered();
            connection.end();
          },
          end() {},
          drained() {},
          closed: () => {
            timeout.cancel();
            resolve();
          },
        });
        connection.write([Buffer.from('?')]);
      });
    }
  };
}

await t.test('a small world goes wrong in every way, and is whole when the faults are over', async (t) => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 16; seed++) {
    const world = new SimWorld(seed);
    let answers = 0;
    const server = world.process('server');
    const client = world.process('client');
    server.start(echo);
    client.start(asker(() => answers++));
    const faults = new Faults(world, [server, client], server);
    faults.start();
    await world.run({ untilMs: 8_000 });
    faults.stop();
    for (const part of faults.summary().split(', ')) seen.add(part.replace(/^\d+ /, ''));
    // A pause or a block that began last goes on for a while.
    await world.run({ untilMs: world.nowMs + 20_000 });
    const before = answers;
    await world.run({ untilMs: world.nowMs + 1_000 });
    t.ok(answers >= before + 5, `seed ${seed}: ${answers - before} answers in the last second`);
    t.ok(server.isAlive && client.isAlive);
  }
  t.same([...seen].filter((kind) => kind !== '').sort(), [
    'block',
    'cut',
    'failing sync',
    'full disk',
    'kill',
    'kill in a turn',
    'pause',
    'power loss',
    'power loss at a promise',
    'slow disk',
    'step',
    'stop',
  ]);
});
