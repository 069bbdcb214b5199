/** What a peer may say: anything. A node must not fall over, nor grow without a bound. */
import fc from 'fast-check';
import t from 'tap';
import { instancesMax, ownersMax } from '../../../src/nameserver/core/log-table.js';
import type { PeerMessage } from '../../../src/nameserver/core/registry-effect.js';
import { SnapshotReceiver } from '../../../src/nameserver/core/snapshot-receiver.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import { CoreCluster, claimOf, keyOf } from './core-cluster.js';

const number = fc.oneof(
  fc.nat(30),
  fc.maxSafeNat(),
  fc.constantFrom(0, 1, 2 ** 47, 2 ** 48, 2 ** 48 + 1, 2 ** 53 - 1, 1_700_000_000_000, 1_700_000_050_000),
);
const small = fc.oneof(fc.nat(30), fc.constantFrom(0xffff_ffff, 0x7fff_ffff));
const name = fc.oneof(
  fc.constantFrom('a', 'b', 'c', 'z', 'x', 's', 'n', ''),
  fc.string({ maxLength: 10 }),
  fc.constantFrom('\n', 'with space', 'long'.repeat(100)),
);
const version = fc.record({ incarnation: number, counter: number }, { requiredKeys: [] });
const instance = fc.record(
  {
    namespace: fc.constantFrom('n', ''),
    group: fc.constantFrom('', 'g'),
    service: name,
    instanceId: name,
    addresses: fc.constantFrom([{ host: 'h', port: 1 }], []),
    weight: small,
    version,
    health: fc.nat(5),
  },
  { requiredKeys: ['namespace', 'addresses'] },
);
const end = fc.record(
  { namespace: fc.constantFrom('n', ''), service: name, instanceId: name, version, movedBy: version },
  { requiredKeys: [] },
);
const change = fc.oneof(fc.record({ put: instance }), fc.record({ end }), fc.constant({}));
const body = fc.oneof<fc.Arbitrary<object>[]>(
  fc.record({
    beat: fc.record({
      ages: fc.array(fc.record({ owner: name, ageMs: small })),
      stamp: number,
      asksDigest: fc.boolean(),
    }),
  }),
  fc.record({
    digest: fc.record({
      owners: fc.array(
        fc.record({ owner: name, incarnation: number, sequence: number, hashA: small, hashB: small, ageMs: small }),
      ),
      echoes: fc.array(fc.record({ node: name, boot: number, stamp: number })),
      ready: fc.boolean(),
      coldLeftMs: small,
    }),
  }),
  fc.record({
    delta: fc.record({
      owner: name,
      incarnation: number,
      from: number,
      changes: fc.array(change),
      hiddenMark: number,
    }),
  }),
  fc.record({ deltaAck: fc.record({ incarnation: number, sequence: number }) }),
  fc.record({
    pull: fc.record(
      {
        owner: name,
        incarnation: number,
        sequence: number,
        whole: fc.boolean(),
        snapshot: number,
        chunk: small,
        remains: fc.boolean(),
      },
      { requiredKeys: [] },
    ),
  }),
  fc.record({
    snapshotChunk: fc.record({
      owner: name,
      incarnation: number,
      sequence: number,
      snapshot: fc.nat(3),
      chunk: fc.nat(5),
      last: fc.boolean(),
      instances: fc.array(instance),
      tombstones: fc.array(end),
      ghosts: fc.array(fc.record({ instance, owner: name, leftMs: small })),
      hiddenMark: number,
      remains: fc.boolean(),
    }),
  }),
  fc.constantFrom({ ownerLeave: {} }, { incarnationQuestion: {} }, {}),
  fc.record({ incarnationTold: fc.record({ incarnation: number, remains: fc.boolean() }) }),
  fc.record({ hidden: fc.record({ by: fc.array(end) }) }),
);
const frame = fc.tuple(
  fc.record({ sender: fc.constantFrom('a', 'b', 'c', 'z', 'z2'), incarnation: number, boot: number }),
  body,
);

function hear(cluster: CoreCluster, message: PeerMessage): void {
  // As it comes off the wire.
  const decoded = taskd.PeerFrame.decode(taskd.PeerFrame.encode(message).finish());
  cluster.core('a').receive(decoded.sender, decoded, cluster.nowMs, 1_700_000_000_000 + cluster.nowMs);
  cluster.settle();
}

t.test('random frames neither bring a node down nor keep its own clients out', (t) => {
  fc.assert(
    fc.property(fc.array(frame, { minLength: 1, maxLength: 60 }), (frames) => {
      const cluster = CoreCluster.settled('a', 'b', 'c');
      cluster.act('a', (core) => core.register(1, claimOf('mine', 1), cluster.nowMs));
      for (const [head, rest] of frames) {
        hear(cluster, { ...head, ...rest });
        if (frames.length % 3 === 0) cluster.pass(500, () => cluster.core('a').heard(1, cluster.nowMs));
      }
      const core = cluster.core('a');
      cluster.pass(1_000, () => core.heard(1, cluster.nowMs));
      if (core.owners().length > ownersMax) throw new Error('too many owners');
      // The session is still there, and whoever holds it can be above whatever was claimed.
      const { superseded } = core.beat(1, cluster.nowMs);
      const seen = superseded.find(({ instanceId }) => instanceId === 'mine')?.seen.incarnation ?? 1;
      if (seen >= 2 ** 53 - 1) return true;
      core.register(1, claimOf('mine', seen + 1), cluster.nowMs);
      return core.visible(keyOf('mine')) !== undefined;
    }),
    { numRuns: 150 },
  );
  t.end();
});

t.test('random bytes as a frame', (t) => {
  const cluster = CoreCluster.settled('a', 'b');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      let decoded: taskd.PeerFrame;
      try {
        decoded = taskd.PeerFrame.decode(bytes);
      } catch {
        return true;
      }
      cluster.core('a').receive('b', decoded, cluster.nowMs, 1);
      cluster.core('a').receive(decoded.sender, decoded, cluster.nowMs, 1);
      cluster.settle();
      return true;
    }),
    { numRuns: 3_000 },
  );
  t.end();
});

t.test('owners without end are not kept', (t) => {
  const cluster = CoreCluster.settled('a', 'b');
  for (let i = 0; i < 200; i++) {
    const owners = Array.from({ length: 50 }, (_, k) => ({ owner: `o${i}-${k}`, incarnation: 1, sequence: 1 }));
    hear(cluster, { sender: 'b', digest: { owners } });
    hear(cluster, { sender: `s${i}`, beat: {} });
  }
  t.ok(cluster.core('a').owners().length <= ownersMax);
  t.end();
});

t.test('chunks that nobody asked for, and states that never end', (t) => {
  const receiver = new SnapshotReceiver();
  const instances = [{ ...claimOf('x', 1), addresses: [{ host: 'h', port: 1 }], tags: [], metadata: {} }];
  t.same(receiver.take('o', 'b', { snapshot: 1, chunk: 0, last: true, instances }, 0), { kind: 'none' });
  t.ok(receiver.mayPull('o', 'b', 0, 0));
  t.same(receiver.take('o', 'c', { snapshot: 1, chunk: 0, last: true, instances }, 0), { kind: 'none' }, 'not asked');
  let chunks = 0;
  const many = Array.from({ length: 2_000 }, () => instances[0]!);
  while (receiver.isPulling('o') && chunks < 1_000) {
    receiver.take('o', 'b', { snapshot: 1, chunk: chunks++, instances: many }, 0);
  }
  t.ok(chunks <= instancesMax / 2_000 + 1, `given up after ${chunks} chunks`);
  t.ok(receiver.mayPull('o', 'b', 0, 0));
  for (chunks = 0; receiver.isPulling('o') && chunks < 1_000; ) {
    receiver.take('o', 'b', { snapshot: 1, chunk: chunks++ }, 0);
  }
  t.ok(chunks <= 2, 'an empty chunk in the middle is no chunk');
  t.end();
});
