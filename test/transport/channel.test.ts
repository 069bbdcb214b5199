import t from 'tap';
import { writeHighWaterBytes, writeLowWaterBytes, writeStallMs } from '../../src/base/limits.js';
import { EmbeddedChannel } from '../../src/transport/embedded-channel.js';
import { FrameCodec } from '../../src/transport/frame-codec.js';
import { Handler, type Inbound } from '../../src/transport/handler.js';
import { type Frame, Kind } from '../../src/wire/frame.js';
import { OutboundFrame } from '../../src/wire/frame-writer.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { resolveApp } from '../../src/wire/methods.js';
import { ManualClock } from '../support/manual-clock.js';

class Probe extends Handler {
  readonly seen: string[] = [];
  shallThrow = false;

  override channelActive(): void {
    this.seen.push('active');
  }
  override channelRead(message: Inbound): void {
    if (this.shallThrow) throw new Error('on purpose');
    this.seen.push(`read ${(message as Frame).correlation}`);
  }
  override channelReadComplete(): void {
    this.seen.push('complete');
  }
  override writabilityChanged(isWritable: boolean): void {
    this.seen.push(`writable ${isWritable}`);
  }
  override exceptionCaught(error: Error): void {
    this.seen.push(`caught ${error.message}`);
    this.close('reset', error.message);
  }
  override channelInactive(error: Error | undefined): void {
    this.seen.push(`inactive ${error?.message}`);
  }
  say(correlation: number, payload?: Uint8Array): void {
    const out = new OutboundFrame();
    Object.assign(out, { kind: Kind.REQ, method: resolveApp.id, correlation, codec: taskd.Empty, message: {} });
    if (payload !== undefined) out.payload = [payload];
    this.write(out);
  }
}

function open(): { clock: ManualClock; probe: Probe; embedded: EmbeddedChannel } {
  const clock = new ManualClock();
  const probe = new Probe();
  return { clock, probe, embedded: new EmbeddedChannel(clock, [new FrameCodec(), probe]) };
}

t.test('what a turn writes leaves in one write, in order', async (t) => {
  const { clock, probe, embedded } = open();
  for (let i = 1; i <= 500; i++) probe.say(i);
  t.equal(embedded.writes, 0);
  await clock.settle();
  t.equal(embedded.writes, 1);
  const bytes = embedded.take();
  embedded.feed(bytes);
  t.equal(
    probe.seen.filter((line) => line.startsWith('read')).join(),
    Array.from({ length: 500 }, (_, i) => `read ${i + 1}`).join(),
  );
  t.equal(probe.seen.filter((line) => line === 'complete').length, 1);
  probe.say(501, Buffer.alloc(100_000));
  t.equal(embedded.writes, 2, 'much leaves at once');
});

t.test('over the high water mark, and below the low one again', async (t) => {
  const { clock, probe, embedded } = open();
  embedded.queue(writeHighWaterBytes + 1);
  probe.say(1);
  await clock.settle();
  t.equal(probe.seen.at(-1), 'writable false');
  t.notOk(embedded.channel.isWritable);
  embedded.queue(writeLowWaterBytes + 1);
  t.notOk(embedded.channel.isWritable, 'not yet');
  embedded.queue(writeLowWaterBytes);
  t.equal(probe.seen.at(-1), 'writable true');
});

t.test('a peer that does not read is cut, but not for a pause of our own', async (t) => {
  const { clock, probe, embedded } = open();
  embedded.queue(writeHighWaterBytes + 1);
  probe.say(1);
  await clock.settle();
  embedded.channel.tick(0, false);
  embedded.channel.tick(writeStallMs - 1, false);
  t.notOk(embedded.wasReset);
  embedded.channel.tick(writeStallMs + 5, true);
  t.notOk(embedded.wasReset);
  embedded.channel.tick(2 * writeStallMs + 5, false);
  t.ok(embedded.wasReset);
  t.match(embedded.channel.closeReason, 'did not read');
});

t.test('three ways to close', async (t) => {
  const ended = open();
  ended.probe.say(1);
  ended.probe.close('end', 'done');
  t.ok(ended.embedded.take().length > 0, 'what was written leaves first');
  t.ok(ended.embedded.hasEnded);
  ended.probe.say(2);
  await ended.clock.settle();
  t.equal(ended.embedded.take().length, 0, 'nothing after it');
  ended.embedded.channel.tick(10_000, false);
  t.ok(ended.embedded.wasReset, 'a peer that never closes is cut');

  const left = open();
  left.probe.close('leave', 'rules');
  t.notOk(left.embedded.hasEnded, 'the peer goes first');
  left.embedded.feed(Buffer.alloc(40, 1));
  t.same(left.probe.seen, ['active'], 'what it still sends is dropped');
  left.embedded.peerEnd();
  t.ok(left.embedded.hasEnded);
  t.notOk(left.embedded.wasReset);

  const reset = open();
  reset.probe.say(1);
  reset.probe.close('reset', 'abuse');
  await reset.clock.settle();
  t.ok(reset.embedded.wasReset);
  t.equal(reset.embedded.take().length, 0);
  reset.embedded.closed(new Error('cut'));
  reset.embedded.closed();
  t.equal(reset.probe.seen.filter((line) => line.startsWith('inactive')).length, 1);
});

t.test('what a handler or the codec throws reaches exceptionCaught, and ends the reading', (t) => {
  const { probe, embedded } = open();
  embedded.feed(Buffer.alloc(16));
  t.match(probe.seen.at(-1), 'caught a frame of length 0');
  t.ok(embedded.wasReset);
  embedded.feed(Buffer.alloc(16));
  t.equal(probe.seen.length, 2);
  t.end();
});

t.test('a bug in a handler closes its connection and nothing else', async (t) => {
  const { clock, probe, embedded } = open();
  probe.say(1);
  await clock.settle();
  probe.shallThrow = true;
  embedded.feed(embedded.take());
  t.match(probe.seen.at(-1), 'on purpose');
  t.ok(embedded.wasReset);
});
