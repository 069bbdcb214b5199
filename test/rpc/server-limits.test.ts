import t from 'tap';
import { connectionsMax, frameBytesMax, gatheredBytesMax } from '../../src/base/limits.js';
import { RpcServer } from '../../src/rpc/server.js';
import { noRegions } from '../../src/runtime/file-region.js';
import type { Address, Connection, ConnectionEvents, Net } from '../../src/runtime/net.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { Kind } from '../../src/wire/frame.js';
import { largeGatherShare } from '../../src/wire/gather-budget.js';
import { produce } from '../../src/wire/methods.js';
import { preface } from '../../src/wire/preface.js';
import { ManualClock } from '../support/manual-clock.js';
import { helloBytes } from '../support/raw-peer.js';
import { identity, MemoryLogger } from '../support/rpc-pair.js';

const somewhere: Address = { host: '127.0.0.1', port: 1 };
const greeting = Buffer.concat([preface, helloBytes()]);

/** A connection of which only its cut is of interest: so many sockets would cost a test too much. */
class Peer implements Connection {
  readonly local: Address = somewhere;
  readonly remote: Address = somewhere;
  readonly queuedBytes = 0;
  wasReset = false;
  events!: ConnectionEvents;

  start(events: ConnectionEvents): void {
    this.events = events;
  }
  write(): void {}
  end(): void {}
  reset(): void {
    this.wasReset = true;
  }
  pause(): void {}
  resume(): void {}
}

async function open(t: {
  teardown(callback: () => void): void;
}): Promise<{ server: RpcServer; logger: MemoryLogger; greet: () => Peer }> {
  const logger = new MemoryLogger();
  let accept: (connection: Connection) => void = () => {};
  const net: Net = {
    listen: (address, callback) => {
      accept = callback;
      return Promise.resolve({ address, close: () => Promise.resolve() });
    },
    dial: () => Promise.reject(new Error('nobody dials')),
    regions: noRegions,
  };
  const server = new RpcServer({ ...nodeRuntime(logger), clock: new ManualClock(), net }, identity);
  await server.listen(somewhere);
  t.teardown(() => server.close());
  const greet = (): Peer => {
    const peer = new Peer();
    accept(peer);
    if (!peer.wasReset) peer.events.data(greeting);
    return peer;
  };
  return { server, logger, greet };
}

t.test('one connection too many is reset at once, and the next has a place when one has left', async (t) => {
  const { server, logger, greet } = await open(t);
  const first = greet();
  for (let i = 1; i < connectionsMax; i++) if (greet().wasReset) t.fail(`connection ${i}`);
  t.equal(server.openConnections, connectionsMax);
  for (let i = 0; i < 130; i++) if (!greet().wasReset) t.fail('taken');
  t.equal(server.stats.connectionsRefused, 130);
  t.equal(server.stats.connectionsAborted, 0);
  t.equal(logger.lines.length, 100, 'a flood does not fill the log');
  t.match(logger.lines[0], { level: 'warn', fields: { reason: /15000 connections/ } });
  first.events.closed(undefined);
  t.notOk(greet().wasReset);
  t.ok(greet().wasReset);
});

t.test('unfinished frames of all connections are bounded together', async (t) => {
  const { server, logger, greet } = await open(t);
  const most = Buffer.alloc(frameBytesMax / 2 + 1);
  most.writeUInt32BE(frameBytesMax, 0);
  most[4] = Kind.REQ;
  most.writeUInt16BE(produce.id, 6);
  const hold = (): Peer => {
    const peer = greet();
    peer.events.data(most);
    peer.events.data(most.subarray(0, 1));
    return peer;
  };
  const holders: Peer[] = [];
  while (!holders.at(-1)?.wasReset) holders.push(hold());
  t.equal(holders.length - 1, Math.floor((gatheredBytesMax * largeGatherShare) / (frameBytesMax + 4)));
  for (const peer of holders) peer.events.closed(undefined);
  t.match(logger.lines.at(-1), { level: 'warn', fields: { clientId: 'raw', reason: /gatheredBytesMax/ } });
  t.equal(server.stats.connectionsAborted, 1);
  t.notOk(hold().wasReset, 'what they held is free again');
});
