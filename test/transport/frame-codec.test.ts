import t from 'tap';
import { unfinishedFrameMs } from '../../src/base/limits.js';
import { EmbeddedChannel } from '../../src/transport/embedded-channel.js';
import { FrameCodec } from '../../src/transport/frame-codec.js';
import { Kind } from '../../src/wire/frame.js';
import { GatherBudget } from '../../src/wire/gather-budget.js';
import { produce } from '../../src/wire/methods.js';
import { ManualClock } from '../support/manual-clock.js';
import { frameBytes } from '../support/raw-peer.js';

const bytes = frameBytes({ kind: Kind.REQ, method: produce.id, payload: [Buffer.alloc(50_000)] });
const tickMs = 500;

class Side {
  readonly embedded: EmbeddedChannel;
  #nowMs = 1_000_000;

  constructor(budget?: GatherBudget) {
    const codec = new FrameCodec(budget);
    this.embedded = new EmbeddedChannel(new ManualClock(), [codec]);
    codec.open();
  }

  /** Ticks until so much time has passed; true when the peer was cut by then. */
  pass(ms: number, wasPaused = false): boolean {
    for (const endMs = this.#nowMs + ms; this.#nowMs < endMs; ) {
      this.#nowMs += tickMs;
      this.embedded.channel.tick(this.#nowMs, wasPaused);
    }
    return this.embedded.wasReset;
  }
}

t.test('a frame that is not complete in time ends the connection, however its bytes trickle', (t) => {
  const budget = new GatherBudget(1_000_000);
  const side = new Side(budget);
  side.embedded.feed(bytes.subarray(0, 20_000));
  side.pass(tickMs);
  for (let i = 0; i < 6; i++) {
    t.notOk(side.pass(9_000), `byte ${i}`);
    side.embedded.feed(bytes.subarray(20_000 + i, 20_001 + i));
  }
  t.notOk(side.pass(unfinishedFrameMs - 54_000 - tickMs));
  t.ok(side.pass(tickMs));
  t.match(side.embedded.channel.closeReason, /not complete 60000 ms after its first byte/);
  t.ok(budget.bytes > 0);
  side.embedded.closed();
  t.equal(budget.bytes, 0, 'the end of the connection gives the bytes back');
  t.end();
});

t.test('each frame has its own time, and between frames none passes', (t) => {
  const side = new Side(new GatherBudget(1_000_000));
  side.embedded.feed(bytes.subarray(0, 100));
  for (let i = 0; i < 4; i++) {
    t.notOk(side.pass(unfinishedFrameMs - tickMs));
    side.embedded.feed(bytes.subarray(100));
    side.embedded.feed(bytes.subarray(0, 100));
  }
  side.embedded.feed(bytes.subarray(100));
  t.notOk(side.pass(3 * unfinishedFrameMs));
  t.end();
});

t.test('time in which we did not read is not the peer’s fault', (t) => {
  const side = new Side(new GatherBudget(1_000_000));
  side.embedded.feed(bytes.subarray(0, 100));
  t.notOk(side.pass(unfinishedFrameMs - tickMs));
  t.notOk(side.pass(2 * unfinishedFrameMs, true), 'our own process stood still');
  side.embedded.channel.stopReading();
  t.notOk(side.pass(2 * unfinishedFrameMs));
  side.embedded.channel.readOn();
  t.notOk(side.pass(tickMs));
  t.ok(side.pass(2 * tickMs), 'and what had passed before is not forgotten');
  t.end();
});

t.test('a client waits for its server’s answer as long as the heartbeat does', (t) => {
  const side = new Side();
  side.embedded.feed(bytes.subarray(0, 100));
  t.notOk(side.pass(3 * unfinishedFrameMs));
  t.end();
});

t.test('the connection that would take the budget over its limit is cut, the others live', (t) => {
  const budget = new GatherBudget(70_000);
  const first = new Side(budget);
  const second = new Side(budget);
  first.embedded.feed(bytes.subarray(0, 40_000));
  second.embedded.feed(bytes.subarray(0, 40_000));
  t.ok(second.embedded.wasReset);
  t.match(second.embedded.channel.closeReason, /70000 bytes \(gatheredBytesMax\)/);
  second.embedded.closed();
  t.notOk(first.embedded.wasReset);
  first.embedded.feed(bytes.subarray(40_000));
  t.equal(budget.bytes, 0);
  t.end();
});
