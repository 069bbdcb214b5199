import t from 'tap';
import { ErrorCode, TaskdError } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/logger.js';
import type { NewRecord } from '../../src/batch/record.js';
import type { Answer, ClientStream, StreamEvents } from '../../src/rpc/caller.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { taskd } from '../../src/wire/generated/messages.js';
import type { Method } from '../../src/wire/methods.js';
import type { OwnerLink, SessionConnection } from '../../src/worker/owner-link.js';
import type { Processor } from '../../src/worker/processor.js';
import { type AttemptStopped, NonRetryable, RetryAfter } from '../../src/worker/run-error.js';
import { WorkerDriver } from '../../src/worker/worker-driver.js';
import { ManualClock } from '../support/manual-clock.js';

const place = { appId: 7, shard: 3, jobsTopicId: 2, owner: { host: '127.0.0.1', port: 1 } };

/** The scheduler's end of one session. */
class FakeSession implements SessionConnection {
  isClosed = false;
  readonly owner: FakeOwner;
  leave: () => void = () => {};
  readonly sent: { name: string; request: unknown }[] = [];
  #events: StreamEvents<unknown> | undefined;
  #onClose: ((error: Error | undefined) => void) | undefined;

  constructor(owner: FakeOwner) {
    this.owner = owner;
  }

  onDrain(callback: () => void): void {
    this.leave = callback;
  }

  onClose(callback: (error: Error | undefined) => void): void {
    this.#onClose = callback;
  }

  close(): void {
    this.isClosed = true;
  }

  call<Q, A, QIn, AIn>(method: Method<Q, A, QIn, AIn>, request: QIn): Promise<Answer<A>> {
    this.sent.push({ name: method.name, request });
    const message = this.owner.answer(method.name, request as Record<string, number>);
    if (message === undefined) return new Promise(() => {});
    if (message instanceof Error) return Promise.reject(message);
    return Promise.resolve({ message: message as A, payload: new Uint8Array(0) });
  }

  send<Q, A, QIn, AIn>(method: Method<Q, A, QIn, AIn>, request: QIn): void {
    // Through the codec, so that what is kept is what would have been on the wire.
    const message = method.request.decode(method.request.encode(request).finish());
    this.sent.push({ name: method.name, request: message });
  }

  open<Q, A, QIn, AIn>(
    method: Method<Q, A, QIn, AIn>,
    request: QIn,
    _credit: number,
    events: StreamEvents<A>,
  ): ClientStream {
    this.sent.push({ name: method.name, request });
    this.#events = events as StreamEvents<unknown>;
    return { credit: () => {}, cancel: () => {} };
  }

  push(push: taskd.SessionPush.$Properties): void {
    const bytes = taskd.SessionPush.encode(push).finish();
    this.#events!.push(taskd.SessionPush.decode(bytes), new Uint8Array(0));
    bytes.fill(0xff);
  }

  lose(): void {
    this.#onClose!(new TaskdError(ErrorCode.CONNECTION_LOST, 'cut'));
  }

  named(name: string): unknown[] {
    return this.sent.filter((each) => each.name === name).map((each) => each.request);
  }

  reports(): taskd.RunReport[] {
    return (this.named('worker.reports') as taskd.Reports[]).flatMap((each) => each.reports as taskd.RunReport[]);
  }
}

class FakeOwner implements OwnerLink {
  readonly sessions: FakeSession[] = [];
  readonly appended: NewRecord[] = [];
  epoch = 50;
  kept: number[] = [];
  answersPings = true;
  claimError: Error | undefined;
  isReachable = true;
  isLogUp = true;
  isClosed = false;

  locate(): Promise<typeof place> {
    return this.isReachable
      ? Promise.resolve(place)
      : Promise.reject(new TaskdError(ErrorCode.NOT_SENT, 'nobody there'));
  }

  dial(): Promise<FakeSession> {
    const session = new FakeSession(this);
    this.sessions.push(session);
    return Promise.resolve(session);
  }

  append(_place: typeof place, records: readonly NewRecord[]): Promise<number> {
    if (!this.isLogUp) return Promise.reject(new TaskdError(ErrorCode.OUTCOME_UNKNOWN, 'the log is away'));
    this.appended.push(...records);
    return Promise.resolve(1_000 + this.appended.length);
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }

  answer(name: string, request: Record<string, number>): unknown {
    if (name === 'worker.claim') return this.claimError ?? { epoch: this.epoch, kept: this.kept };
    if (!this.answersPings) return undefined;
    return { epoch: this.epoch, sentMonotonicMs: request.sentMonotonicMs };
  }

  get session(): FakeSession {
    return this.sessions.at(-1)!;
  }
}

interface Rig {
  readonly clock: ManualClock;
  readonly owner: FakeOwner;
  readonly worker: WorkerDriver;
}

async function rig(processors: Record<string, Processor>, slots = 8): Promise<Rig> {
  const clock = new ManualClock();
  const owner = new FakeOwner();
  const runtime = { clock, random: new SeededRandom(1), logger: silentLogger } as unknown as Runtime;
  const worker = new WorkerDriver(runtime, owner, {
    workerId: 'w1',
    incarnation: 5,
    processors: new Map(Object.entries(processors)),
    slots,
    prefetch: 256,
  });
  const started = worker.start();
  await clock.settle();
  await started;
  return { clock, owner, worker };
}

function dispatch(token: number, processor = 'work', args: unknown = undefined): taskd.Dispatch.$Properties {
  const bytes = args instanceof Uint8Array ? args : Buffer.from(args === undefined ? '' : JSON.stringify(args));
  return { run: token - 1, token, epoch: 50, attempt: 1, processor, arguments: bytes, dueMs: 12 };
}

const text = (bytes: Uint8Array | null | undefined): string => Buffer.from(bytes ?? []).toString();

t.test('runs what it is given and reports, many a frame', async (t) => {
  const seen: unknown[] = [];
  const { clock, owner, worker } = await rig({
    work: async (args, context) => {
      seen.push([args, context.runId, context.leaseToken, context.attempt, context.job, context.dueMs]);
      return { twice: args.n * 2 };
    },
    raw: { bytes: true, run: async (args) => args.map((byte) => byte + 1) },
  });
  t.same(
    owner.session.sent.map((each) => each.name),
    ['worker.attach', 'worker.sessionPing', 'worker.claim'],
    'ping before claim, both after the stream',
  );
  t.match(owner.session.named('worker.attach')[0], { capacity: 264, processors: ['work', 'raw'], workerId: 'w1' });
  owner.session.push({ dispatches: [dispatch(101, 'work', { n: 4 }), dispatch(103, 'raw', Uint8Array.of(1, 2))] });
  owner.session.push({ dispatches: [dispatch(101, 'work', { n: 4 })] });
  await clock.settle();
  t.same(seen, [[{ n: 4 }, '3:100', 101, 1, '', 12]], 'the repeat is dropped');
  const reports = owner.session.reports();
  t.equal(owner.session.named('worker.reports').length, 1);
  t.same(reports.map((each) => [each.run, each.token, each.outcome]).sort(), [
    [100, 101, 1],
    [102, 103, 1],
  ]);
  t.equal(text(reports.find((each) => each.token === 101)!.result), '{"twice":8}');
  t.same(
    reports.find((each) => each.token === 103)!.result,
    Buffer.of(2, 3),
    'bytes go as they are, and arguments outlive the receive buffer',
  );
  owner.session.push({ acknowledged: [101, 103], acknowledgedOffset: 400 });
  await clock.advance(3_000);
  t.same(owner.appended, [], 'acknowledged reports are not appended again');
  await worker.stop();
  t.ok(owner.isClosed);
  t.ok(owner.session.isClosed);
  t.equal(clock.timersPending, 0, 'no timer is left');
});

t.test('what a processor throws', async (t) => {
  const { clock, owner, worker } = await rig({
    plain: () => {
      throw new Error('plain');
    },
    never: async () => {
      throw new NonRetryable('never');
    },
    later: async () => {
      throw new RetryAfter(1_500, 'later');
    },
    odd: () => {
      throw 'text';
    },
    trap: () => ({
      // biome-ignore lint/suspicious/noThenProperty: that is the trap
      get then() {
        throw new Error('trapped');
      },
    }),
    big: () => 'x'.repeat(70_000),
    cyclic: () => {
      const value: unknown[] = [];
      value.push(value);
      return value;
    },
    json: () => 1,
    long: () => {
      throw new Error('y'.repeat(10_000));
    },
  });
  const names = ['plain', 'never', 'later', 'odd', 'trap', 'big', 'cyclic', 'long', 'unknown'];
  owner.session.push({
    dispatches: [...names.map((name, i) => dispatch(200 + i, name)), dispatch(300, 'json', Buffer.from('{not json'))],
  });
  await clock.settle();
  const byToken = new Map(owner.session.reports().map((each) => [each.token, each]));
  const of = (name: string): taskd.RunReport => byToken.get(200 + names.indexOf(name))!;
  for (const report of byToken.values()) t.equal(report.outcome, taskd.Outcome.OUTCOME_FAILED);
  t.match(of('plain').error, /^Error: plain\n/);
  t.notOk(of('plain').nonRetryable);
  t.ok(of('never').nonRetryable);
  t.equal(of('later').retryAfterMs, 1_500);
  t.equal(of('odd').error, 'text');
  t.match(of('trap').error, /trapped/);
  t.match(of('big').error, /70002 bytes; at most 65536/);
  t.ok(of('big').nonRetryable);
  t.match(of('cyclic').error, /no JSON text/);
  t.equal(of('long').error.length, 4_096);
  t.match(of('unknown').error, /no processor "unknown"/);
  t.match(byToken.get(300)!.error, /not JSON/);
  t.ok(byToken.get(300)!.nonRetryable);
  await worker.stop();
});

/** Ends when its signal says so, as a good processor does. */
const obedient: Processor = (_args, context) =>
  new Promise((_resolve, reject) => {
    context.signal.addEventListener('abort', () => reject(context.signal.reason), { once: true });
  });

t.test('cancel and timeout reach the signal', async (t) => {
  const { clock, owner, worker } = await rig({ work: obedient, deaf: () => new Promise(() => {}) }, 3);
  const timed = { ...dispatch(201), timeoutMs: 700 };
  owner.session.push({ dispatches: [dispatch(200), timed, dispatch(202, 'deaf'), dispatch(203), dispatch(204)] });
  await clock.settle();
  t.equal(worker.runningCount, 3);
  owner.session.push({ cancels: [200, 202, 203, 999] });
  await clock.settle();
  t.same(
    owner.session.reports().map((each) => [each.token, each.outcome]),
    [
      [203, taskd.Outcome.OUTCOME_CANCELLED],
      [200, taskd.Outcome.OUTCOME_CANCELLED],
    ],
    'the one that had not started ends at once',
  );
  await clock.advance(800);
  t.match(owner.session.reports().at(-1), { token: 201, outcome: taskd.Outcome.OUTCOME_TIMED_OUT, ranMs: 700 });
  await clock.advance(10_000);
  t.match(
    owner.session.reports().find((each) => each.token === 202),
    { outcome: taskd.Outcome.OUTCOME_CANCELLED, error: /went on/ },
    'a deaf one is not waited for beyond the grace',
  );
  await worker.stop();
});

t.test('a late dispatch is returned; a lost session claims and repeats', async (t) => {
  const { clock, owner, worker } = await rig({ work: () => new Promise(() => {}), quick: () => 1 });
  const first = owner.session;
  first.push({ dispatches: [dispatch(100), dispatch(102, 'quick')] });
  await clock.settle();
  t.equal(first.reports().length, 1);
  owner.answersPings = false;
  await clock.advance(3_900);
  clock.ms += 2_200;
  first.push({ dispatches: [dispatch(104, 'quick')] });
  await clock.settle();
  t.match(first.named('worker.returnLeases'), [{ shard: 3, runs: [103], tokens: [104] }], 'read 6 s after the ping');
  owner.answersPings = true;
  owner.kept = [100];
  first.lose();
  await clock.advance(100);
  t.not(owner.session, first);
  t.match(owner.session.named('worker.claim'), [{ running: [100], unreported: [], incarnation: 5 }]);
  t.equal(text(owner.appended[0]!.value), text(taskd.RunReport.encode(first.reports()[0]!).finish()));
  t.match(owner.session.named('worker.claim'), [{ acknowledgedOffset: 1_001 }], 'its own append is acknowledged');
  await worker.stop();
});

t.test('cut off from the owner it reports and beats through the log', async (t) => {
  let end: (value: unknown) => void = () => {};
  const { clock, owner, worker } = await rig({
    work: () =>
      new Promise((resolve) => {
        end = resolve;
      }),
  });
  owner.session.push({ dispatches: [dispatch(100)] });
  await clock.settle();
  owner.isReachable = false;
  owner.isLogUp = false;
  owner.session.lose();
  await clock.advance(3_300);
  owner.isLogUp = true;
  await clock.advance(3_100);
  t.equal(owner.appended.length, 1);
  t.equal(owner.appended[0]!.type, taskd.RecordType.WORKER_ALIVE);
  t.match(taskd.WorkerAlive.decode(owner.appended[0]!.value!), { workerId: 'w1', incarnation: 5, running: [100] });
  end('done');
  await clock.advance(1_500);
  t.equal(owner.appended[1]!.type, taskd.RecordType.RUN_REPORT);
  t.match(taskd.RunReport.decode(owner.appended[1]!.value!), { token: 100, outcome: 1 });
  owner.isReachable = true;
  await clock.advance(5_100);
  t.match(owner.session.named('worker.claim'), [{ running: [], unreported: [], acknowledgedOffset: 1_002 }]);
  await worker.stop();
});

t.test('a claim that was not kept stops its attempt', async (t) => {
  let reason: unknown;
  const { clock, owner, worker } = await rig({
    work: (_args, context) =>
      new Promise((_resolve, reject) => {
        context.signal.addEventListener('abort', () => {
          reason = context.signal.reason;
          reject(reason);
        });
      }),
  });
  owner.session.push({ dispatches: [dispatch(100)] });
  await clock.settle();
  owner.session.push({ notOwner: true });
  await clock.advance(200);
  t.equal(owner.sessions.length, 2);
  t.equal((reason as AttemptStopped).stopCause, 'lease-lost');
  t.match(owner.session.reports(), [{ token: 100, outcome: taskd.Outcome.OUTCOME_ABANDONED }]);
  await worker.stop();
});

t.test('a session whose claim fails is given up for another one', async (t) => {
  const { clock, owner, worker } = await rig({ work: () => 1 });
  owner.claimError = new TaskdError(ErrorCode.DEADLINE, 'no answer in time');
  owner.session.lose();
  await clock.advance(100);
  const refused = owner.sessions.length;
  t.ok(refused >= 2);
  t.ok(owner.session.isClosed);
  owner.claimError = undefined;
  await clock.advance(5_000);
  t.ok(owner.sessions.length > refused);
  owner.session.push({ dispatches: [dispatch(100)] });
  await clock.settle();
  t.equal(owner.session.reports().length, 1);
  await worker.stop();
});

t.test('asked to leave, it takes another session', async (t) => {
  const { clock, owner, worker } = await rig({ work: () => 1 });
  const first = owner.session;
  first.leave();
  t.ok(first.isClosed);
  await clock.advance(100);
  t.not(owner.session, first);
  await worker.stop();
});

t.test('drain returns what waits, ends what runs and waits for the reports', async (t) => {
  const ends: ((value: unknown) => void)[] = [];
  const { clock, owner, worker } = await rig({ work: () => new Promise((resolve) => ends.push(resolve)) }, 1);
  owner.session.push({ dispatches: [dispatch(100), dispatch(102)] });
  await clock.settle();
  let isDrained = false;
  const drained = worker.drain().then(() => {
    isDrained = true;
  });
  await clock.settle();
  t.match(owner.session.named('worker.returnLeases'), [{ tokens: [102] }]);
  t.equal(owner.session.named('worker.draining').length, 1);
  owner.session.push({ dispatches: [dispatch(104)] });
  await clock.settle();
  t.match(owner.session.named('worker.returnLeases')[1], { tokens: [104] });
  for (const end of ends) end(1);
  await clock.settle();
  t.equal(owner.session.reports().length, 1);
  t.notOk(isDrained, 'the report is not on disk yet');
  owner.session.push({ acknowledged: [100], acknowledgedOffset: 9 });
  await clock.settle();
  await drained;
  t.equal(worker.state, 'stopped');
});

t.test('stop gives up what runs', async (t) => {
  const { clock, owner, worker } = await rig({ work: obedient });
  owner.session.push({ dispatches: [dispatch(100)] });
  await clock.settle();
  await worker.stop();
  await worker.stop();
  t.match(owner.session.reports(), [{ token: 100, outcome: taskd.Outcome.OUTCOME_ABANDONED }]);
  await t.rejects(worker.start(), { code: ErrorCode.INVALID });
});
