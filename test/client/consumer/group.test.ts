import t from 'tap';
import { ErrorCode, isTaskdError } from '../../../src/base/errors.js';
import type { ConsumerRecord } from '../../../src/client/consumer/consumer-record.js';
import type { HandlerContext } from '../../../src/client/consumer/handler-context.js';
import { TopicDirectory, type TopicPlace } from '../../../src/client/topic-directory.js';
import { ConsumerRig } from './rig.js';

const group = 'billing';
const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => `r${i}`);

t.test('handles all, commits by itself when it closes, and the next one goes on there', async (t) => {
  const rig = await ConsumerRig.start(t);
  await rig.send(...numbers(5));
  const seen: string[] = [];
  const handler = (record: ConsumerRecord): void => {
    seen.push(record.text());
    rig.changed();
  };
  const assigned: unknown[] = [];
  const revoked: unknown[] = [];
  const first = rig.consumer({
    group,
    onAssigned: (partitions) => void assigned.push(...partitions),
    onRevoked: (partitions) => void revoked.push(...partitions),
  });
  const running = first.run(handler);
  await rig.until(() => seen.length === 5);
  t.same(first.assignment, [{ topic: 'orders', partition: 0 }]);
  t.match(await rig.groups.describe(group), {
    state: 'STABLE',
    assignor: 'sticky',
    members: [{ partitions: [{ topic: 'orders', partition: 0 }], instanceId: '' }],
  });
  await first.close();
  await running;
  t.same(assigned, [{ topic: 'orders', partition: 0 }]);
  t.same(revoked, assigned);
  t.match(await rig.groups.describe(group), { state: 'EMPTY', members: [], lag: 0 });
  await rig.send('later');
  t.match(await rig.groups.describe(group), { lag: 1 });
  const second = rig.consumer({ group });
  void second.run(handler);
  await rig.until(() => seen.length === 6);
  t.equal(seen[5], 'later', 'nothing comes again');
});

t.test('members share partitions; one that joins stops nobody, one that leaves hands over', async (t) => {
  const rig = await ConsumerRig.start(t, 4);
  const owners = new Map<number, string>();
  const seen: string[] = [];
  const handler = (name: string) => (record: ConsumerRecord) => {
    seen.push(`${record.partition}:${record.text()}`);
    const owner = owners.get(record.partition);
    if (owner !== name) t.fail(`${name} handles what ${owner} has`);
    rig.changed();
  };
  const member = (name: string) => {
    const consumer = rig.consumer({
      group,
      onAssigned: (partitions) => {
        for (const { partition } of partitions) {
          if (owners.has(partition)) t.fail(`${partition} has two owners`);
          owners.set(partition, name);
        }
        rig.changed();
      },
      onRevoked: (partitions) => {
        for (const { partition } of partitions) owners.delete(partition);
        rig.changed();
      },
      onLost: () => t.fail('nothing is lost'),
    });
    return { consumer, running: consumer.run(handler(name)) };
  };
  const a = member('a');
  await rig.until(() => owners.size === 4);
  const b = member('b');
  await rig.until(() => [...owners.values()].filter((owner) => owner === 'b').length === 2 && owners.size === 4);
  for (let partition = 0; partition < 4; partition++) await rig.send({ value: 'x', partition });
  await rig.until(() => seen.length === 4);
  await a.consumer.close();
  await a.running;
  await rig.until(() => [...owners.values()].filter((owner) => owner === 'b').length === 4);
  for (let partition = 0; partition < 4; partition++) await rig.send({ value: 'y', partition });
  await rig.until(() => seen.length === 8);
  t.same(
    seen.sort(),
    [0, 1, 2, 3].flatMap((partition) => [`${partition}:x`, `${partition}:y`]),
    'each once',
  );
  await b.consumer.close();
});

t.test('a revoked partition is let go only when its handler has ended, and then is committed', async (t) => {
  const rig = await ConsumerRig.start(t, 2);
  await rig.send({ value: 'p0', partition: 0 }, { value: 'p1', partition: 1 });
  let release: () => void = () => {};
  const held: number[] = [];
  const a = rig.consumer({ group });
  void a.run((record) => {
    held.push(record.partition);
    rig.changed();
    return new Promise<void>((resolve) => {
      const before = release;
      release = () => {
        before();
        resolve();
      };
    });
  });
  await rig.until(() => held.length === 2);
  const taken: number[] = [];
  const again: string[] = [];
  const b = rig.consumer({
    group,
    onAssigned: (partitions) => {
      taken.push(...partitions.map(({ partition }) => partition));
      rig.changed();
    },
  });
  void b.run((record) => {
    again.push(record.text());
    rig.changed();
  });
  // The second member is in, and one partition is on its way.
  for (;;) {
    const { state, members } = await rig.groups.describe(group);
    if (members.length === 2 && state === 'MOVING') break;
  }
  t.same(taken, []);
  release();
  await rig.until(() => taken.length === 1);
  const committed = await rig.committed(group);
  t.ok(committed[`orders/${taken[0]}`]! > 0, 'committed before it went');
  await rig.send({ value: 'next', partition: taken[0]! });
  await rig.until(() => again.length > 0);
  t.same(again, ['next']);
});

t.test('a fenced member drops everything, its handlers are told, and it comes back', async (t) => {
  const rig = await ConsumerRig.start(t);
  await rig.send('a', 'b');
  const causes: unknown[] = [];
  const lost: unknown[] = [];
  const seen: string[] = [];
  const consumer = rig.consumer({
    group,
    releaseTimeoutMs: 60_000,
    onLost: (partitions) => {
      lost.push(...partitions);
      rig.changed();
    },
  });
  void consumer.run((record, context: HandlerContext) => {
    seen.push(record.text());
    rig.changed();
    if (seen.length > 1) return undefined;
    return new Promise<void>((_resolve, reject) => {
      context.signal.addEventListener('abort', () => {
        causes.push((context.signal.reason as { why: string }).why);
        reject(new Error('stopped'));
      });
    });
  });
  await rig.until(() => seen.length === 1);
  const [member] = (await rig.groups.describe(group)).members;
  await rig.leave(group, member!.memberId);
  await rig.until(() => seen.length === 3);
  t.same(lost, [{ topic: 'orders', partition: 0 }]);
  t.same(causes, ['lost']);
  t.same(seen, ['a', 'a', 'b'], 'what was not committed comes again, and nothing went to a retry topic');
  t.equal(consumer.stats.failed, 0);
});

t.test('static: a restart moves nothing; one that takes the place ends the other', async (t) => {
  const rig = await ConsumerRig.start(t, 2);
  const options = { group, instanceId: 'one', sessionTimeoutMs: 6_000 };
  const seen: string[] = [];
  const handler = (record: ConsumerRecord): void => {
    seen.push(record.text());
    rig.changed();
  };
  const first = rig.consumer(options);
  void first.run(handler);
  await rig.send('a');
  await rig.until(() => seen.length === 1);
  await first.close();
  t.match(await rig.groups.describe(group), { members: [{ instanceId: 'one' }] }, 'it did not leave');
  const second = rig.consumer(options);
  const running = second.run(handler);
  await rig.send('b');
  await rig.until(() => seen.length === 2);
  t.same(seen, ['a', 'b']);
  const third = rig.consumer(options);
  void third.run(handler);
  await t.rejects(running, { code: ErrorCode.MEMBER_FENCED });
  await rig.send('c');
  await rig.until(() => seen.at(-1) === 'c');
});

t.test('by hand: nothing is committed but by commit()', async (t) => {
  const rig = await ConsumerRig.start(t);
  await rig.send('a', 'b');
  const seen: string[] = [];
  const first = rig.consumer({ group, autoCommit: false });
  void first.run((record) => {
    seen.push(record.text());
    rig.changed();
  });
  await rig.until(() => seen.length === 2);
  await first.close();
  t.same(await rig.committed(group).catch(() => ({})), {});
  const second = rig.consumer({ group, autoCommit: false });
  void second.run((record) => {
    seen.push(record.text());
    rig.changed();
  });
  await rig.until(() => seen.length === 4);
  const [first0] = second.stats.partitions;
  await second.commit([{ topic: 'orders', partition: 0, offset: 1 }]);
  t.same(await rig.committed(group), { 'orders/0': 1 });
  await t.rejects(second.commit([{ topic: 'orders', partition: 9, offset: 1 }]), { code: ErrorCode.INVALID });
  await t.rejects(second.commit([{ topic: 'orders', partition: 0, offset: 99 }]), {
    code: ErrorCode.OFFSET_OUT_OF_RANGE,
    message: /offset 99 lies beyond/,
  });
  t.same(await rig.committed(group), { 'orders/0': 1 });
  await rig.send('c');
  await rig.until(() => seen.length === 5);
  t.equal(seen[4], 'c', 'the partition is its own still');
  t.equal(first0!.committedOffset, undefined);
  await second.commit();
  t.same(Object.keys(await rig.committed(group)), ['orders/0']);
  t.equal(Object.values(await rig.committed(group))[0], second.stats.partitions[0]!.doneOffset);
});

t.test("'latest' is where the log ended when the consumer began, and is kept", async (t) => {
  const rig = await ConsumerRig.start(t);
  await rig.send('old');
  const seen: string[] = [];
  const consumer = rig.consumer({ group, from: 'latest', commitIntervalMs: 20, onAssigned: () => rig.changed() });
  void consumer.run((record) => {
    seen.push(record.text());
    rig.changed();
  });
  for (;;) if (Object.keys(await rig.committed(group).catch(() => ({}))).length > 0) break;
  await consumer.close();
  await rig.send('while away');
  const next = rig.consumer({ group, from: 'latest' });
  void next.run((record) => {
    seen.push(record.text());
    rig.changed();
  });
  await rig.until(() => seen.length === 1);
  t.same(seen, ['while away']);
});

t.test('a group without retries ends with what a handler threw, and that record is not committed', async (t) => {
  const rig = await ConsumerRig.start(t);
  await rig.send('a', 'bad', 'c');
  const seen: string[] = [];
  const running = rig.consumer({ group, retry: false }).run((record) => {
    seen.push(record.text());
    if (record.text() === 'bad') throw new Error('poison');
  });
  await t.rejects(running, { message: 'poison' });
  t.same(seen, ['a', 'bad']);
  const { partitions } = await rig.groups.describe(group);
  t.match(partitions, [{ lag: 2 }]);
});

t.test('a consumer that can never join says why', async (t) => {
  const rig = await ConsumerRig.start(t);
  const first = rig.consumer({ group, onAssigned: () => rig.changed() });
  void first.run(() => {});
  await rig.until(() => first.assignment.length === 1);
  await t.rejects(
    rig.consumer({ group, assignor: 'range' }).run(() => {}),
    { code: ErrorCode.CONFLICT },
  );
});

t.test('offsets are reset while nobody is there, after a dry run; groups are listed and removed', async (t) => {
  const rig = await ConsumerRig.start(t);
  await rig.send('a', 'b', 'c');
  const consumer = rig.consumer({ group, onAssigned: () => rig.changed() });
  let handled = 0;
  void consumer.run(() => {
    handled++;
    rig.changed();
  });
  await rig.until(() => handled === 3);
  const toStart = { topic: 'orders', to: 'earliest' } as const;
  await t.rejects(rig.groups.reset(group, toStart), { code: ErrorCode.CONFLICT });
  await consumer.close();
  const before = await rig.committed(group);
  const planned = await rig.groups.reset(group, { ...toStart, dryRun: true });
  t.match(planned, [{ partition: 0, from: before['orders/0'], to: 0 }]);
  t.same(await rig.committed(group), before);
  await rig.groups.reset(group, toStart);
  t.same(await rig.committed(group), { 'orders/0': 0 });
  await t.rejects(rig.groups.reset(group, { topic: 'absent', to: 'latest' }), { code: ErrorCode.NOT_FOUND });
  t.match(await rig.groups.list(), [{ name: group, state: 'EMPTY', members: 0 }]);
  t.same(await rig.groups.list('other'), []);
  await rig.groups.remove(group);
  t.same(await rig.groups.list(), []);
  await t.rejects(rig.groups.describe(group), { code: ErrorCode.NOT_FOUND });
});

const warnings = (rig: ConsumerRig): unknown[] =>
  rig.log.lines.filter(({ level }) => level === 'warn').map(({ fields }) => fields);

t.test('where nobody listens the log is told of trouble', async (t) => {
  const rig = await ConsumerRig.start(t);
  await rig.send('a');
  let isHandled = false;
  void rig.consumer({ releaseTimeoutMs: 100, onAssigned: () => new Promise(() => {}) }).run(() => {
    isHandled = true;
    rig.changed();
  });
  await rig.until(() => isHandled);
  t.match(warnings(rig), [{ error: /^onAssigned did not resolve/ }]);
});

for (const inGroup of [true, false]) {
  t.test(
    `an onAssigned that never resolves is told of and holds nothing up, ${inGroup ? 'in a group' : 'alone'}`,
    async (t) => {
      const rig = await ConsumerRig.start(t);
      await rig.send('a');
      const seen: string[] = [];
      const consumer = rig.consumer({
        ...(inGroup ? { group } : {}),
        releaseTimeoutMs: 100,
        onAssigned: () => new Promise(() => {}),
        onTrouble: (error) => void seen.push(error.message),
      });
      void consumer.run((record) => {
        seen.push(record.text());
        rig.changed();
      });
      await rig.until(() => seen.includes('a'));
      t.match(seen, [/^onAssigned did not resolve within 100 ms .*orders\/0 are consumed all the same/, 'a']);
      t.same(warnings(rig), [], 'who listens is told, and not the log');
      await consumer.close();
    },
  );
}

t.test('a partition whose topic nobody can tell of for a while is consumed all the same', async (t) => {
  const rig = await ConsumerRig.start(t);
  await rig.send('a');
  let isTold = false;
  class LateDirectory extends TopicDirectory {
    override known(topicId: number): TopicPlace | undefined {
      const place = super.known(topicId);
      return place?.name === rig.topic && !isTold ? undefined : place;
    }
  }
  const seen: string[] = [];
  const options = {
    group,
    onTrouble: (error: Error) => {
      isTold ||= isTaskdError(error, ErrorCode.NOT_FOUND);
    },
  };
  void rig.consumer(options, LateDirectory).run((record) => {
    seen.push(record.text());
    rig.changed();
  });
  await rig.until(() => seen.length === 1);
  t.ok(isTold, 'it was told while it was not known');
});
