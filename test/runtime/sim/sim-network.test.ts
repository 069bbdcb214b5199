import t from 'tap';
import type { Connection } from '../../../src/runtime/net.js';
import { NetError } from '../../../src/runtime/net.js';
import type { Runtime } from '../../../src/runtime/runtime.js';
import { SimWorld } from '../../../src/runtime/sim/sim-world.js';

const address = { host: '127.0.0.1', port: 7000 };

const elapse = ({ clock }: Runtime, ms: number): Promise<void> =>
  new Promise((resolve) => {
    clock.timer(ms, resolve);
  });

/** Sends back what it gets. */
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

interface Session {
  received: number;
  told: string[];
  connection: Connection | undefined;
}

/** Dials until it is through, then writes a byte every millisecond. */
function chatter(session: Session): (runtime: Runtime) => Promise<void> {
  return async (runtime) => {
    for (;;) {
      try {
        session.connection = await runtime.net.dial(address, 100);
        break;
      } catch (error) {
        session.told.push((error as NetError).code);
        await elapse(runtime, 20);
      }
    }
    let isOpen = true;
    session.connection.start({
      data: (chunk) => {
        session.received += chunk.length;
      },
      end: () => session.told.push('end'),
      drained() {},
      closed: (error) => {
        isOpen = false;
        session.told.push(error instanceof NetError ? error.code : 'closed');
      },
    });
    while (isOpen) {
      session.connection.write([Uint8Array.of(1)]);
      await elapse(runtime, 1);
    }
  };
}

function worldOf(seed: number): { world: SimWorld; session: Session } {
  const world = new SimWorld(seed);
  const session: Session = { received: 0, told: [], connection: undefined };
  world.process('server').start(echo);
  world.process('client').start(async (runtime) => {
    await elapse(runtime, 5);
    await chatter(session)(runtime);
  });
  return { world, session };
}

await t.test('a killed peer is noticed, by its FIN and then RST, or RST at once', async (t) => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 20; seed++) {
    const { world, session } = worldOf(seed);
    await world.run({ untilMs: 50 });
    t.ok(session.received > 10);
    world.process('server').kill();
    await world.run({ untilMs: 300 });
    seen.add(session.told.join(' '));
  }
  t.same([...seen].sort(), ['ECONNRESET', 'end ECONNRESET']);
});

await t.test('a dark peer says nothing until it is up again', async (t) => {
  const { world, session } = worldOf(1);
  await world.run({ untilMs: 50 });
  world.process('server').kill({ powerLoss: true });
  await world.run({ untilMs: 5_000 });
  t.same(session.told, []);
  const late = { received: 0, told: [] as string[], connection: undefined };
  world.process('late').start(chatter(late));
  await world.run({ untilMs: 5_150 });
  t.same(late.told, ['ETIMEDOUT']);
  world.process('server').restart();
  await world.run({ untilMs: 6_000 });
  t.same(session.told, ['ECONNRESET']);
  t.ok(late.received > 0);
});

await t.test('no listener: refused', async (t) => {
  const { world, session } = worldOf(1);
  world.process('server').kill();
  await world.run({ untilMs: 100 });
  t.same(new Set(session.told), new Set(['ECONNREFUSED']));
});

await t.test('a cut connection is reset on both sides', async (t) => {
  const { world, session } = worldOf(1);
  await world.run({ untilMs: 50 });
  t.equal(world.network.cut('server', 'client'), 2);
  await world.run({ untilMs: 60 });
  t.same(session.told, ['ECONNRESET']);
  t.equal(world.network.cut('server', 'client'), 0);
});

await t.test('a block holds bytes back, one way or both, and loses none', async (t) => {
  for (const ways of [['client>server'], ['server>client'], ['client>server', 'server>client']]) {
    const { world, session } = worldOf(1);
    await world.run({ untilMs: 50 });
    for (const way of ways) world.network.block(way.split('>')[0]!, way.split('>')[1]!, 500);
    await world.run({ untilMs: 100 });
    const before = session.received;
    await world.run({ untilMs: 540 });
    t.equal(session.received, before);
    await world.run({ untilMs: 1_200 });
    t.ok(session.received > before + 400);
    t.same(session.told, []);
  }
});

await t.test(
  'what is under way when a block begins stays behind it, also when it is sent again after another',
  async (t) => {
    for (let seed = 1; seed <= 20; seed++) {
      const { world, session } = worldOf(seed);
      await world.run({ untilMs: 50 });
      world.network.block('client', 'server', 400);
      world.network.block('server', 'client', 400);
      await world.run({ untilMs: 451 });
      const before = session.received;
      world.network.block('client', 'server', 1_000);
      world.network.block('server', 'client', 1_000);
      await world.run({ untilMs: 1_440 });
      t.equal(session.received, before, `seed ${seed}`);
      await world.run({ untilMs: 6_000 });
      t.ok(session.received > before + 400);
      t.same(session.told, []);
    }
  },
);

await t.test('what a block keeps back is lost with the host that would send it again', async (t) => {
  const { world, session } = worldOf(1);
  await world.run({ untilMs: 50 });
  world.network.block('server', 'client', 500);
  await world.run({ untilMs: 100 });
  const before = session.received;
  world.process('server').kill({ powerLoss: true });
  await world.run({ untilMs: 5_000 });
  t.equal(session.received, before);
});

await t.test('a dial into a block gets through once it ends, as its SYN is sent again', async (t) => {
  const world = new SimWorld(1);
  world.process('server').start(echo);
  await world.run({ untilMs: 10 });
  const dialled: number[] = [];
  // One way is enough: the answer gets lost.
  world.network.block('server', 'client', 1_500);
  world.process('client').start(async ({ net }) => {
    const connection = await net.dial(address, 5_000);
    connection.start({ data() {}, end() {}, drained() {}, closed() {} });
    dialled.push(world.nowMs);
  });
  await world.run({ untilMs: 6_000 });
  t.equal(dialled.length, 1);
  t.ok(dialled[0]! > 3_000 && dialled[0]! < 3_200, 'after one and two seconds more');
});

await t.test('a slow way takes longer, the others and later times do not', async (t) => {
  const { world, session } = worldOf(1);
  await world.run({ untilMs: 50 });
  world.network.slow('server', 'client', 10_000, 400);
  await world.run({ untilMs: 440 });
  const during = session.received;
  await world.run({ untilMs: 30_000 });
  t.ok(during < 200, `${during} bytes`);
  t.ok(session.received > 10_000);
  t.same(session.told, []);
});

await t.test('a paused server: the kernel takes connections and bytes for it', async (t) => {
  const { world, session } = worldOf(1);
  await world.run({ untilMs: 2 });
  world.process('server').pause(200);
  await world.run({ untilMs: 150 });
  t.ok(session.connection !== undefined);
  t.equal(session.received, 0);
  await world.run({ untilMs: 300 });
  t.ok(session.received > 150);
});
