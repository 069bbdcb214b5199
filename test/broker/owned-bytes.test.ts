import fc from 'fast-check';
import t from 'tap';
import { OwnedBytes } from '../../src/broker/owned-bytes.js';
import type { Peer } from '../../src/rpc/service.js';

class FakePeer {
  queuedBytes = 0;
  close: () => void = () => {};
  onClose(callback: () => void): void {
    this.close = callback;
  }
}

const asPeer = (peer: FakePeer): Peer => peer as unknown as Peer;

t.test('a peer begins nothing more while enough of its own waits', async (t) => {
  const owned = new OwnedBytes(1_000, 100);
  const peer = new FakePeer();
  t.ok(owned.begin(asPeer(peer), 90));
  t.ok(owned.begin(asPeer(peer), 90), 'below its bound it may go beyond it once');
  t.notOk(owned.begin(asPeer(peer), 1));
  owned.end(asPeer(peer), 90, 0);
  owned.end(asPeer(peer), 90, 400);
  peer.queuedBytes = 400;
  t.equal(owned.bytes, 400);
  t.notOk(owned.begin(asPeer(peer), 1));
  peer.queuedBytes = 99;
  t.ok(owned.begin(asPeer(peer), 1));
  peer.close();
  owned.end(asPeer(peer), 1, 1);
  t.equal(owned.bytes, 0);
});

t.test('all of them together stay within the bound, whoever comes and goes', async () => {
  const step = fc.record({ peer: fc.nat(4), bytes: fc.nat(300), left: fc.nat(400), does: fc.nat(9) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const owned = new OwnedBytes(1_000, 200);
      const peers = Array.from({ length: 5 }, () => ({ at: new FakePeer(), reads: [] as number[] }));
      for (const { peer, bytes, left, does } of steps) {
        const one = peers[peer]!;
        if (does < 5) {
          if (owned.begin(asPeer(one.at), bytes)) one.reads.push(bytes);
        } else if (does < 9) {
          const reserved = one.reads.shift();
          if (reserved !== undefined) {
            const given = Math.min(bytes, reserved);
            owned.end(asPeer(one.at), reserved, given);
            one.at.queuedBytes += given;
          }
        } else {
          one.at.close();
          peers[peer] = { at: new FakePeer(), reads: [] };
        }
        one.at.queuedBytes = Math.max(0, one.at.queuedBytes - left);
        let now = 0;
        for (const { at, reads } of peers) now += at.queuedBytes + reads.reduce((sum, each) => sum + each, 0);
        if (owned.bytes > 1_000 || owned.bytes < now) return false;
      }
      return true;
    }),
  );
});
