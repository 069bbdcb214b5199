import t from 'tap';
import { ErrorCode, TaskdError } from '../../src/base/errors.js';
import type { taskd } from '../../src/wire/generated/messages.js';
import { draining, getRun, produce, resolveApp, sessionPing, watchInstances } from '../../src/wire/methods.js';
import { openPair, signal } from '../support/rpc-pair.js';

t.test('a call is answered, with payloads both ways', async (t) => {
  const pair = await openPair(t, (server) => {
    server.onCall(resolveApp, (request, call) => {
      call.reply({ appId: request.app.length, shard: request.create ? 1 : 0, jobsTopicId: 2 ** 31 });
    });
    server.onCall(produce, (request, call) => {
      call.reply({ baseOffset: Number.MAX_SAFE_INTEGER }, [call.payload, Buffer.from([request.partition])]);
    });
  });
  const { message } = await pair.client.call(resolveApp, { app: 'mail', create: true });
  t.match(message, { appId: 4, shard: 1, jobsTopicId: 2 ** 31 });
  for (const size of [0, 1, 5_000, 300_000]) {
    const sent = Buffer.alloc(size, 7);
    const answer = await pair.client.call(produce, { partition: 9 }, { payload: [sent] });
    t.equal(answer.payload.length, size + 1);
    t.ok(Buffer.concat([sent, Buffer.from([9])]).equals(answer.payload), `${size} bytes come back`);
    t.equal(answer.message.baseOffset, Number.MAX_SAFE_INTEGER);
  }
});

t.test('answers in another order find their callers', async (t) => {
  const waiting: (() => void)[] = [];
  const all = signal();
  const pair = await openPair(t, (server) => {
    server.onCall(resolveApp, (request, call) => {
      waiting.push(() => call.reply({ appId: Number(request.app) }));
      if (waiting.length === 100) all.done();
    });
  });
  const calls = Array.from({ length: 100 }, (_, i) => pair.client.call(resolveApp, { app: `${i}` }));
  await all.wait;
  for (const reply of waiting.reverse()) reply();
  const answers = await Promise.all(calls);
  t.same(
    answers.map(({ message }) => message.appId),
    calls.map((_, i) => i),
  );
});

t.test('errors go as they are, and unknown ones only as an id that the log has', async (t) => {
  const pair = await openPair(t, (server) => {
    server.onCall(resolveApp, (request, call) => {
      if (request.create) throw new Error('secret');
      call.fail(new TaskdError(ErrorCode.NOT_LEADER, 'ask there', { retry: 3, hint: '127.0.0.1:9', retryAfterMs: 5 }));
    });
  });
  await t.rejects(pair.client.call(resolveApp, {}), {
    code: ErrorCode.NOT_LEADER,
    message: 'ask there',
    retry: 3,
    retryAfterMs: 5,
    hint: '127.0.0.1:9',
  });
  const error: TaskdError = await pair.client.call(resolveApp, { create: true }).then(
    () => t.fail('answered'),
    (e) => e,
  );
  t.equal(error.code, ErrorCode.INTERNAL);
  t.notMatch(error.message, 'secret');
  const line = pair.serverLog.lines.find(({ fields }) => fields['errorId'] === error.hint);
  t.match(line?.fields['stack'], 'secret');
  await t.rejects(pair.client.call(sessionPing, {}), { code: ErrorCode.UNKNOWN_METHOD });
});

t.test('an answer that is too large or impossible to encode fails only its call', async (t) => {
  const pair = await openPair(t, (server) => {
    server.onCall(resolveApp, (request, call) => {
      if (request.create) call.reply({ appId: 2 ** 53 });
      else call.reply({}, [Buffer.alloc(2 * 1024 * 1024)]);
    });
  });
  await t.rejects(pair.client.call(resolveApp, {}), { code: ErrorCode.TOO_LARGE });
  await t.rejects(pair.client.call(resolveApp, { create: true }), { code: ErrorCode.INVALID });
  await t.rejects(pair.client.call(resolveApp, {}, { payload: [Buffer.alloc(2 * 1024 * 1024)] }), {
    code: ErrorCode.TOO_LARGE,
  });
  t.equal(pair.client.inFlight, 0);
});

t.test('oneways come in order', async (t) => {
  const shards: number[] = [];
  const last = signal();
  const pair = await openPair(t, (server) => {
    server.onSend(draining, (request, peer) => {
      shards.push(request.shard);
      t.equal(peer.clientId, 'tester');
      if (request.shard === 9) last.done();
    });
  });
  for (let shard = 0; shard < 10; shard++) pair.client.send(draining, { shard });
  await last.wait;
  t.same(shards, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

t.test('a stream pushes as far as its credit, and goes on with more', async (t) => {
  let pushed = 0;
  const closed = signal();
  const pair = await openPair(t, (server) => {
    server.onStream(watchInstances, (request, stream) => {
      const more = (): void => {
        while (stream.push({ full: pushed % 2 === 0, changed: [{ service: request.service }] })) pushed++;
      };
      stream.onWritable(more);
      stream.onClose(() => closed.done());
      more();
    });
  });
  const got: taskd.WatchEvent[] = [];
  let wanted = signal();
  let until = 3;
  const stream = pair.client.open(watchInstances, { service: 'x' }, 3, {
    push(message) {
      got.push(message);
      if (got.length === until) wanted.done();
    },
    end: () => t.fail('ended'),
  });
  await wanted.wait;
  t.equal(pushed, 3, 'no more than granted');
  t.equal(got[2]!.changed[0]!.service, 'x');
  wanted = signal();
  until = 8;
  stream.credit(5);
  await wanted.wait;
  t.equal(pushed, 8);
  stream.cancel();
  await closed.wait;
  stream.credit(5);
  t.equal(pair.client.inFlight, 0);
});

t.test('a stream ends in good order, or with its error', async (t) => {
  const pair = await openPair(t, (server) => {
    server.onStream(watchInstances, (request, stream) => {
      stream.push({ full: true });
      if (request.service === 'bad') stream.end(new TaskdError(ErrorCode.NOT_OWNER, 'not mine'));
      else stream.end();
    });
  });
  for (const service of ['good', 'bad']) {
    let pushes = 0;
    const error = await new Promise<Error | undefined>((resolve) => {
      pair.client.open(watchInstances, { service }, 1, { push: () => pushes++, end: resolve });
    });
    t.equal(pushes, 1);
    if (service === 'good') t.equal(error, undefined);
    else t.match(error, { code: ErrorCode.NOT_OWNER, message: 'not mine' });
  }
});

t.test('a deadline fails the call, tells the server, and a late answer finds nobody', async (t) => {
  const cancelled = signal();
  let late: (() => void) | undefined;
  const pair = await openPair(t, (server) => {
    server.onCall(getRun, (request, call) => {
      if (request.run === 1) {
        call.reply({ applied: 1 });
        return;
      }
      t.ok(call.remainingMs() <= 20);
      call.onCancel(() => cancelled.done());
      late = () => call.reply({ applied: 2 });
    });
  });
  await t.rejects(pair.client.call(getRun, { run: 2 }, { deadlineMs: 20 }), { code: ErrorCode.DEADLINE });
  await cancelled.wait;
  late!();
  const { message } = await pair.client.call(getRun, { run: 1 });
  t.equal(message.applied, 1);
  t.equal(pair.server.stats.cancelled, 1);
});
