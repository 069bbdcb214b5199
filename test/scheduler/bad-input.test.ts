import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { dial, type RpcConnection } from '../../src/rpc/connection.js';
import { taskd } from '../../src/wire/generated/messages.js';
import {
  attach,
  claim,
  getJob,
  getRun,
  reports,
  resolveApp,
  returnLeases,
  sessionPing,
} from '../../src/wire/methods.js';
import { Rig, shards } from './rig.js';

interface Opened {
  readonly pushes: taskd.SessionPush[];
  readonly ended: Promise<Error | undefined>;
}

function open(connection: RpcConnection, request: taskd.AttachRequest.$Properties): Opened {
  const pushes: taskd.SessionPush[] = [];
  let end: (error: Error | undefined) => void = () => {};
  const ended = new Promise<Error | undefined>((resolve) => {
    end = resolve;
  });
  connection.open(attach, request, 10, { push: (push) => void pushes.push(push), end });
  return { pushes, ended };
}

t.test('a peer that breaks the rules is told so, and hurts nobody else', async (t) => {
  const rig = new Rig();
  await rig.startScheduler();
  const client = rig.client();
  const worker = rig.worker('shop', { p: () => 'fine' });
  await worker.start();
  const first = await client.runs.submit('shop', { processor: 'p' });
  await client.runs.result(first.id);
  const shard = Number(first.id.split(':')[0]);
  const connect = (): Promise<RpcConnection> => dial(rig.runtime, rig.address!, { clientId: 'rogue', kind: 'worker' });

  const rogue = await connect();
  await t.rejects(rogue.call(sessionPing, { shard, sentMonotonicMs: 1 }), { code: ErrorCode.NOT_FOUND });
  await t.rejects(rogue.call(claim, { shard, running: [1, 2] }), { code: ErrorCode.NOT_FOUND });
  await t.rejects(rogue.call(getRun, { shard: shards, run: 1 }), { code: ErrorCode.NOT_FOUND, message: /no shard 4/ });
  await t.rejects(rogue.call(getJob, { shard, appId: 99, name: '' }), { code: ErrorCode.NOT_FOUND });
  await t.rejects(rogue.call(resolveApp, { app: '', create: true }), { code: ErrorCode.INVALID });
  await t.rejects(rogue.call(resolveApp, { app: 'x'.repeat(500), create: true }), { code: ErrorCode.INVALID });
  t.match(await open(rogue, { shard: 77, workerId: 'w' }).ended, { code: ErrorCode.NOT_FOUND });
  const good = { shard, workerId: 'w', capacity: 1, processors: ['p'] };
  const wrong: taskd.AttachRequest.$Properties[] = [
    { workerId: '' },
    { workerId: 'x'.repeat(200) },
    { capacity: 0 },
    { capacity: 5_000 },
    { processors: new Array(1_001).fill('p') },
    { processors: ['x'.repeat(200)] },
  ];
  for (const change of wrong) t.match(await open(rogue, { ...good, ...change }).ended, { code: ErrorCode.INVALID });

  // Tokens that were never given, with and without a session.
  rogue.send(reports, { shard, reports: [{ run: 1, token: 1, outcome: 1 }] });
  const session = open(rogue, {
    shard,
    appId: 1_000,
    workerId: 'rogue',
    incarnation: 1,
    processors: ['p'],
    capacity: 10,
  });
  rogue.send(reports, { shard, reports: [{ run: 1, token: 1, outcome: 1 }, {}, { run: 2 ** 40, token: 2 ** 40 }] });
  rogue.send(returnLeases, { shard, runs: [1, 2, 3], tokens: [4] });
  const claimed = await rogue.call(claim, { shard, incarnation: 1, running: [5, 6], unreported: [7] });
  t.same(claimed.message.kept, [], 'none of these is its own');
  const pong = await rogue.call(sessionPing, { shard, sentMonotonicMs: 12.5 });
  t.equal(pong.message.sentMonotonicMs, 12.5);

  // A second attach on one connection replaces the first.
  open(rogue, { shard, appId: 1_000, workerId: 'rogue', incarnation: 1, processors: ['p'], capacity: 10 });
  t.equal(await session.ended, undefined);
  t.ok(session.pushes.at(-1)!.notOwner);

  // A shard that does not exist, said where no answer is possible: the connection is cut.
  const other = await connect();
  const closed = new Promise<void>((resolve) => other.onClose(() => resolve()));
  other.send(reports, { shard: 77, reports: [] });
  await closed;

  const after = await client.runs.submit('shop', { processor: 'p' });
  t.match(await client.runs.result(after.id), { state: 'SUCCEEDED', value: 'fine' });
  rogue.close();
  await worker.drain();
  await rig.close();
});

t.test('records that make no sense are void', async (t) => {
  const rig = new Rig();
  await rig.startScheduler();
  const client = rig.client();
  const worker = rig.worker('shop', { p: () => 'fine' });
  await worker.start();
  const first = await client.runs.submit('shop', { processor: 'p' });
  await client.runs.result(first.id);
  const log = rig.logs.jobs[Number(first.id.split(':')[0])]!;
  const { RecordType } = taskd;
  const garbage = Buffer.from('ffffffffffffffffff01', 'hex');
  for (let type = 0; type < 70; type++) await log.append([{ type, value: garbage }, { type }], 0);
  const takeover = taskd.Acquire.encode({ owner: 'rogue', generation: 99, nonce: garbage }).finish();
  await log.append([{ type: RecordType.ACQUIRE, value: takeover }], 0);
  const second = await client.runs.submit('shop', { processor: 'p' });
  t.match(await client.runs.result(second.id), { state: 'SUCCEEDED' }, 'a client can not take the shard');
  t.match(
    rig.warnings.filter(({ message }) => /may not write/.test(message)),
    [{ fields: { shard: Number(first.id.split(':')[0]) } }],
    'it is logged, once',
  );
  await worker.drain();
  await rig.close();
});
