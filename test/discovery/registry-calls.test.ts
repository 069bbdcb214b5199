import t from 'tap';
import { ErrorCode, type TaskdError } from '../../src/base/errors.js';
import { instance, World } from './registry-world.js';

t.test('an instance is registered once by a client, and again when it was closed', async (t) => {
  const world = new World();
  await world.serve(1);
  const client = world.client('a');
  const first = client.register(instance('a'));
  const refused: TaskdError[] = [];
  const second = client.register(instance('a'), (error) => refused.push(error));
  await t.rejects(second.registered, {
    code: ErrorCode.DUPLICATE_ID,
    message: /this client registers a of shop already/,
  });
  await world.clock.advance(1_000);
  await first.registered;
  t.equal(refused.length, 1);
  await second.close();
  await world.clock.advance(20_000);
  t.equal(world.servers.get(1)!.instanceCount, 1, 'the first one stays');
  const closed = first.close();
  const third = client.register(instance('a'));
  await world.clock.advance(20_000);
  await closed;
  await third.registered;
  t.equal(world.servers.get(1)!.instanceCount, 1);
  t.equal(refused.length, 1);
  const closing = client.close();
  await world.clock.advance(5_000);
  await closing;
});

t.test('a listener that throws keeps nothing from the others, nor from the name server', async (t) => {
  const world = new World();
  await world.serve(1);
  const client = world.client('a');
  const seen: number[] = [];
  const broken = (): void => {
    throw new Error('a listener of a user');
  };
  client.watch('shop', broken);
  client.watch('shop', (instances) => seen.push(instances.length));
  await world.clock.advance(1_000);
  client.watch('shop', broken);
  const bad = { ...instance('with space') };
  client.register(bad, broken);
  client.watch('shop', broken, { selector: '==' }, broken);
  for (let i = 0; i < 40; i++) {
    client.register(instance(`i${i}`));
    await world.clock.advance(1_000);
  }
  t.equal(seen.at(-1), 40);
  t.ok(client.isConnected);
  const closing = client.close();
  await world.clock.advance(5_000);
  await closing;
});
