import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { deregister, register, setOverride } from '../../src/wire/methods.js';
import { NameServerWorld } from '../support/name-server-world.js';

const target = { namespace: 'n', group: '', service: 's', instanceId: 'x' };

t.test('a version that nobody can have drawn or counted is refused: it could not be gone above', async (t) => {
  const net = new NameServerWorld(1, 2);
  await net.start();
  await net.elapse(2_000);
  const client = await net.client('c');
  const [node] = net.nodes;
  const most = Number.MAX_SAFE_INTEGER;
  for (const version of [
    { incarnation: most, counter: 0 },
    { incarnation: 5, counter: most },
  ]) {
    const refusal = { code: ErrorCode.INVALID, message: /at most 2\^48/ };
    await t.rejects(net.ask(client, node!, register, { instance: client.instance('x', { version }) }), refusal);
    await t.rejects(net.ask(client, node!, deregister, { ...target, version }), refusal);
  }
  await net.ask(client, node!, register, { instance: client.instance('x', {}) });
  await net.elapse(1_000);
  t.ok(net.nodes[1]!.names!.core.visible(target));
});

t.test('an override that says nothing is refused', async (t) => {
  const net = new NameServerWorld(1, 1);
  await net.start();
  await net.elapse(1_000);
  const client = await net.client('c');
  await t.rejects(net.ask(client, net.nodes[0]!, setOverride, target), {
    code: ErrorCode.INVALID,
    message: /says something/,
  });
});
