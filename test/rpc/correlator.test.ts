import t from 'tap';
import { isTaskdError } from '../../src/base/errors.js';
import { queuedCallsMax } from '../../src/base/limits.js';
import { silentLogger } from '../../src/base/logger.js';
import { pendingCall, pendingStream } from '../../src/rpc/connection.js';
import { Correlator } from '../../src/rpc/correlator.js';
import type { PendingCall } from '../../src/rpc/pending-call.js';
import { RpcStats } from '../../src/rpc/stats.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { EmbeddedChannel } from '../../src/transport/embedded-channel.js';
import { FrameCodec } from '../../src/transport/frame-codec.js';
import { type Frame, Kind } from '../../src/wire/frame.js';
import { FrameDecoder } from '../../src/wire/frame-decoder.js';
import { openLimits } from '../../src/wire/frame-limits.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { resolveApp, watchInstances } from '../../src/wire/methods.js';
import { ManualClock } from '../support/manual-clock.js';
import { frameBytes } from '../support/raw-peer.js';

interface Sent {
  kind: number;
  correlation: number;
  deadlineMs: number;
}

class Client {
  readonly clock = new ManualClock();
  readonly stats = new RpcStats();
  readonly correlator: Correlator = new Correlator(this.clock, silentLogger, this.stats);
  readonly codec = new FrameCodec();
  readonly embedded: EmbeddedChannel;

  constructor(slots: number) {
    this.correlator.allow(slots);
    this.embedded = new EmbeddedChannel(this.clock, [this.codec, this.correlator]);
    this.codec.open();
  }

  call(deadlineMs = 1_000): { call: PendingCall; outcome: Promise<number | string> } {
    const call = pendingCall(this.clock.ms, resolveApp, {}, { deadlineMs });
    this.correlator.submit(call);
    const outcome = call.promise!.then(
      ({ message }) => (message as taskd.ResolveAppResponse).appId,
      (error) => (isTaskdError(error) ? error.codeName : String(error)),
    );
    return { call, outcome };
  }

  open(): PendingCall {
    const call = pendingStream(watchInstances, {}, 1, { push() {}, end() {} });
    this.correlator.submit(call);
    return call;
  }

  async sent(): Promise<Sent[]> {
    await this.clock.settle();
    const out: Sent[] = [];
    const decoder = new FrameDecoder(openLimits, (frame: Frame) => {
      const { deadlineMs } = frame.decode(taskd.Empty);
      out.push({ kind: frame.kind, correlation: frame.correlation, deadlineMs });
    });
    decoder.feed(this.embedded.take());
    return out;
  }

  answer(correlation: number, appId: number, method: number = resolveApp.id): void {
    const fields = { kind: Kind.RES, method, correlation, codec: taskd.ResolveAppResponse, message: { appId } };
    this.embedded.feed(frameBytes(fields));
  }
}

t.test('calls over the bound wait their turn, with their deadline running', async (t) => {
  const client = new Client(2);
  const calls = [client.call(), client.call(), client.call(500), client.call(1_000)];
  const first = await client.sent();
  t.equal(first.length, 2, 'nothing of the others on the wire');
  t.equal(first[0]!.deadlineMs, 1_000);
  await client.clock.advance(500);
  t.equal(await calls[2]!.outcome, 'NOT_SENT', 'its time is over before a slot was free');
  client.answer(first[1]!.correlation, 11);
  t.equal(await calls[1]!.outcome, 11);
  const second = await client.sent();
  t.equal(second.length, 1);
  t.equal(second[0]!.deadlineMs, 500, 'what is left');
  await client.clock.advance(500);
  t.same(await Promise.all([calls[0]!.outcome, calls[3]!.outcome]), ['DEADLINE', 'DEADLINE']);
  t.same(
    (await client.sent()).map(({ kind }) => kind),
    [Kind.CANCEL, Kind.CANCEL],
    'the server is told',
  );
  t.equal(client.correlator.inFlight, 0);
});

t.test('a late answer to a slot that is used again finds nobody', async (t) => {
  const client = new Client(1);
  const old = client.call(100);
  const [before] = await client.sent();
  await client.clock.advance(100);
  t.equal(await old.outcome, 'DEADLINE');
  await client.sent();
  const next = client.call();
  const [after] = await client.sent();
  t.equal(after!.correlation >>> 16, before!.correlation >>> 16, 'the same slot');
  t.not(after!.correlation, before!.correlation, 'of another generation');
  client.answer(before!.correlation, 1);
  t.equal(client.stats.lateAnswers, 1);
  client.answer(after!.correlation, 2);
  t.equal(await next.outcome, 2);
  client.answer(0x1234_0001, 3);
  t.equal(client.stats.lateAnswers, 2, 'nor does one to a slot that there is not');
});

t.test('a generation that wraps skips 0', async (t) => {
  const client = new Client(1);
  for (let i = 0; i < 65_540; i++) {
    const stream = client.open();
    if (stream.correlation === 0) t.fail('correlation 0 names the connection itself');
    client.correlator.cancel(stream);
  }
  await client.sent();
  t.equal(client.correlator.inFlight, 0);
});

t.test('too many waiting calls are BUSY', async (t) => {
  const client = new Client(1);
  const first = client.call();
  const waiting = Array.from({ length: queuedCallsMax - 1 }, () => client.open());
  const last = client.call();
  t.equal(await client.call().outcome, 'BUSY');
  for (const stream of waiting) client.correlator.cancel(stream);
  const [sent] = await client.sent();
  client.answer(sent!.correlation, 1);
  t.equal(await first.outcome, 1);
  t.equal((await client.sent()).length, 1, 'what was given up while it waited is not sent');
  client.correlator.shut();
  t.equal(await last.outcome, 'CONNECTION_LOST');
});

t.test('an answer for another method, or of another kind, ends the connection', async (t) => {
  const wrongMethod = new Client(1);
  const one = wrongMethod.call();
  const [sent] = await wrongMethod.sent();
  wrongMethod.answer(sent!.correlation, 1, watchInstances.id);
  t.ok(wrongMethod.embedded.wasReset);
  wrongMethod.embedded.closed();
  t.equal(await one.outcome, 'CONNECTION_LOST');
  const wrongKind = new Client(1);
  wrongKind.embedded.feed(frameBytes({ kind: Kind.REQ, method: resolveApp.id }));
  t.ok(wrongKind.embedded.wasReset);
});

t.test('any order of answers, deadlines, cancels and a final loss settles every call exactly once', async (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 0x1_0000_0000);
  const random = new SeededRandom(seed);
  for (let round = 0; round < 20; round++) {
    const client = new Client(1 + random.below(6));
    const all: { call: PendingCall; outcome: Promise<number | string> }[] = [];
    const known: number[] = [];
    let settled = 0;
    for (let step = 0; step < 60; step++) {
      const way = random.below(10);
      if (way < 5) {
        const made = client.call(1 + random.below(200));
        void made.outcome.then(() => settled++);
        all.push(made);
      } else if (way < 8 && known.length > 0) client.answer(known[random.below(known.length)]!, step);
      else await client.clock.advance(random.below(60));
      for (const { kind, correlation } of await client.sent()) if (kind === Kind.REQ) known.push(correlation);
      if (client.correlator.inFlight > 6) t.fail('over the bound');
    }
    client.embedded.closed(new Error('cut'));
    await Promise.all(all.map(({ outcome }) => outcome));
    t.equal(settled, all.length, `seed ${seed} round ${round}`);
    t.equal(client.clock.timersPending, 0);
  }
});
