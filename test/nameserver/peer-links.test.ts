import t from 'tap';
import { PeerLinks } from '../../src/nameserver/peer-links.js';
import { type NodeIdentity, RpcServer } from '../../src/rpc/server.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import type { taskd } from '../../src/wire/generated/messages.js';
import { registryPeer } from '../../src/wire/methods.js';

const identityOf = (nodeId: string, roles = ['nameserver'], incarnation = 1): NodeIdentity => ({
  nodeId,
  incarnation,
  roles,
  clusterId: '',
});
const addressOf = (id: number) => ({ host: '127.0.0.1', port: id });
const senders = (frames: taskd.PeerFrame[]): string => frames.map(({ sender }) => sender).join();

/** A server that keeps the frames it gets; `isDeaf`: its process is paused by the test. */
function serve(frames: taskd.PeerFrame[], identity: NodeIdentity, port: number) {
  return async (runtime: Runtime): Promise<void> => {
    const server = new RpcServer(runtime, identity);
    server.onSend(registryPeer, (frame) => void frames.push(frame));
    await server.listen(addressOf(port));
  };
}

/** Runs until it is true, or fails after a minute. */
async function until(world: SimWorld, condition: () => boolean): Promise<void> {
  const isTrue = await world.run({ until: condition, untilMs: world.nowMs + 60_000 });
  if (!isTrue) throw new Error('it did not come true within a minute');
}

const isUp = (links: PeerLinks, at = 0): boolean => links.states()[at]!.isUp;

t.test('links are made, lost and made again, and learn who is there', async (t) => {
  const world = new SimWorld(1);
  const frames: taskd.PeerFrame[] = [];
  let links: PeerLinks | undefined;
  world.process('one').start((runtime) => {
    links = new PeerLinks(runtime, identityOf('n1'), [addressOf(2), addressOf(3)]);
  });
  await world.run({ untilMs: 10_000 });
  t.match(links!.states(), [{ isUp: false, nodeId: '' }, { isUp: false }]);
  t.equal(links!.sendAll({ sender: 'lost' }), 0);
  t.equal(links!.framesDropped, 2);
  const two = world.process('two');
  two.start(serve(frames, identityOf('n2'), 2));
  await until(world, () => isUp(links!));
  t.ok(links!.knows('n2'));
  t.notOk(links!.knows('n3'));
  t.equal(links!.sendAll({ sender: 'all' }), 1);
  t.ok(links!.send('n2', { sender: 'to n2' }));
  t.notOk(links!.send('n3', { sender: 'to n3' }));
  await until(world, () => frames.length === 2);
  t.equal(senders(frames), 'all,to n2', 'in order');
  two.restart();
  await until(world, () => !isUp(links!));
  await until(world, () => isUp(links!));
  t.ok(links!.send('n2', { sender: 'again' }));
  await until(world, () => frames.length === 3);
  links!.close();
  await world.run({ untilMs: world.nowMs + 20_000 });
  t.notOk(isUp(links!));
});

t.test('it is not linked to itself, nor to what is no name server', async (t) => {
  const world = new SimWorld(2);
  let links: PeerLinks | undefined;
  let twin: PeerLinks | undefined;
  world.process('one').start(async (runtime) => {
    await serve([], identityOf('n1'), 1)(runtime);
    links = new PeerLinks(runtime, identityOf('n1'), [addressOf(1), addressOf(2)]);
    twin = new PeerLinks(runtime, identityOf('n1', ['nameserver'], 2), [addressOf(1)]);
  });
  world.process('two').start(serve([], identityOf('n2', ['broker']), 2));
  await world.run({ untilMs: 10_000 });
  t.match(links!.states(), [{ address: addressOf(2), isUp: false }]);
  t.equal(links!.states().length, 1, 'it does not count itself');
  t.ok(isUp(twin!), 'another process with its name is not itself: the core sorts that out');
  links!.close();
  twin!.close();
});

t.test('a peer that takes nothing costs no more than the bound', async (t) => {
  const world = new SimWorld(3);
  const frames: taskd.PeerFrame[] = [];
  const two = world.process('two');
  two.start(serve(frames, identityOf('n2'), 2));
  let links: PeerLinks | undefined;
  const bound = 1_000_000;
  world.process('one').start((runtime) => {
    links = new PeerLinks(runtime, identityOf('n1'), [addressOf(2)], bound);
  });
  await until(world, () => links !== undefined && isUp(links));
  two.pause(6_000);
  const filler = 'x'.repeat(10_000);
  let most = 0;
  for (let i = 0; i < 2_000 && links!.overflows === 0; i++) {
    links!.send('n2', { sender: 'n1', digest: { owners: [{ owner: filler }] } });
    await world.run({ untilMs: world.nowMs + 1 });
    most = Math.max(most, ...links!.states().map(({ queuedBytes }) => queuedBytes));
  }
  t.equal(links!.overflows, 1);
  t.ok(most > bound / 2 && most < bound + 20_000, `${most} bytes waited`);
  t.notOk(links!.send('n2', { sender: 'n1' }), 'and nothing is kept meanwhile');
  await until(world, () => isUp(links!));
  t.ok(links!.send('n2', { sender: 'n1' }), 'it comes back by itself');
  links!.close();
});

t.test(
  'a link to a peer from whom nothing comes is made anew, after a stop of our own only if that was long',
  async (t) => {
    const world = new SimWorld(4);
    world.process('two').start(serve([], identityOf('n2'), 2));
    const one = world.process('one');
    let links: PeerLinks | undefined;
    let isHeard = true;
    let downs = 0;
    one.start((runtime) => {
      links = new PeerLinks(runtime, identityOf('n1'), [addressOf(2)]);
      const tick = (): void => {
        const nowMs = runtime.clock.monotonicMs();
        if (isHeard) links!.heard('n2', nowMs);
        const before = isUp(links!);
        links!.tick(nowMs);
        if (before && !isUp(links!)) downs++;
        runtime.clock.timer(500, tick);
      };
      tick();
    });
    await world.run({ untilMs: 20_000 });
    t.equal(downs, 0);
    isHeard = false;
    one.pause(7_000);
    await world.run({ untilMs: 28_000 });
    t.equal(downs, 0, 'what came meanwhile is still to be read');
    await until(world, () => downs === 1);
    isHeard = true;
    await until(world, () => isUp(links!));
    await world.run({ untilMs: world.nowMs + 5_000 });
    t.equal(downs, 1);
    one.pause(12_000);
    await world.run({ untilMs: world.nowMs + 12_500 });
    t.equal(downs, 2, 'the peer has cut it, whether word of that came or not');
    await until(world, () => isUp(links!));
    links!.close();
  },
);

t.test('a link over which a peer hears nothing is made anew, not one that is new', async (t) => {
  const world = new SimWorld(5);
  world.process('two').start(serve([], identityOf('n2'), 2));
  let links: PeerLinks | undefined;
  let nowMs = 0;
  world.process('one').start((runtime) => {
    links = new PeerLinks(runtime, identityOf('n1'), [addressOf(2)]);
    const note = (): void => {
      nowMs = runtime.clock.monotonicMs();
      runtime.clock.timer(500, note);
    };
    note();
  });
  await until(world, () => links !== undefined && isUp(links));
  links!.unheard('n2', 60_000, nowMs);
  t.ok(isUp(links!), 'it is new');
  await world.run({ untilMs: world.nowMs + 5_000 });
  links!.unheard('n2', 1_000, nowMs);
  links!.unheard('n3', 60_000, nowMs);
  t.ok(isUp(links!), 'heard a moment ago');
  links!.unheard('n2', 60_000, nowMs);
  t.notOk(isUp(links!));
  await until(world, () => isUp(links!));
  links!.close();
});
