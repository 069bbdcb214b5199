import fc from 'fast-check';
import t from 'tap';
import { placeOf } from '../../../src/base/place.js';
import { type GroupPartition, type Holding, MemberCore } from '../../../src/client/consumer/member-core.js';

const sessionMs = 6_000;
const at = (partition: number): GroupPartition => ({ topicId: 7, partition });

class Rig {
  readonly core = new MemberCore<undefined>(sessionMs);
  nowMs = 1_000;
  readonly held = new Map<number, Holding<undefined>>();
  readonly releasing: Holding<undefined>[] = [];
  joins: { epoch: number; owned: number[] }[] = [];
  beats: { epoch: number; owned: number[] }[] = [];
  lost: number[] = [];
  /** Of the latest beat. */
  number = 0;

  /** From a coordinator that has heard all beats. */
  push(epoch: number, ...partitions: number[]): void {
    const assigned = partitions.map(at);
    this.core.pushed({ epoch, assigned, heartbeatMs: 1_000, sessionTimeoutMs: 0, heard: this.number }, this.nowMs);
    this.perform();
  }

  perform(): void {
    const numbers = (places: readonly GroupPartition[]): number[] => places.map(({ partition }) => partition).sort();
    for (const effect of this.core.take()) {
      if (effect.kind === 'join') {
        this.joins.push({ epoch: effect.epoch, owned: numbers(effect.owned) });
        this.core.opened(this.nowMs);
      } else if (effect.kind === 'beat') {
        this.beats.push({ epoch: effect.epoch, owned: numbers(effect.owned) });
        if (effect.number <= this.number) throw new Error('numbers of beats grow');
        this.number = effect.number;
      } else if (effect.kind === 'lose') {
        for (const holding of effect.holdings) {
          this.held.delete(holding.partition);
          this.lost.push(holding.partition);
        }
      } else if (effect.kind === 'release') this.releasing.push(...effect.holdings);
      else for (const holding of effect.holdings) this.held.set(holding.partition, holding);
    }
  }

  release(partition: number): void {
    const at = this.releasing.findIndex((each) => each.partition === partition);
    const [holding] = this.releasing.splice(at, 1);
    this.held.delete(partition);
    this.core.released(holding!, this.nowMs);
    this.perform();
  }
}

function member(...partitions: number[]): Rig {
  const rig = new Rig();
  rig.core.join();
  rig.perform();
  rig.push(1, ...partitions);
  return rig;
}

t.test('joins with nothing, takes what it is given, beats', async (t) => {
  const rig = member(1, 2);
  t.same(rig.joins, [{ epoch: 0, owned: [] }]);
  t.same([...rig.held.keys()], [1, 2]);
  t.same(rig.beats, [{ epoch: 1, owned: [1, 2] }]);
  rig.nowMs += 1_000;
  rig.core.tick(rig.nowMs);
  rig.perform();
  t.equal(rig.beats.length, 2);
  t.equal(rig.core.dueMs, rig.nowMs + 1_000);
});

t.test('a partition stands in every beat until it was released, then a beat says so at once', async (t) => {
  const rig = member(1, 2);
  rig.push(2, 2, 3);
  t.same(
    rig.releasing.map(({ partition }) => partition),
    [1],
  );
  t.same(rig.beats.at(-1), { epoch: 2, owned: [1, 2, 3] });
  rig.release(1);
  t.same(rig.beats.at(-1), { epoch: 2, owned: [2, 3] });
});

t.test('what is assigned again while it is being released is taken anew after it', async (t) => {
  const rig = member(1);
  const first = rig.held.get(1);
  rig.push(2);
  rig.push(3, 1);
  t.equal(rig.held.get(1), first);
  rig.release(1);
  t.not(rig.held.get(1), first);
  t.same(rig.beats.at(-1), { epoch: 3, owned: [1] });
});

t.test('after a cut it comes back with its epoch and what it holds', async (t) => {
  const rig = member(1, 2);
  rig.core.cut(rig.nowMs);
  rig.core.tick((rig.nowMs += 400));
  rig.perform();
  t.equal(rig.beats.length, 1, 'no beat without a session');
  t.ok(rig.core.mayStart(rig.nowMs));
  rig.core.cut(rig.nowMs);
  t.notOk(rig.core.mayStart((rig.nowMs += 200)), 'soon others may have its partitions, as if it had closed');
  rig.core.join();
  rig.perform();
  t.same(rig.joins.at(-1), { epoch: 1, owned: [1, 2] });
  t.notOk(rig.core.mayStart(rig.nowMs));
  rig.push(1, 1, 2);
  t.ok(rig.core.mayStart(rig.nowMs));
  t.same(rig.lost, []);
});

t.test('a fenced member loses everything and begins with epoch 0', async (t) => {
  const rig = member(1, 2);
  rig.push(2, 2);
  rig.core.fenced(rig.nowMs);
  rig.core.join();
  rig.perform();
  t.same(rig.lost.sort(), [1, 2]);
  t.same(rig.joins.at(-1), { epoch: 0, owned: [] });
  t.notOk(rig.core.mayStart(rig.nowMs));
  rig.core.released(rig.releasing[0]!, rig.nowMs);
  rig.push(1, 5);
  t.same([...rig.held.keys()], [5]);
});

t.test('a process that stood still joins anew instead of beating', async (t) => {
  const rig = member(1);
  rig.nowMs += 10_000;
  t.notOk(rig.core.mayStart(rig.nowMs));
  rig.core.tick(rig.nowMs);
  rig.perform();
  t.equal(rig.beats.length, 1);
  t.same(rig.joins.at(-1), { epoch: 1, owned: [1] });
  const late = member(1);
  late.nowMs += 10_000;
  late.push(2, 1, 2);
  t.same(late.joins.at(-1), { epoch: 2, owned: [1, 2] });
  t.notOk(late.core.mayStart(late.nowMs), 'a push that waited in the socket proves nothing');
});

t.test('beats that nobody hears keep nothing', async (t) => {
  const rig = member(1);
  const joined = rig.nowMs;
  for (rig.nowMs += 1_000; rig.nowMs <= joined + 5_000; rig.nowMs += 1_000) {
    rig.core.tick(rig.nowMs);
    rig.perform();
  }
  t.equal(rig.beats.length, 6);
  t.ok(rig.core.mayStart(joined + 5_800));
  t.notOk(rig.core.mayStart(joined + 6_000), 'the coordinator put it out then');
  rig.core.tick(rig.nowMs);
  rig.perform();
  t.equal(rig.joins.length, 2);
});

t.test('a session counts from when the latest beat that was heard left', async (t) => {
  const rig = member(1);
  const joined = rig.nowMs;
  rig.core.heard(rig.number);
  const first = rig.number;
  rig.core.tick((rig.nowMs += 1_000));
  rig.perform();
  rig.nowMs += 3_000;
  rig.core.heard(first);
  t.notOk(rig.core.mayStart(joined + 6_000), 'the one before it was heard');
  rig.core.heard(rig.number);
  t.ok(rig.core.mayStart(joined + 6_500));
  t.notOk(rig.core.mayStart(joined + 7_000), 'not from when that was told');
  rig.core.fenced(rig.nowMs);
  rig.core.heard(rig.number);
  t.notOk(rig.core.mayStart(rig.nowMs));
});

t.test('a first push that was long on its way proves only that the join was heard', async (t) => {
  const rig = new Rig();
  rig.core.join();
  rig.perform();
  rig.nowMs += 5_000;
  rig.push(1, 1);
  t.ok(rig.core.mayStart(rig.nowMs));
  t.notOk(rig.core.mayStart(rig.nowMs + 1_000));
});

t.test('a push that is older is void; one partition can be refused', async (t) => {
  const rig = member(1, 2);
  rig.push(5, 1, 2);
  rig.push(4, 1);
  t.same(rig.releasing, []);
  rig.core.refused(rig.held.get(2)!, rig.nowMs);
  rig.perform();
  t.same(rig.lost, [2]);
  t.same(rig.beats.at(-1), { epoch: 5, owned: [1] });
});

t.test('a closing member releases all and takes nothing', async (t) => {
  const rig = member(1, 2);
  rig.core.releaseAll();
  rig.perform();
  rig.push(2, 1, 2, 3);
  rig.release(1);
  rig.release(2);
  t.same([...rig.held.keys()], []);
  t.equal(rig.core.heldCount, 0);
});

t.test('property: no beat leaves out what is held, none names what was released or lost', async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('push' as const), set: fc.uniqueArray(fc.nat(5)), back: fc.boolean() }),
    fc.record({ kind: fc.constant('release' as const), at: fc.nat(10) }),
    fc.constant({ kind: 'cut' as const }),
    fc.constant({ kind: 'fence' as const }),
    fc.record({ kind: fc.constant('refuse' as const), at: fc.nat(10) }),
    fc.record({ kind: fc.constant('time' as const), ms: fc.nat(8_000) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const rig = new Rig();
      const { core } = rig;
      core.join();
      rig.perform();
      let epoch = 0;
      for (const each of steps) {
        const { kind } = each;
        const beats = rig.beats.length;
        if (kind === 'push') rig.push(each.back ? Math.max(0, epoch - 1) : ++epoch, ...each.set);
        else if (kind === 'release') {
          const open = rig.releasing.filter(({ isGone }) => !isGone);
          rig.releasing.splice(0, rig.releasing.length, ...open);
          if (open.length > 0) rig.release(open[each.at % open.length]!.partition);
        } else if (kind === 'refuse') {
          const held = [...rig.held.values()];
          if (held.length > 0) core.refused(held[each.at % held.length]!, rig.nowMs);
          rig.perform();
        } else if (kind === 'time') {
          core.tick((rig.nowMs += each.ms));
          rig.perform();
        } else {
          if (kind === 'cut') core.cut(rig.nowMs);
          else {
            core.fenced(rig.nowMs);
            epoch = 0;
          }
          core.join();
          rig.perform();
        }
        const held = [...rig.held.keys()].sort();
        for (const { owned } of rig.beats.slice(beats)) {
          if (JSON.stringify(owned) !== JSON.stringify(held)) throw new Error(`beat ${owned}, held ${held}`);
        }
        const known = [...core.holdings].map(({ topicId, partition }) => placeOf(topicId, partition)).sort();
        if (JSON.stringify(known) !== JSON.stringify(held.map((p) => placeOf(7, p)))) throw new Error('holdings');
      }
    }),
    { numRuns: 300 },
  );
});
