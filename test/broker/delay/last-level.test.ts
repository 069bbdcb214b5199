import t from 'tap';
import { ErrorCode, TaskdError } from '../../../src/base/errors.js';
import { silentLogger } from '../../../src/base/logger.js';
import { BatchBuilder } from '../../../src/batch/builder.js';
import { Attribute, BatchClass } from '../../../src/batch/header.js';
import { type Destination, LastLevel } from '../../../src/broker/delay/last-level.js';
import { Lateness } from '../../../src/broker/delay/lateness.js';
import { StuckTargets, stuckMs } from '../../../src/broker/delay/stuck-targets.js';
import { Partition } from '../../../src/broker/partition.js';
import { LogStore } from '../../../src/log/log-store.js';
import type { Runtime } from '../../../src/runtime/runtime.js';
import { SimWorld } from '../../../src/runtime/sim/sim-world.js';
import { MemoryLogger } from '../../support/rpc-pair.js';

const pause = ({ clock }: Runtime, ms: number): Promise<void> => new Promise((resolve) => clock.timer(ms, resolve));

async function openPartition(store: LogStore, topicId: number, internal: boolean): Promise<Partition> {
  const shared = { logger: silentLogger, snapshotBytes: 1024 * 1024 };
  const partition = new Partition(await store.create(topicId, 0), internal, shared);
  await partition.activate();
  return partition;
}

t.test('records of a target that takes none wait, somebody is told, and they go when it does', async (t) => {
  const world = new SimWorld(1);
  const logger = new MemoryLogger();
  let isOver = false;
  world.process('broker').start(async (runtime) => {
    const store = await LogStore.open(runtime, '/var/taskd');
    const partition = await openPartition(store, 1, true);
    const target = await openPartition(store, 2, false);
    const stuck = new StuckTargets(runtime.clock, logger);
    let destination: Destination = { kind: 'away', why: 'its log is damaged' };
    const last = new LastLevel(
      {
        runtime,
        lateness: new Lateness(),
        stuck,
        trimBytes: 1024 * 1024,
        heldMax: undefined,
        parked: 0,
        target: () => destination,
        parking: () => undefined,
        hasPassed: () => true,
      },
      partition,
    );
    last.start();
    const builder = new BatchBuilder();
    const deliverAtMs = runtime.clock.wallMs() + 50;
    builder.append({ value: Buffer.from('waits'), deliverAtMs, targetTopicId: 2, targetPartition: 0 });
    const attributes = Attribute.DELAYED;
    partition.appendOwn(builder.finish({ baseTimestamp: 0, batchClass: BatchClass.CLIENT, attributes }), 1);
    await pause(runtime, stuckMs / 2);
    t.same([stuck.count, logger.lines.length], [0, 0]);
    await pause(runtime, stuckMs);
    t.equal(stuck.count, 1);
    t.match(logger.lines, [{ level: 'warn', fields: { topicId: 2, partition: 0, why: 'its log is damaged' } }]);
    const rewrite = () => ({
      key: undefined,
      value: Buffer.from('waits'),
      headers: [],
      timestampDelta: 0,
      type: 0,
      deliverAtMs: 0,
      targetTopicId: 0,
      targetPartition: 0,
      origin: 0,
    });
    const before = target.logEnd;
    destination = { kind: 'serving', partition: target, rewrite };
    await pause(runtime, 2_000);
    t.equal(target.highWatermark, before + 1);
    t.equal(stuck.count, 0);
    last.stop();
    await store.close();
    isOver = true;
  });
  t.ok(await world.run({ untilMs: 200_000, until: () => isOver }));
});

t.test('a cancel whose record the disk has lost is answered', async (t) => {
  const world = new SimWorld(1);
  let isOver = false;
  world.process('broker').start(async (runtime) => {
    const store = await LogStore.open(runtime, '/var/taskd');
    const partition = await openPartition(store, 1, true);
    const lost = partition.logEnd;
    // What the log of a damaged disk answers.
    const damaged = new Proxy(partition, {
      get: (target, name) => {
        if (name === 'readHot') {
          return (offset: number, bytesMax: number) => {
            if (offset !== lost) return target.readHot(offset, bytesMax);
            throw new TaskdError(ErrorCode.DATA_LOSS, 'it is gone', { hint: `${lost}-${lost + 1}` });
          };
        }
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
    const host = {
      runtime,
      lateness: new Lateness(),
      stuck: new StuckTargets(runtime.clock, silentLogger),
      trimBytes: 1024 * 1024,
      heldMax: undefined,
      parked: 0,
      target: (): Destination => ({ kind: 'away', why: 'nobody asks' }),
      parking: () => undefined,
      hasPassed: () => true,
    };
    const last = new LastLevel(host, damaged);
    last.start();
    await pause(runtime, 1_000);
    const dueMs = runtime.clock.wallMs() + 60_000;
    await t.rejects(last.cancel(17, dueMs), { code: ErrorCode.OUTCOME_UNKNOWN });
    t.equal(await last.cancel(17, dueMs), true, 'the next one is read');
    last.stop();
    await store.close();
    isOver = true;
  });
  t.ok(await world.run({ untilMs: 200_000, until: () => isOver }));
});
