import t from 'tap';
import { inFlightCallsMax, writeHighWaterBytes } from '../../src/base/limits.js';
import { Dispatcher } from '../../src/rpc/dispatcher.js';
import { PeerConnection } from '../../src/rpc/peer-connection.js';
import { Routes } from '../../src/rpc/routes.js';
import type { ServerCall, ServerStream } from '../../src/rpc/service.js';
import { RpcStats } from '../../src/rpc/stats.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { EmbeddedChannel } from '../../src/transport/embedded-channel.js';
import { FrameCodec } from '../../src/transport/frame-codec.js';
import { correlationOf, type Frame, Kind } from '../../src/wire/frame.js';
import { FrameDecoder } from '../../src/wire/frame-decoder.js';
import { openLimits } from '../../src/wire/frame-limits.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { getRun, resolveApp, watchInstances } from '../../src/wire/methods.js';
import { ManualClock } from '../support/manual-clock.js';
import { frameBytes } from '../support/raw-peer.js';
import { MemoryLogger } from '../support/rpc-pair.js';

class Server {
  readonly clock = new ManualClock();
  readonly stats = new RpcStats();
  readonly log = new MemoryLogger();
  readonly calls: ServerCall<unknown>[] = [];
  readonly streams: ServerStream<unknown>[] = [];
  onAsk: () => void = () => {};
  readonly dispatcher: Dispatcher;
  readonly embedded: EmbeddedChannel;

  constructor() {
    const routes = new Routes();
    routes.onCall(resolveApp, (_request, call) => {
      this.onAsk();
      call.reply({ shard: 1 });
    });
    routes.onCall(getRun, (_request, call) => void this.calls.push(call as ServerCall<unknown>));
    routes.onStream(watchInstances, (_request, stream) => void this.streams.push(stream as ServerStream<unknown>));
    const runtime = { ...nodeRuntime(this.log), clock: this.clock };
    const peer = new PeerConnection(1, { host: 'embedded', port: 0 }, this.clock);
    this.dispatcher = new Dispatcher(runtime, peer, routes, this.stats);
    const codec = new FrameCodec();
    this.embedded = new EmbeddedChannel(this.clock, [codec, this.dispatcher]);
    peer.channel = this.embedded.channel;
    codec.open();
  }

  async sent(): Promise<string[]> {
    await this.clock.settle();
    const out: string[] = [];
    const decoder = new FrameDecoder(openLimits, (frame: Frame) => {
      out.push(`${frame.kind} ${frame.correlation >>> 16}`);
    });
    decoder.feed(this.embedded.take());
    return out;
  }
}

const request = (method: { id: number }, slot: number, deadlineMs = 0, generation = 1, credit = 0): Buffer =>
  frameBytes({ kind: Kind.REQ, method: method.id, correlation: correlationOf(slot, generation), deadlineMs, credit });
const cancel = (slot: number, generation = 1): Buffer =>
  frameBytes({ kind: Kind.CANCEL, correlation: correlationOf(slot, generation) });

t.test('a call whose time is over when its turn comes is dropped and counted', async (t) => {
  const server = new Server();
  server.onAsk = () => {
    server.clock.ms += 10;
  };
  const requests = Array.from({ length: 100 }, (_, slot) => request(resolveApp, slot, 400));
  server.embedded.feed(Buffer.concat(requests));
  const served = (await server.sent()).length;
  t.equal(served + server.stats.expired, 100);
  t.ok(server.stats.expired > 0 && served >= 40, `${served} were served in time`);
});

t.test('a call given up gets no answer, and counts as running until its handler ends', async (t) => {
  const server = new Server();
  let told = 0;
  server.embedded.feed(Buffer.concat([request(getRun, 1), request(getRun, 2)]));
  server.calls[0]!.onCancel(() => told++);
  server.embedded.feed(Buffer.concat([cancel(1), cancel(1), cancel(2, 9), cancel(77)]));
  t.equal(told, 1);
  t.ok(server.calls[0]!.isCancelled);
  t.notOk(server.calls[1]!.isCancelled, 'another generation is another call');
  t.equal(server.dispatcher.running, 2);
  server.calls[0]!.reply({});
  server.calls[1]!.reply({});
  server.calls[1]!.reply({});
  server.calls[1]!.fail(new Error('too late'));
  t.same(await server.sent(), [`${Kind.RES} 2`]);
  t.equal(server.dispatcher.running, 0);
});

t.test('a slot that is used again gives up the call before, and calls given up are bounded', async (t) => {
  const server = new Server();
  for (let generation = 1; generation <= 2 * inFlightCallsMax; generation++) {
    server.embedded.feed(request(getRun, 0, 0, generation));
  }
  t.equal(server.dispatcher.running, 2 * inFlightCallsMax);
  t.ok(server.calls[0]!.isCancelled);
  server.embedded.feed(request(getRun, 1));
  t.same(await server.sent(), [`${Kind.ERR} 1`], 'BUSY');
  t.equal(server.stats.refused, 1);
});

t.test('a stream waits for credit and for the water mark', async (t) => {
  const server = new Server();
  server.embedded.feed(request(watchInstances, 3, 0, 1, 2));
  const stream = server.streams[0]!;
  let wakes = 0;
  stream.onWritable(() => wakes++);
  t.same([stream.push({}), stream.push({}), stream.push({})], [true, true, false]);
  t.equal((await server.sent()).length, 2);
  server.embedded.queue(writeHighWaterBytes + 1);
  const grant = { kind: Kind.CREDIT, correlation: correlationOf(3, 1), codec: taskd.Credit, message: { pushes: 2 } };
  server.embedded.feed(frameBytes(grant));
  t.equal(wakes, 1);
  t.ok(stream.push({}));
  await server.sent();
  t.ok(server.embedded.isPaused, 'a peer that does not read is not read from');
  t.notOk(stream.push({}), 'over the mark');
  server.embedded.queue(0);
  t.notOk(server.embedded.isPaused);
  t.equal(wakes, 2);
  t.ok(stream.push({}));
  t.notOk(stream.push({}));
  let closes = 0;
  stream.onClose(() => closes++);
  server.embedded.feed(cancel(3));
  server.embedded.closed();
  t.equal(closes, 1);
  t.notOk(stream.push({}));
  stream.onClose(() => closes++);
  t.equal(closes, 2, 'at once when it is over already');
});

t.test('after the peer’s FIN the last answer is followed by ours', async (t) => {
  const server = new Server();
  server.embedded.feed(Buffer.concat([request(getRun, 1), request(watchInstances, 2, 0, 1, 1)]));
  server.embedded.peerEnd();
  t.notOk(server.streams[0]!.isOpen);
  t.notOk(server.embedded.hasEnded);
  server.calls[0]!.reply({});
  t.ok(server.embedded.hasEnded);
  t.same(await server.sent(), [`${Kind.RES} 1`]);
});

t.test('when the connection is lost, its calls are told', (t) => {
  const server = new Server();
  server.embedded.feed(request(getRun, 1));
  server.embedded.closed(new Error('cut'));
  t.ok(server.calls[0]!.isCancelled);
  server.calls[0]!.reply({});
  t.equal(server.dispatcher.running, 0);
  t.end();
});
