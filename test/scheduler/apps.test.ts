import fc from 'fast-check';
import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { BatchClass } from '../../src/batch/header.js';
import type { StoredRecord } from '../../src/batch/record.js';
import * as client from '../../src/client/job-definition.js';
import { attemptsMax, priorityMax, retryDelayMsMax, retryDelaysMax } from '../../src/client/job-definition.js';
import { MemoryTaskLog } from '../../src/coordinator/memory-task-log.js';
import { AppDirectory } from '../../src/scheduler/app-directory.js';
import { AppTable, appBind } from '../../src/scheduler/app-table.js';
import * as policy from '../../src/scheduler/core/retry-policy.js';
import * as rules from '../../src/scheduler/core/submit-rules.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { ManualClock } from '../support/manual-clock.js';

function record(offset: number, type: number, value: Uint8Array | undefined): StoredRecord {
  return { offset, type, value, key: undefined, headers: [], timestampDelta: 0, deliverAtMs: 0 } as never;
}

t.test('the first binding of a name wins for ever', async (t) => {
  const table = new AppTable(8);
  const bind = (offset: number, name: string, shard: number, batchClass: BatchClass = BatchClass.OWNER): unknown => {
    const value = taskd.AppBind.encode({ name, shard }).finish();
    return table.replay(record(offset, taskd.RecordType.APP_BIND, value), { batchClass });
  };
  t.same(bind(3, 'shop', 1), { name: 'shop', appId: 3, shard: 1 });
  t.same(bind(4, 'shop', 2), { name: 'shop', appId: 3, shard: 1 });
  t.same(bind(5, 'bank', 2), { name: 'bank', appId: 5, shard: 2 });
  t.equal(bind(6, '', 2), undefined);
  t.equal(bind(7, 'x'.repeat(129), 2), undefined, 'a name that no scheduler takes');
  t.equal(bind(8, 'stolen', 9, BatchClass.CLIENT), undefined, 'only schedulers bind');
  t.equal(bind(9, 'stolen', 9, BatchClass.WORKER), undefined);
  t.equal(table.app('stolen'), undefined);
  t.equal(bind(10, 'far', 8), undefined, 'a shard that does not exist');
  t.equal(table.app('far'), undefined);
  t.equal(table.nameOf(3), 'shop');
  t.equal(table.nameOf(4), undefined);
  t.equal(table.size, 2);
});

const owner = { batchClass: BatchClass.OWNER };

t.test('whatever the bytes, replay throws nothing', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(60), fc.uint8Array({ maxLength: 40 }))), (records) => {
      const table = new AppTable(8);
      records.forEach(([type, value], offset) => void table.replay(record(offset, type, value), owner));
      records.forEach(
        ([, value], offset) => void table.replay(record(offset, taskd.RecordType.APP_BIND, value), owner),
      );
      table.replay(record(1, taskd.RecordType.APP_BIND, undefined), owner);
      return true;
    }),
  );
  t.end();
});

t.test('two directories on one log agree, and those who ask at once share one record', async (t) => {
  const clock = new ManualClock();
  const log = new MemoryTaskLog(clock);
  const [one, two] = [new AppDirectory(log, 8), new AppDirectory(log, 8)];
  await t.rejects(one.resolve('shop', true), { code: ErrorCode.NOT_READY });
  one.start();
  two.start();
  await clock.settle();
  await t.rejects(one.resolve('shop', false), { code: ErrorCode.NOT_FOUND, message: /no app "shop"/ });
  await t.rejects(one.resolve('x'.repeat(129), true), { code: ErrorCode.INVALID });
  const asked = [one.resolve('shop', true), one.resolve('shop', true), two.resolve('shop', true)];
  await clock.settle();
  const answers = await Promise.all(asked);
  t.same(answers[0], answers[1]);
  t.same(answers[0], answers[2]);
  t.equal(log.nextOffset, 2, 'one record from each directory');
  t.equal(answers[0]!.shard, taskd.AppBind.decode(appBind('shop', 8).value!).shard);
  t.same(await two.resolve('shop', false), answers[0]);
  t.same(one.list(), [answers[0]]);
  t.equal(one.nameOf(answers[0]!.appId), 'shop');
  const late = new AppDirectory(log, 16);
  late.start();
  await clock.settle();
  t.same(await late.resolve('shop', false), answers[0], 'another number of shards moves nothing');

  for (const each of [one, two, late]) each.stop();
});

t.test('the client checks with the limits that the scheduler has', async (t) => {
  t.equal(attemptsMax, policy.attemptsMax);
  t.equal(retryDelaysMax, policy.ladderLevelsMax);
  t.equal(retryDelayMsMax, policy.delayMsMax);
  t.equal(client.timeoutMsMax, policy.timeoutMsMax);
  t.equal(client.aheadMsMax, rules.aheadMsMax);
  t.equal(priorityMax, 9);
});
