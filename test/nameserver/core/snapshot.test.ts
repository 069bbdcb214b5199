import t from 'tap';
import { Ghosts } from '../../../src/nameserver/core/ghosts.js';
import { OwnerLog } from '../../../src/nameserver/core/owner-log.js';
import { Places } from '../../../src/nameserver/core/place.js';
import { pullMs, type ReceivedState, SnapshotReceiver } from '../../../src/nameserver/core/snapshot-receiver.js';
import { SnapshotSender, windowChunks } from '../../../src/nameserver/core/snapshot-sender.js';
import { Tombstones } from '../../../src/nameserver/core/tombstones.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import { claimOf } from './core-cluster.js';

class Source {
  readonly places = new Places();
  readonly tombstones = new Tombstones(this.places);
  readonly ghosts = new Ghosts(this.places);
  readonly log = new OwnerLog('o');
  readonly sender = new SnapshotSender(this.tombstones, this.ghosts);

  constructor(count: number) {
    this.log.restart(3, 0);
    for (let i = 0; i < count; i++) {
      const claim = { ...claimOf(`i${i}`, 1), metadata: { text: 'x'.repeat(100) } };
      this.log.append({ kind: 'put', claim, health: 'up' });
      this.log.set(this.places.at(claim), claim, i % 2 === 0 ? 'up' : 'suspect', this.log.sequence, 0);
    }
    const origin = { owner: 'q', incarnation: 8, sequence: 9 };
    this.tombstones.bury(this.places.at(claimOf('dead', 1)), { incarnation: 4, counter: 2 }, this.log, origin, 0);
    const moved = this.places.at(claimOf('moved', 1));
    moved.shown = { claim: claimOf('moved', 1), health: 'suspect', owner: 'p' };
    this.ghosts.add(moved, moved.shown.claim, 'p', 9_000, 0);
  }
}

function onWire(chunk: taskd.SnapshotChunk.$Properties): taskd.SnapshotChunk {
  return taskd.SnapshotChunk.decode(taskd.SnapshotChunk.encode(chunk).finish());
}

/** Pulls a whole state; `lose` says which chunks get lost. */
function pull(source: Source, lose: (chunk: number) => boolean = () => false): ReceivedState {
  const receiver = new SnapshotReceiver();
  receiver.mayPull('o', 'b', 0, 0);
  let nowMs = 0;
  let chunks = source.sender.begin('b', source.log, 0, nowMs);
  for (let rounds = 0; rounds < 1_000; rounds++) {
    let next: taskd.SnapshotChunk.$Properties[] = [];
    for (const chunk of chunks) {
      if (lose(chunk.chunk!)) continue;
      const outcome = receiver.take('o', 'b', onWire(chunk), nowMs);
      if (outcome.kind === 'whole') return outcome.state;
      if (outcome.kind === 'more') next = source.sender.resume('b', outcome.snapshot, outcome.chunk, nowMs);
    }
    if (next.length === 0) {
      nowMs += pullMs;
      for (const { snapshot, chunk } of receiver.stalled(nowMs))
        next = source.sender.resume('b', snapshot, chunk, nowMs);
    }
    // What is said meanwhile is not part of it.
    const late = claimOf(`late${rounds}`, 1);
    source.log.set(source.places.at(late), late, 'up', 999_999, 0);
    source.log.delete(source.places.at(claimOf(`i${rounds}`, 1)));
    chunks = next;
  }
  throw new Error('it never ends');
}

t.test('a state comes whole, in windows, as it was when it began', (t) => {
  for (const count of [0, 1, 5_000]) {
    const state = pull(new Source(count));
    t.match(state, { incarnation: 3, sequence: count, hiddenSequence: -1 });
    t.equal(state.claims.length, count);
    t.same(new Set(state.claims.map(({ claim }) => claim.instanceId)).size, count);
    const origin = { owner: 'q', incarnation: 8, sequence: 9 };
    t.match(state.tombstones, [{ key: { instanceId: 'dead' }, version: { incarnation: 4, counter: 2 }, origin }]);
    t.match(state.ghosts, [{ claim: { instanceId: 'moved' }, owner: 'p', leftMs: 9_000 }]);
    t.equal(state.claims.filter(({ health }) => health === 'up').length, Math.ceil(count / 2));
  }
  t.end();
});

t.test('lost chunks are asked for again', (t) => {
  const lost = new Set([1, 3, windowChunks, 6]);
  const state = pull(new Source(5_000), (chunk) => lost.delete(chunk));
  t.equal(state.claims.length, 5_000);
  t.equal(lost.size, 0);
  t.end();
});

t.test('the mark of a hidden owner goes along; a snapshot is forgotten when nobody asks, or for a newer one', (t) => {
  const source = new Source(3_000);
  const [first] = source.sender.begin('b', source.log, 13, 0);
  t.equal(first?.hiddenMark, 13);
  t.equal(source.sender.resume('b', first!.snapshot!, 1, 5_000).length > 0, true);
  t.same(source.sender.resume('c', first!.snapshot!, 1, 5_000), [], 'it is for one receiver');
  t.same(source.sender.resume('b', first!.snapshot!, 99, 5_000), [], 'chunks come in their order');
  const [second] = source.sender.begin('b', source.log, 0, 6_000);
  t.same(source.sender.resume('b', first!.snapshot!, 1, 6_000), []);
  source.sender.sweep(30_000);
  t.same(source.sender.resume('b', second!.snapshot!, 1, 30_000), []);
  t.end();
});

t.test('one pull a log at a time, unless it stands still or would bring what is known to be old', (t) => {
  const receiver = new SnapshotReceiver();
  t.ok(receiver.mayPull('o', 'b', 0, 5));
  t.notOk(receiver.mayPull('o', 'c', 100, 5));
  t.ok(receiver.mayPull('o', 'c', 100, 6), 'a newer incarnation is known now');
  t.ok(receiver.mayPull('o', 'c', 100 + pullMs, 6), 'no progress');
  receiver.answered('o', 'b');
  t.ok(receiver.isPulling('o'), 'c was asked, not b');
  receiver.answered('o', 'c');
  t.notOk(receiver.isPulling('o'));
  t.end();
});
