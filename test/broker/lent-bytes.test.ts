import fc from 'fast-check';
import t from 'tap';
import { LentBytes } from '../../src/broker/lent-bytes.js';
import type { Peer } from '../../src/rpc/service.js';

class FakePeer {
  queuedBytes = 0;
  close: () => void = () => {};
  onClose(callback: () => void): void {
    this.close = callback;
  }
}

const asPeer = (peer: FakePeer): Peer => peer as unknown as Peer;

t.test('whoever keeps up is lent more for ever; what stands still counts', async (t) => {
  const lent = new LentBytes(100_000);
  const fast = new FakePeer();
  const chunk = new Uint8Array(40_000);
  for (let i = 0; i < 100; i++) t.equal(lent.lend(asPeer(fast), [chunk])?.[0], chunk, 'not copied');
  const slow = new FakePeer();
  lent.lend(asPeer(slow), [chunk, chunk]);
  slow.queuedBytes = 80_000;
  t.equal(lent.lend(asPeer(fast), [chunk]), undefined);
  slow.queuedBytes = 50_000;
  t.ok(lent.lend(asPeer(fast), [chunk]));
  fast.queuedBytes = 40_000;
  t.equal(lent.lend(asPeer(fast), [chunk]), undefined);
  slow.close();
  t.ok(lent.lend(asPeer(fast), [chunk]));
  fast.close();
  t.equal(lent.bytes, 0);
});

t.test('a short view is copied, since it would keep a slab', async (t) => {
  const slab = Buffer.alloc(1_000_000, 7);
  const [chunk] = new LentBytes(1_000).lend(asPeer(new FakePeer()), [slab.subarray(10, 110)])!;
  t.ok(slab.subarray(10, 110).equals(chunk!));
  t.not(chunk!.buffer, slab.buffer);
});

t.test('never more than the bound waits', async () => {
  const step = fc.record({
    peer: fc.nat(4),
    bytes: fc.integer({ min: 1, max: 300 }),
    left: fc.nat(400),
    closes: fc.nat(20),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const lent = new LentBytes(1_000);
      const peers = Array.from({ length: 5 }, () => new FakePeer());
      for (const { peer, bytes, left, closes } of steps) {
        const one = peers[peer]!;
        if (lent.lend(asPeer(one), [new Uint8Array(bytes)]) !== undefined) one.queuedBytes += bytes;
        one.queuedBytes = Math.max(0, one.queuedBytes - left);
        if (closes === 0) {
          one.close();
          peers[peer] = new FakePeer();
        }
        const waiting = peers.reduce((sum, each) => sum + each.queuedBytes, 0);
        if (waiting > 1_000 || lent.bytes > 1_000 || lent.bytes < waiting) return false;
      }
      return true;
    }),
  );
});
