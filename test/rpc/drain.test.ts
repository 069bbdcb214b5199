import { readFileSync } from 'node:fs';
import t from 'tap';
import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import { drainMs } from '../../src/base/limits.js';
import { dial } from '../../src/rpc/connection.js';
import { Connections } from '../../src/rpc/connections.js';
import { RpcServer } from '../../src/rpc/server.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { correlationOf, Kind } from '../../src/wire/frame.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { getRun, resolveApp, watchInstances } from '../../src/wire/methods.js';
import { ManualClock } from '../support/manual-clock.js';
import { frameBytes, RawPeer } from '../support/raw-peer.js';
import { identity, MemoryLogger, openPair, openServer, signal, tester } from '../support/rpc-pair.js';

const timeWait = '06';

/** Sockets of the system's table in a state, by the port of the local or of the remote end. */
function sockets(state: string, side: 'local' | 'remote', port: number): number {
  const column = side === 'local' ? 1 : 2;
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((cells) => cells[3] === state && cells[column]?.endsWith(`:${wanted}`)).length;
}

t.test('a drained server has answered what ran, and leaves no TIME_WAIT on its port', async (t) => {
  const running: (() => void)[] = [];
  const { runtime, server, address } = await openServer(t, (server) => {
    server.onCall(getRun, (_request, call) => void running.push(() => call.reply({ applied: 5 })));
    server.onStream(watchInstances, () => {});
  });
  const clients = await Promise.all(Array.from({ length: 100 }, () => dial(runtime, address, tester)));
  const calls = clients.map((client) => client.call(getRun, {}));
  const streams = clients.map(
    (client) => new Promise((resolve) => client.open(watchInstances, {}, 1, { push() {}, end: resolve })),
  );
  while (running.length < 100) await new Promise(setImmediate);
  const drained = server.drain();
  for (const error of await Promise.all(streams)) if (!isTaskdError(error, ErrorCode.DRAINING)) t.fail(`${error}`);
  t.ok(clients.every((client) => client.isDraining && !client.isOpen));
  await t.rejects(clients[0]!.call(getRun, {}), { code: ErrorCode.DRAINING });
  for (const reply of running) reply();
  const answers = await Promise.all(calls);
  t.ok(answers.every(({ message }) => message.applied === 5));
  await drained;
  t.equal(server.openConnections, 0);
  t.equal(sockets(timeWait, 'local', address.port), 0, 'none on the server’s side');
  t.ok(sockets(timeWait, 'remote', address.port) > 0, 'they are on the clients’ side');
  const again = new RpcServer(runtime, identity);
  t.same(await again.listen(address), address, 'the port can be used at once');
  again.close();
});

t.test('calls that crossed the GOAWAY are refused, and who stays is cut', async (t) => {
  const clock = new ManualClock();
  const log = new MemoryLogger();
  const server = new RpcServer({ ...nodeRuntime(log), clock }, identity);
  server.onCall(resolveApp, (_request, call) => call.reply({}));
  const address = await server.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(() => server.close());
  const pump = setInterval(() => void clock.settle(), 1);
  t.teardown(() => clearInterval(pump));
  const peer = await RawPeer.greeted(address);
  const drained = server.drain();
  await peer.until(() => peer.frames.length === 1);
  t.equal(peer.frames[0]!.kind, Kind.GOAWAY);
  t.equal(taskd.GoAway.decode(Buffer.from(peer.frames[0]!.meta)).leaveWithinMs, drainMs);
  peer.send(frameBytes({ kind: Kind.REQ, method: resolveApp.id, correlation: correlationOf(1, 1) }));
  await peer.until(() => peer.frames.length === 2);
  t.match(peer.errorOf(peer.frames[1]!), { code: ErrorCode.DRAINING, retry: 3 });
  t.equal(peer.closed, undefined);
  await clock.advance(drainMs);
  await peer.until(() => peer.closed !== undefined);
  t.equal(peer.closed, 'reset');
  await drained;
});

t.test('a client that sent its FIN still gets what it asked for', async (t) => {
  const reply = signal();
  let answer: (() => void) | undefined;
  const { server, address } = await openServer(t, (server) => {
    server.onCall(getRun, (_request, call) => {
      answer = () => call.reply({ applied: 9 });
      reply.done();
    });
  });
  const peer = await RawPeer.greeted(address);
  peer.send(frameBytes({ kind: Kind.REQ, method: getRun.id, correlation: correlationOf(1, 1) }));
  peer.socket.end();
  await reply.wait;
  while (sockets('08', 'local', address.port) === 0) await new Promise(setImmediate);
  answer!();
  await peer.until(() => peer.closed === 'end');
  t.equal(peer.frames[0]!.kind, Kind.RES);
  while (server.openConnections > 0) await new Promise(setImmediate);
});

t.test('when the connection is lost, all that waits fails once, and says what may be repeated', async (t) => {
  const asked = signal();
  let count = 0;
  const pair = await openPair(t, (server) => {
    server.onCall(getRun, (_request, call) => {
      if (++count === 50) {
        asked.done();
        call.peer.abort('for the test');
      }
    });
  });
  const closed = signal();
  pair.client.onClose(() => closed.done());
  let failures = 0;
  const calls = Array.from({ length: 50 }, () =>
    pair.client.call(getRun, {}).then(
      () => t.fail('answered'),
      (error) => {
        failures++;
        return error.code as number;
      },
    ),
  );
  await asked.wait;
  const codes = await Promise.all(calls);
  await closed.wait;
  t.ok(codes.every((code) => code === ErrorCode.CONNECTION_LOST));
  t.equal(failures, 50);
  t.notOk(pair.client.isOpen);
  await t.rejects(pair.client.call(getRun, {}), { code: ErrorCode.NOT_SENT });
  t.match(pair.serverLog.lines.at(-1), { fields: { reason: 'for the test' } });
});

t.test('the same caller finds the server again after a loss and after a drain', async (t) => {
  const { runtime, server, address } = await openServer(t, (server) => {
    server.onCall(resolveApp, (request, call) => {
      if (request.create) call.peer.abort('for the test');
      else call.reply({ shard: 1 });
    });
  });
  const connections = new Connections(runtime, tester);
  t.teardown(() => connections.close());
  const caller = connections.to(address);
  t.equal(connections.to({ ...address }), caller, 'one for an address');
  t.not(connections.to(address, 'bulk'), caller, 'and lane');
  t.equal((await caller.call(resolveApp, {})).message.shard, 1);
  await t.rejects(caller.call(resolveApp, { create: true }), { code: ErrorCode.CONNECTION_LOST });
  t.equal((await caller.call(resolveApp, {})).message.shard, 1, 'after a loss');
  await server.drain();
  await t.rejects(caller.call(resolveApp, {}), { code: ErrorCode.NOT_SENT });
  const second = new RpcServer(runtime, identity);
  second.onCall(resolveApp, (_request, call) => call.reply({ shard: 2 }));
  await second.listen(address);
  t.teardown(() => second.close());
  t.equal((await caller.call(resolveApp, {})).message.shard, 2, 'after a drain');
  await connections.close();
  await t.rejects(caller.call(resolveApp, {}), { code: ErrorCode.NOT_SENT });
});

t.test('a stream that was opened while there was no connection', async (t) => {
  const { runtime, address } = await openServer(t, (server) => {
    server.onStream(watchInstances, (_request, stream) => {
      const more = (): void => {
        while (stream.push({ full: true }));
      };
      stream.onWritable(more);
      more();
    });
  });
  const connections = new Connections(runtime, tester);
  t.teardown(() => connections.close());
  let pushes = 0;
  const seven = signal();
  const push = (): void => {
    if (++pushes === 7) seven.done();
  };
  const stream = connections.to(address).open(watchInstances, {}, 3, { push, end: () => t.fail('ended') });
  stream.credit(4);
  await seven.wait;
  stream.cancel();
  const nobody = await new Promise((resolve) => {
    connections.to({ host: '127.0.0.1', port: 1 }).open(watchInstances, {}, 1, { push() {}, end: resolve });
  });
  t.match(nobody, { code: ErrorCode.NOT_SENT });
});

t.test('other addresses than loopback are refused', async (t) => {
  const server = new RpcServer(nodeRuntime(new MemoryLogger()), identity);
  await t.rejects(server.listen({ host: '0.0.0.0', port: 0 }), { code: ErrorCode.INVALID, message: /127\.0\.0\.1/ });
});

t.test('a connection of one’s own: nobody shares it, it isn’t made again, and it closes with the others', async (t) => {
  const peers = new Set<number>();
  const { runtime, server, address } = await openServer(t, (server) => {
    server.onCall(getRun, (_request, call) => {
      peers.add(call.peer.id);
      call.reply({});
    });
  });
  const connections = new Connections(runtime, tester);
  const own = await connections.dial(address, 1_000);
  const other = await connections.dial(address, 1_000);
  for (const caller of [own, other, connections.to(address), own]) await caller.call(getRun, {});
  t.equal(peers.size, 3);
  const closed = new Promise((resolve) => own.onClose(resolve));
  own.close();
  await closed;
  t.notOk(own.isOpen);
  await t.rejects(own.call(getRun, {}));
  await connections.close();
  t.notOk(other.isOpen);
  await t.rejects(connections.dial(address, 1_000), { code: ErrorCode.NOT_SENT });

  const leaving = await new Connections(runtime, tester).dial(address, 1_000);
  const asked = new Promise<void>((resolve) => leaving.onDrain(resolve));
  const drained = server.drain();
  await asked;
  t.notOk(leaving.isOpen);
  await drained;
  await t.rejects(new Connections(runtime, tester).dial(address, 1_000), { code: ErrorCode.NOT_SENT });
});
