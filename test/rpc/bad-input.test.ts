import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { helloDeadlineMs, inFlightCallsMax, preHelloBytesMax, preHelloConnectionsMax } from '../../src/base/limits.js';
import { RpcServer } from '../../src/rpc/server.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { correlationOf, Kind } from '../../src/wire/frame.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { draining, getRun, hello, resolveApp, watchInstances } from '../../src/wire/methods.js';
import { preface } from '../../src/wire/preface.js';
import { ManualClock } from '../support/manual-clock.js';
import { frameBytes, helloBytes, RawPeer } from '../support/raw-peer.js';
import { identity, MemoryLogger, openServer } from '../support/rpc-pair.js';

const serve = (server: RpcServer): void => {
  server.onCall(resolveApp, (request, call) => call.reply({ appId: request.app.length }));
  server.onCall(getRun, () => {});
  server.onSend(draining, () => {});
  server.onStream(watchInstances, () => {});
};
const ask = (slot: number, generation = 1): Buffer =>
  frameBytes({
    kind: Kind.REQ,
    method: resolveApp.id,
    correlation: correlationOf(slot, generation),
    codec: taskd.ResolveAppRequest,
    message: { app: 'abc' },
    deadlineMs: 1_000,
  });

/** The server answers an honest peer as if nothing had been. */
async function isWell(address: { host: string; port: number }): Promise<boolean> {
  const peer = await RawPeer.greeted(address);
  peer.send(ask(0, 2));
  await peer.until(() => peer.frames.length === 1);
  peer.socket.end();
  await peer.until(() => peer.closed !== undefined);
  peer.socket.destroy();
  return peer.frames[0]!.kind === Kind.RES && peer.closed === 'end';
}

t.test('who does not speak our protocol gets no answer, and is logged once a minute', async (t) => {
  const { server, serverLog, address } = await openServer(t, serve);
  const others: [string, Buffer][] = [
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['TLS', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01])],
    ['a port scan', Buffer.from([0])],
  ];
  for (const [name, bytes] of others) {
    const peer = await RawPeer.open(address);
    peer.send(bytes);
    await peer.until(() => peer.closed !== undefined);
    t.equal(peer.bytes, 0, `${name} gets no byte`);
  }
  t.equal(server.stats.wrongProtocol, 3);
  const logged = serverLog.lines.filter(({ level }) => level === 'warn');
  t.equal(logged.length, 1);
  t.match(logged[0]!.message, 'HTTP');
  t.ok(await isWell(address));
});

t.test('another major version gets our preface and an error, and is let go', async (t) => {
  const { address } = await openServer(t, serve);
  const peer = await RawPeer.open(address);
  const other = Buffer.from(preface);
  other[6] = 9;
  peer.send(other, helloBytes());
  await peer.until(() => peer.frames.length === 1);
  t.equal(peer.frames[0]!.kind, Kind.ERR);
  t.match(peer.errorOf(peer.frames[0]!), { code: ErrorCode.UNSUPPORTED_VERSION, hint: '1' });
  t.equal(peer.closed, undefined, 'the peer goes first');
  peer.socket.end();
  await peer.until(() => peer.closed === 'end');
  t.ok(await isWell(address));
});

t.test('a first frame that is no hello, and a hello that is not one', async (t) => {
  const { address } = await openServer(t, serve);
  const broken = frameBytes({ kind: Kind.REQ, method: hello.id, correlation: 1, payload: [] });
  const notProtobuf = Buffer.concat([helloBytes({}).subarray(0, 12), Buffer.from([0, 0, 0, 2, 0xff, 0xff])]);
  notProtobuf.writeUInt32BE(notProtobuf.length - 4, 0);
  const cases: [Buffer, number][] = [
    [ask(0), ErrorCode.UNAUTHENTICATED],
    [frameBytes({ kind: Kind.GOAWAY }), ErrorCode.UNAUTHENTICATED],
    [notProtobuf, ErrorCode.MALFORMED],
    [helloBytes({ clientId: 'x'.repeat(500) }), ErrorCode.INVALID],
    [helloBytes({ expectedNodeId: 'node-2' }), ErrorCode.WRONG_NODE],
  ];
  for (const [bytes, code] of cases) {
    const peer = await RawPeer.open(address);
    peer.send(preface, bytes);
    await peer.until(() => peer.frames.length === 1);
    t.match(peer.errorOf(peer.frames[0]!), { code });
    peer.socket.end();
    await peer.until(() => peer.closed === 'end');
  }
  const empty = await RawPeer.open(address);
  empty.send(preface, broken);
  await empty.until(() => empty.frames.length === 1);
  t.equal(empty.frames[0]!.kind, Kind.RES, 'an empty hello is one of a client without a name');
  empty.socket.destroy();
  t.ok(await isWell(address));
});

t.test('before the hello only 16 KiB may come', async (t) => {
  const { server, serverLog, address } = await openServer(t, serve);
  const large = await RawPeer.open(address);
  const header = Buffer.alloc(16);
  header.writeUInt32BE(preHelloBytesMax + 1, 0);
  header[4] = Kind.REQ;
  large.send(preface, header);
  await large.until(() => large.closed !== undefined);
  t.equal(large.closed, 'reset');
  const many = await RawPeer.open(address);
  const ping = frameBytes({ kind: Kind.PONG, codec: taskd.Heartbeat, message: {} });
  many.send(preface, ...Array.from({ length: 2_000 }, () => ping));
  await many.until(() => many.closed !== undefined);
  t.equal(server.stats.connectionsAborted, 2);
  const reasons = serverLog.lines.map(({ fields }) => fields['reason']);
  t.match(reasons, [/at most 16384/, /more than 16384 bytes before the hello/]);
  t.ok(await isWell(address));
});

t.test('a hello that does not come in time', async (t) => {
  const clock = new ManualClock();
  const runtime = { ...nodeRuntime(new MemoryLogger()), clock };
  const server = new RpcServer(runtime, identity);
  const address = await server.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(() => server.close());
  const silent = await RawPeer.open(address);
  const slow = await RawPeer.open(address);
  slow.send(preface.subarray(0, 3));
  while (server.stats.connectionsPending < 2) await new Promise(setImmediate);
  await clock.advance(helloDeadlineMs - 1_000);
  slow.send(preface.subarray(3, 4));
  t.equal(server.stats.connectionsPending, 2);
  await clock.advance(1_500);
  await silent.until(() => silent.closed !== undefined);
  await slow.until(() => slow.closed !== undefined);
  while (server.stats.connectionsPending > 0) await new Promise(setImmediate);
  t.equal(clock.timersPending, 0, 'and no timer is left');
});

t.test('the oldest of too many connections without a hello makes room', async (t) => {
  const { server, address } = await openServer(t, serve);
  const oldest = await RawPeer.open(address);
  const others: RawPeer[] = [];
  while (others.length < preHelloConnectionsMax) {
    others.push(...(await Promise.all(Array.from({ length: 128 }, () => RawPeer.open(address)))));
  }
  await oldest.until(() => oldest.closed !== undefined);
  t.equal(server.stats.connectionsEvicted, 1);
  t.ok(others.every((peer) => peer.closed === undefined));
  t.ok(await isWell(address));
  for (const peer of others) peer.socket.destroy();
});

t.test('a flood of connections that are cut does not fill the log', async (t) => {
  const logger = new MemoryLogger();
  const server = new RpcServer({ ...nodeRuntime(logger), clock: new ManualClock() }, identity);
  const address = await server.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(() => server.close());
  for (let i = 0; i < 130; i++) {
    const peer = await RawPeer.open(address);
    peer.send(preface, Buffer.alloc(16));
    await peer.until(() => peer.closed !== undefined);
    peer.socket.destroy();
  }
  t.equal(server.stats.connectionsAborted, 130);
  t.equal(logger.lines.length, 100);
});

t.test('a second hello', async (t) => {
  const { address } = await openServer(t, serve);
  const peer = await RawPeer.greeted(address);
  peer.send(helloBytes(), ask(3));
  await peer.until(() => peer.frames.length === 1);
  t.match(peer.errorOf(peer.frames[0]!), { code: ErrorCode.INVALID });
  peer.socket.end();
  await peer.until(() => peer.closed === 'end');
  t.equal(peer.frames.length, 1, 'nothing is served after it');
});

t.test('requests that can not be served are answered, and the connection lives', async (t) => {
  const { server, address } = await openServer(t, serve);
  const peer = await RawPeer.greeted(address);
  const nonsense = { correlation: correlationOf(1, 1), payload: [], kind: Kind.REQ };
  const bad = Buffer.concat([frameBytes({ ...nonsense, method: resolveApp.id }), Buffer.from([0x0a, 0x7f])]);
  bad.writeUInt32BE(bad.length - 4, 0);
  bad.writeUInt32BE(2, 12);
  peer.send(frameBytes({ ...nonsense, method: 0x7777 }), bad, frameBytes({ ...nonsense, method: draining.id }));
  peer.send(frameBytes({ ...nonsense, method: getRun.id, correlation: correlationOf(inFlightCallsMax, 1) }));
  peer.send(frameBytes({ kind: Kind.ONEWAY, method: 0x7777 }), frameBytes({ kind: Kind.CANCEL, correlation: 77 }));
  peer.send(frameBytes({ kind: Kind.CREDIT, correlation: 5, codec: taskd.Credit, message: { pushes: 1 } }), ask(2));
  await peer.until(() => peer.frames.length === 5);
  t.same(
    peer.frames.slice(0, 4).map((frame) => peer.errorOf(frame).code),
    [ErrorCode.UNKNOWN_METHOD, ErrorCode.MALFORMED, ErrorCode.UNKNOWN_METHOD, ErrorCode.BUSY],
  );
  t.equal(peer.frames[4]!.kind, Kind.RES);
  t.equal(server.openConnections, 1);
  peer.socket.destroy();
});

t.test('frames that break the rules end the connection, with a reason in the log', async (t) => {
  const { serverLog, address } = await openServer(t, serve);
  const large = Buffer.alloc(16);
  large.writeUInt32BE(0x7fff_ffff, 0);
  large.writeUInt16BE(resolveApp.id, 6);
  const cases: [Buffer, RegExp][] = [
    [Buffer.alloc(16), /length 0/],
    [large, /at most 1048576/],
    [frameBytes({ kind: Kind.RES, method: resolveApp.id }), /kind 2/],
    [frameBytes({ kind: 200 }), /unknown kind 200/],
    [Buffer.concat(Array.from({ length: 300 }, () => frameBytes({ kind: Kind.REQ, method: 0x7777 }))), /more than 200/],
    [Buffer.concat(Array.from({ length: 200 }, () => frameBytes({ kind: Kind.PING }))), /more than 100 pings/],
  ];
  for (const [bytes, reason] of cases) {
    const peer = await RawPeer.greeted(address);
    peer.send(bytes);
    await peer.until(() => peer.closed !== undefined);
    t.equal(peer.closed, 'reset');
    t.match(serverLog.lines.at(-1), { level: 'warn', fields: { clientId: 'raw', reason } });
  }
  t.ok(await isWell(address));
});

t.test('a frame that never ends costs only what was sent of it', async (t) => {
  const { address } = await openServer(t, serve);
  const peer = await RawPeer.greeted(address);
  const request = ask(1);
  for (const byte of request) peer.send(Uint8Array.of(byte));
  await peer.until(() => peer.frames.length === 1);
  t.equal(peer.frames[0]!.kind, Kind.RES);
  peer.send(request.subarray(0, request.length - 1));
  peer.socket.end();
  await peer.until(() => peer.closed === 'end');
});

t.test('calls given up without end', async (t) => {
  const { serverLog, address } = await openServer(t, serve);
  const peer = await RawPeer.greeted(address);
  for (let i = 0; i < 21_000 && peer.closed === undefined; i++) {
    const correlation = correlationOf(i % 1_000, 1 + Math.floor(i / 1_000));
    peer.send(
      frameBytes({ kind: Kind.REQ, method: getRun.id, correlation }),
      frameBytes({ kind: Kind.CANCEL, method: getRun.id, correlation }),
    );
    if (i % 2_000 === 0) await new Promise(setImmediate);
  }
  await peer.until(() => peer.frames.some((frame) => frame.kind === Kind.ERR) || peer.closed !== undefined);
  // Its handler never ends a call, so what was given up still counts as running.
  if (peer.frames.length > 0) t.match(peer.errorOf(peer.frames[0]!), { code: ErrorCode.BUSY });
  else t.match(serverLog.lines.at(-1)?.fields['reason'], /cancelled/);
  peer.socket.destroy();
  t.ok(await isWell(address));
});

t.test('random bytes from many peers', async (t) => {
  const { address } = await openServer(t, serve);
  const seed = Number(process.env['SEED'] ?? Date.now() % 0x1_0000_0000);
  const random = new SeededRandom(seed);
  for (let i = 0; i < 60; i++) {
    const peer = i % 2 === 0 ? await RawPeer.open(address) : await RawPeer.greeted(address);
    if (i % 4 === 0) peer.send(preface);
    for (let part = 0; part < 4; part++) peer.send(random.bytes(1 + random.below(2_000)));
    peer.socket.end();
    await peer.until(() => peer.closed !== undefined);
    peer.socket.destroy();
  }
  t.ok(await isWell(address), `seed ${seed}`);
});
