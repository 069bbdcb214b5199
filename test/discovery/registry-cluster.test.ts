/** Clients of three name servers in the simulated world, through what happens to name servers. */
import t from 'tap';
import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import type { Instance } from '../../src/discovery/instance.js';
import { Registry } from '../../src/discovery/registry.js';
import { Connections } from '../../src/rpc/connections.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { NameServerWorld, type SimNode } from '../support/name-server-world.js';

/** A process that registers itself in `shop` and watches it. */
class Member {
  readonly id: string;
  readonly world: ClientWorld;
  registry: Registry | undefined;
  runtime: Runtime | undefined;
  isRegistered = false;
  /** Ids of the list told last. */
  seen: readonly Instance[] = [];
  lists = 0;
  failedLookups = 0;
  lookups = 0;

  constructor(world: ClientWorld, id: string, cachePath?: string) {
    this.id = id;
    this.world = world;
    world.net.world.process(id).start((runtime) => {
      this.runtime = runtime;
      const self = { clientId: id, kind: 'client' };
      const addresses = world.net.nodes.map(({ address }) => address);
      this.registry = new Registry(runtime, new Connections(runtime, self), addresses, self, cachePath);
      const address = { host: '127.0.0.1', port: 1 };
      this.registry
        .register({ service: 'shop', instanceId: id, addresses: [address] })
        .registered.then(() => {
          this.isRegistered = true;
        })
        .catch(() => {});
      this.registry.watch('shop', (instances) => this.#told(instances));
    });
  }

  /** Asks for the list again and again, from different times on. */
  lookUp(): void {
    const { clock, random } = this.runtime!;
    clock.timer(random.below(1_000), () => {
      this.lookups++;
      this.registry!.list('shop')
        .then((instances) => this.#check(instances))
        .catch((error: unknown) => {
          this.failedLookups++;
          if (!isTaskdError(error)) throw error;
        })
        .finally(() => this.lookUp());
    });
  }

  get ids(): string {
    return this.seen.map(({ instanceId, health }) => (health === 'up' ? instanceId : `${instanceId}?`)).join();
  }

  #told(instances: readonly Instance[]): void {
    this.lists++;
    this.#check(instances);
    const present = new Set(instances.map(({ instanceId }) => instanceId));
    for (const { instanceId } of this.seen) {
      if (!present.has(instanceId) && this.world.lives(instanceId)) {
        this.world.wrong.push(`${this.id} lost sight of ${instanceId}, which lives`);
      }
    }
    this.seen = instances;
  }

  #check(instances: readonly Instance[]): void {
    if (instances.length === 0 && this.seen.length > 0) this.world.wrong.push(`${this.id} got an empty list`);
  }
}

class ClientWorld {
  readonly net: NameServerWorld;
  readonly members: Member[] = [];
  readonly dead: Set<string> = new Set();
  readonly wrong: string[] = [];

  constructor(seed: number) {
    this.net = new NameServerWorld(seed, 3);
  }

  async start(members: number): Promise<void> {
    await this.net.start();
    for (let i = 0; i < members; i++) this.members.push(new Member(this, `c${String(i).padStart(2, '0')}`));
    await this.settled();
    // Until the name servers are not cold any more.
    await this.net.elapse(40_000);
  }

  /** Everybody sees everybody, and nobody is suspect. */
  async settled(): Promise<void> {
    const all = this.members
      .map(({ id }) => id)
      .filter((id) => this.lives(id))
      .join();
    await this.net.until(() => this.members.every((each) => !this.lives(each.id) || each.ids === all));
  }

  lives(id: string): boolean {
    return !this.dead.has(id);
  }

  sessions(): number[] {
    return this.net.nodes.map(({ names }) => names?.sessionCount ?? 0);
  }

  async restart(node: SimNode): Promise<void> {
    node.process.runtime.clock.timer(0, () => void node.stop());
    await this.net.until(() => !node.process.isAlive);
    await this.net.elapse(500);
    node.start();
    await this.net.until(() => node.names?.isReady === true);
  }
}

t.test(
  'a rolling restart: nobody gets an empty list, loses sight of anybody, or fails to look somebody up',
  async (t) => {
    const world = new ClientWorld(11);
    await world.start(24);
    t.ok(
      world.sessions().every((count) => count >= 3),
      'clients spread when they start',
    );
    for (const member of world.members) await world.net.world.run({ until: () => member.runtime !== undefined });
    for (const member of world.members) member.runtime!.clock.timer(0, () => member.lookUp());
    for (const node of world.net.nodes) {
      await world.restart(node);
      await world.net.elapse(3_000);
      await world.settled();
    }
    t.same(world.wrong, []);
    t.ok(world.members.every(({ registry }) => registry!.isConnected));
    const lookups = world.members.reduce((sum, each) => sum + each.lookups, 0);
    const failed = world.members.reduce((sum, each) => sum + each.failedLookups, 0);
    t.ok(lookups > 500, `${lookups} lookups`);
    t.equal(failed, 0);
    t.ok(
      world.sessions().filter((count) => count > 0).length >= 2,
      `not all at one name server: ${world.sessions().join()}`,
    );
  },
);

t.test('one is killed: its clients are registered elsewhere within 3 s', async (t) => {
  const world = new ClientWorld(12);
  await world.start(18);
  const [one, two, three] = world.net.nodes;
  t.not(one!.names!.sessionCount, 0);
  one!.kill();
  const killedMs = world.net.world.nowMs;
  await world.net.until(() => two!.names!.sessionCount + three!.names!.sessionCount === 18);
  t.ok(world.net.world.nowMs - killedMs <= 3_000, `${world.net.world.nowMs - killedMs} ms`);
  await world.settled();
  await world.net.elapse(30_000);
  t.same(world.wrong, []);
});

t.test('one stands still for 30 s and goes on: nobody is missed', async (t) => {
  const world = new ClientWorld(13);
  await world.start(18);
  world.net.nodes[0]!.process.pause(30_000);
  await world.net.elapse(60_000);
  await world.settled();
  t.same(world.wrong, []);
  t.ok(world.members.every(({ registry }) => registry!.isConnected));
});

t.test('one is cut off from the others: its clients move away from it, once, and hear of no difference', async (t) => {
  const world = new ClientWorld(14);
  await world.start(18);
  const [one, two, three] = world.net.nodes;
  const lists = world.members.map((each) => each.lists);
  for (const other of ['n2', 'n3']) {
    world.net.world.network.block('n1', other, 60_000);
    world.net.world.network.block(other, 'n1', 60_000);
  }
  await world.net.until(() => two!.names!.sessionCount + three!.names!.sessionCount === 18);
  // What they left there ends as it does after a mass disconnect.
  await world.net.until(() => one!.names!.sessionCount === 0);
  await world.net.elapse(70_000);
  await world.settled();
  t.same(world.wrong, []);
  const heard = world.members.map((each, i) => each.lists - lists[i]!);
  t.ok(Math.max(...heard) <= 2 * 18, `suspect and up again of each at most: ${heard.join()}`);
});

t.test('one that lags behind takes nothing away from who comes to it', async (t) => {
  const world = new ClientWorld(17);
  await world.start(12);
  const { network } = world.net.world;
  const early = world.net.nodes.slice(0, 2).map(({ process }) => process.name);
  for (const name of early) network.block(name, 'n3', 3_000);
  // Told to all but the third one, and to whoever watches there.
  const late = new Member(world, 'late');
  network.block('late', 'n3', 60_000);
  const told = world.members.filter((each) => each.registry!.isConnected);
  await world.net.until(() => told.filter(({ ids }) => ids.includes('late')).length >= 6);
  for (const { id } of told) {
    for (const name of early) {
      network.block(id, name, 60_000);
      network.cut(id, name);
    }
  }
  const { names } = world.net.nodes[2]!;
  const before = names!.watcherCount;
  await world.net.until(() => names!.watcherCount >= before + 4);
  t.not(names!.instanceCount, 13, 'it does not have it yet');
  world.members.push(late);
  await world.net.elapse(80_000);
  await world.settled();
  t.same(world.wrong, []);
});

t.test('a client that dies is missed by all, whatever they are connected to', async (t) => {
  const world = new ClientWorld(15);
  await world.start(12);
  const [victim] = world.members;
  world.dead.add(victim!.id);
  world.net.world.process(victim!.id).kill();
  await world.settled();
  t.same(world.wrong, []);
});

t.test(
  'all are dead: everybody goes on with what it knows, also who starts now, and all is well afterwards',
  async (t) => {
    const world = new ClientWorld(16);
    await world.net.start();
    const cache = '/var/cache/discovery';
    for (let i = 0; i < 6; i++) world.members.push(new Member(world, `c${i}`, cache));
    await world.settled();
    await world.net.elapse(40_000);
    for (const node of world.net.nodes) node.kill();
    await world.net.elapse(120_000);
    const all = 'c0,c1,c2,c3,c4,c5';
    for (const member of world.members) t.equal(member.ids, all);
    // A process with nothing in memory and its cache on disk.
    const again = world.members[0]!;
    world.net.world.process('c0').restart();
    await world.net.elapse(10);
    again.seen = [];
    await world.net.until(() => again.ids === all);
    t.notOk(again.registry!.isConnected);
    let known: readonly Instance[] = [];
    again.runtime!.clock.timer(0, () => {
      void again.registry!.known('shop').then((instances) => (known = instances));
    });
    await world.net.until(() => known.length === 6);
    let failure: unknown;
    again.runtime!.clock.timer(0, () => {
      again.registry!.list('shop').catch((error: unknown) => (failure = error));
    });
    await world.net.until(() => failure !== undefined);
    t.ok(isTaskdError(failure, ErrorCode.NOT_SENT), 'asked now there is nobody to answer');

    await world.net.start();
    await world.net.until(() => world.members.every(({ registry }) => registry!.isConnected));
    await world.net.elapse(60_000);
    await world.settled();
    t.same(world.wrong, []);
  },
);

t.test('two processes with one id, at different name servers: one of them is told', async (t) => {
  const net = new NameServerWorld(18, 3);
  await net.start();
  const refused: string[] = [];
  const addresses = net.nodes.map(({ address }) => address);
  for (const [i, name] of ['twin-1', 'twin-2'].entries()) {
    net.world.process(name).start((runtime) => {
      const self = { clientId: name, kind: 'client' };
      const registry = new Registry(runtime, new Connections(runtime, self), [addresses[i]!], self);
      const instance = { service: 'shop', instanceId: 'same', addresses: [{ host: name, port: 1 }] };
      registry.register(instance, ({ codeName }) => refused.push(`${name} ${codeName}`));
    });
  }
  await net.until(() => refused.length > 0);
  await net.elapse(60_000);
  t.equal(refused.length, 1);
  t.match(refused[0], /DUPLICATE_ID/);
  for (const { names } of net.nodes) t.equal(names!.instanceCount, 1);
});

t.test('a process that starts anew with its clock set back takes its own place', async (t) => {
  const world = new ClientWorld(19);
  await world.start(6);
  const { world: sim } = world.net;
  const again = world.members[0]!;
  sim.process(again.id).stepWall(-600_000);
  sim.process(again.id).restart();
  await world.net.elapse(10);
  await world.net.until(() => again.registry!.isConnected);
  await world.settled();
  await world.net.elapse(60_000);
  await world.settled();
  t.same(world.wrong, []);
});

/** Something happens to a name server, or to the way between two processes; all can be survived by everybody. */
function fault(world: ClientWorld): void {
  const { net } = world;
  const { random } = net.world.process('faults').runtime;
  const node = net.nodes[random.below(3)]!;
  const other = net.nodes[random.below(3)]!;
  const member = world.members[random.below(world.members.length)]!;
  const { network } = net.world;
  switch (random.below(6)) {
    case 0:
      if (!node.process.isAlive) break;
      node.kill();
      net.world.after(500 + random.below(20_000), () => node.start());
      break;
    case 1:
      if (node.process.isAlive) node.process.pause(random.below(30_000));
      break;
    case 2: {
      const forMs = random.below(20_000);
      network.block(node.process.name, other.process.name, forMs);
      if (random.below(2) === 0) network.block(other.process.name, node.process.name, forMs);
      break;
    }
    case 3:
      network.cut(member.id, node.process.name);
      break;
    case 4:
      network.block(member.id, node.process.name, random.below(60_000));
      break;
    default:
      network.block(node.process.name, member.id, random.below(60_000));
  }
}

async function hunt(seed: number): Promise<void> {
  const world = new ClientWorld(seed);
  world.net.world.process('faults').start(() => {});
  await world.start(8);
  const { runtime } = world.net.world.process('faults');
  for (let i = 0; i < 6; i++) {
    fault(world);
    await world.net.elapse(35_000 + runtime.random.below(10_000));
  }
  world.net.world.network.heal();
  await world.net.until(() => world.net.nodes.every(({ names }) => names?.isReady === true));
  await world.net.elapse(40_000);
  await world.settled();
  if (world.wrong.length > 0) throw new Error(world.wrong.join('; '));
}

t.test('one fault after the other, under a seed: nobody who lives is missed, and all agree at the end', async (t) => {
  const from = Number(process.env['FROM'] ?? 1);
  for (let seed = from; seed < from + Number(process.env['SEEDS'] ?? 4); seed++) {
    await hunt(seed).catch((error: unknown) => t.fail(`seed ${seed}: ${(error as Error).message}`));
  }
});
