import t from 'tap';
import { ErrorCode, type TaskdError } from '../../src/base/errors.js';
import { peerProduceBytesMax, produceBytesMax } from '../../src/base/limits.js';
import { ClientQuota, noQuota } from '../../src/broker/client-quota.js';
import type { CommitWaiter } from '../../src/broker/commit-waiters.js';
import type { Partitions } from '../../src/broker/partitions.js';
import { ProduceService } from '../../src/broker/produce-service.js';
import type { ServerCall } from '../../src/rpc/service.js';
import { Timers } from '../../src/timer/timers.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { ManualClock } from '../support/manual-clock.js';
import { batchOf } from '../support/produce-payload.js';

t.test('what waits for the disk is bounded, for a connection and for all', (t) => {
  const clock = new ManualClock();
  const waiters: CommitWaiter[] = [];
  const partition = {
    internal: false,
    flushIntervalMs: 0,
    assertWritable: () => {},
    append: () => ({ baseOffset: 0, endOffset: 1, appendTimestamp: 1, duplicate: false }),
    whenCommitted: (waiter: CommitWaiter) => waiters.push(waiter),
  };
  const service = new ProduceService(
    { get: () => partition } as unknown as Partitions,
    { topic: () => undefined, nextProducerId: 1_000 },
    { admission: () => undefined },
    new ClientQuota(noQuota, 'produce quota'),
    clock,
    new Timers(clock),
  );
  const payload = batchOf([{ value: new Uint8Array(4_000_000) }]);
  const request = taskd.ProduceRequest.decode(taskd.ProduceRequest.encode({ topicId: 1 }).finish());
  const send = (peerId: number): TaskdError | undefined => {
    let error: TaskdError | undefined;
    const fail = (problem: TaskdError): void => {
      error = problem;
    };
    const peer = { id: peerId, clientId: 'x' };
    service.handle(request, { payload, peer, fail, reply: () => {} } as unknown as ServerCall<taskd.IProduceResponse>);
    return error;
  };
  let refusal: TaskdError | undefined;
  while (refusal === undefined) refusal = send(1);
  t.match(refusal, { code: ErrorCode.BUSY, message: new RegExp(`this connection .* at most ${peerProduceBytesMax}`) });
  t.equal(waiters.length, Math.floor(peerProduceBytesMax / payload.length));
  for (let peer = 2; refusal.message.includes('this connection'); peer++) {
    for (refusal = send(peer); refusal === undefined; ) refusal = send(peer);
  }
  t.match(refusal, { code: ErrorCode.BUSY, message: new RegExp(`all connections .* at most ${produceBytesMax}`) });
  t.ok(service.waitingBytes <= produceBytesMax);
  for (const waiter of waiters.splice(0)) waiter.committed();
  t.equal(service.waitingBytes, 0);
  t.equal(send(1), undefined, 'and goes on by itself');
  t.end();
});
