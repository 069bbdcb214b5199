import t from 'tap';
import { EmbeddedChannel } from '../../src/transport/embedded-channel.js';
import { FrameCodec } from '../../src/transport/frame-codec.js';
import { Heartbeat } from '../../src/transport/heartbeat.js';
import { type Frame, Kind } from '../../src/wire/frame.js';
import { FrameDecoder } from '../../src/wire/frame-decoder.js';
import { openLimits } from '../../src/wire/frame-limits.js';
import { FrameWriter, OutboundFrame } from '../../src/wire/frame-writer.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { ManualClock } from '../support/manual-clock.js';

const intervalMs = 1_000;

class Side {
  readonly clock = new ManualClock();
  readonly heartbeat: Heartbeat = new Heartbeat(this.clock);
  readonly embedded: EmbeddedChannel = new EmbeddedChannel(this.clock, [new FrameCodec(), this.heartbeat]);

  constructor() {
    this.heartbeat.begin(intervalMs);
  }

  /** Kinds and values of the heartbeats that left. */
  async sent(): Promise<[number, number][]> {
    await this.clock.settle();
    const out: [number, number][] = [];
    const decoder = new FrameDecoder(openLimits, (frame: Frame) => {
      out.push([frame.kind, frame.decode(taskd.Heartbeat).opaque]);
    });
    decoder.feed(this.embedded.take());
    return out;
  }

  async tick(byMs: number, wasPaused = false): Promise<void> {
    this.clock.ms += byMs;
    this.embedded.channel.tick(this.clock.ms, wasPaused);
    await this.clock.settle();
  }
}

function pings(count: number): Buffer {
  const writer = new FrameWriter();
  for (let i = 1; i <= count; i++) {
    writer.write(
      Object.assign(new OutboundFrame(), { kind: Kind.PING, codec: taskd.Heartbeat, message: { opaque: i } }),
      openLimits,
    );
  }
  return Buffer.concat(writer.take() as Uint8Array[]);
}

t.test('who is silent pings, and is cut after three intervals without a byte', async (t) => {
  const side = new Side();
  await side.tick(500);
  t.same(await side.sent(), []);
  await side.tick(500);
  t.same(await side.sent(), [[Kind.PING, 1]]);
  await side.tick(500);
  t.same(await side.sent(), [], 'one an interval');
  await side.tick(500);
  t.same(await side.sent(), [[Kind.PING, 2]]);
  await side.tick(999);
  t.notOk(side.embedded.wasReset);
  await side.tick(1);
  t.ok(side.embedded.wasReset);
  t.match(side.embedded.channel.closeReason, 'nothing was heard');
});

t.test('any byte counts, even of an unfinished frame', async (t) => {
  const side = new Side();
  const bytes = pings(1);
  for (let i = 0; i < 10; i++) {
    await side.tick(1_000);
    side.embedded.feed(bytes.subarray(i, i + 1));
  }
  t.notOk(side.embedded.wasReset);
});

t.test('however many pings come at once, one PONG goes back, and a flood is cut', async (t) => {
  const side = new Side();
  side.embedded.feed(pings(50));
  t.same(await side.sent(), [[Kind.PONG, 50]]);
  side.embedded.feed(pings(60));
  t.ok(side.embedded.wasReset);
});

t.test('after a pause of our own process the times start anew', async (t) => {
  const side = new Side();
  await side.tick(60_000, true);
  t.notOk(side.embedded.wasReset);
  await side.tick(2_999);
  t.notOk(side.embedded.wasReset);
  await side.tick(1);
  t.ok(side.embedded.wasReset);
});

t.test('while we do not read, silence is not the peer’s fault', async (t) => {
  const side = new Side();
  side.embedded.channel.stopReading();
  t.ok(side.embedded.isPaused);
  for (let i = 0; i < 10; i++) await side.tick(1_000);
  t.notOk(side.embedded.wasReset);
});

t.test('before the hello it neither pings nor cuts', async (t) => {
  const clock = new ManualClock();
  const embedded = new EmbeddedChannel(clock, [new FrameCodec(), new Heartbeat(clock)]);
  embedded.channel.tick(100_000, false);
  await clock.settle();
  t.equal(embedded.take().length, 0);
  t.notOk(embedded.wasReset);
});
