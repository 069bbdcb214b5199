import t from 'tap';
import { ErrorCode, TaskdError } from '../../src/base/errors.js';
import type { Peer, ServerCall, ServerStream } from '../../src/rpc/service.js';
import { WorkerSession } from '../../src/scheduler/worker-session.js';
import { taskd } from '../../src/wire/generated/messages.js';

type Push = taskd.SessionPush.$Properties;

/** A stream with credit in the test's hand; what is pushed goes through the codec. */
class FakeStream implements ServerStream<Push> {
  readonly peer = { id: 1 } as Peer;
  credit = 100;
  isOpen = true;
  readonly pushed: taskd.SessionPush[] = [];
  readonly sizes: number[] = [];
  #onWritable: (() => void) | undefined;

  push(message: Push): boolean {
    if (this.credit === 0 || !this.isOpen) return false;
    this.credit--;
    const bytes = taskd.SessionPush.encode(message).finish();
    this.sizes.push(bytes.length);
    this.pushed.push(taskd.SessionPush.decode(bytes));
    return true;
  }

  onWritable(callback: () => void): void {
    this.#onWritable = callback;
  }

  onClose(): void {}

  end(): void {
    this.isOpen = false;
  }

  grant(pushes: number): void {
    this.credit += pushes;
    const callback = this.#onWritable;
    this.#onWritable = undefined;
    callback?.();
  }

  tokens(): number[] {
    return this.pushed.flatMap((push) => push.dispatches.map((dispatch) => dispatch.token!));
  }
}

function give(session: WorkerSession, token: number, argumentBytes = 0): void {
  const effect = { run: token, token, epoch: 1, attempt: 1, processor: 'p', job: '', dueMs: 0, timeoutMs: 0 };
  session.dispatch(effect, new Uint8Array(argumentBytes));
}

function call<A>(): ServerCall<A> & { replies: A[]; failures: unknown[] } {
  const replies: A[] = [];
  const failures: unknown[] = [];
  return {
    replies,
    failures,
    reply: (message: A) => void replies.push(message),
    fail: (error: unknown) => void failures.push(error),
  } as never;
}

t.test('what gathers in a turn leaves in one push', async (t) => {
  const stream = new FakeStream();
  const session = new WorkerSession(1, stream);
  for (let token = 1; token <= 50; token++) give(session, token);
  session.cancel(99);
  session.acknowledge(7, 400);
  session.acknowledge(8, 300);
  session.flush();
  session.flush();
  t.equal(stream.pushed.length, 1);
  t.match(stream.pushed[0], { cancels: [99], acknowledged: [7, 8], acknowledgedOffset: 400 });
  t.equal(stream.tokens().length, 50);
});

t.test('a frame stays small, whatever the arguments, and the order is kept', async (t) => {
  const stream = new FakeStream();
  const session = new WorkerSession(1, stream);
  for (let token = 1; token <= 40; token++) give(session, token, 65_536);
  session.flush();
  t.same(
    stream.tokens(),
    Array.from({ length: 40 }, (_, i) => i + 1),
  );
  t.ok(Math.max(...stream.sizes) < 512 * 1_024, `the largest frame has ${Math.max(...stream.sizes)} bytes`);
});

t.test('a cancel never overtakes the dispatch that it is for', async (t) => {
  const stream = new FakeStream();
  stream.credit = 0;
  const session = new WorkerSession(1, stream);
  for (let token = 1; token <= 20; token++) give(session, token, 65_536);
  session.flush();
  session.cancel(20);
  session.acknowledge(7, 400);
  stream.grant(100);
  t.ok(stream.pushed.length > 1);
  const at = stream.pushed.findIndex((push) => push.cancels.includes(20));
  t.equal(at, stream.pushed.length - 1);
  t.equal(stream.pushed.flatMap((push) => push.cancels).length, 1);
  t.same(stream.pushed[0]!.acknowledged, [7], 'an acknowledgement need not wait');
});

t.test('calls that wait are ended when the session is given up', async (t) => {
  const session = new WorkerSession(1, new FakeStream());
  const [ping, claim] = [call<never>(), call<never>()];
  session.awaitPong(10, ping as never);
  session.awaitClaim(claim as never);
  session.gone();
  t.match([ping.failures, claim.failures], [[{ code: ErrorCode.CANCELLED }], [{ code: ErrorCode.CANCELLED }]]);
});

t.test('without credit it is kept, and leaves when there is some', async (t) => {
  const stream = new FakeStream();
  stream.credit = 0;
  const session = new WorkerSession(1, stream);
  give(session, 1);
  session.flush();
  give(session, 2);
  session.flush();
  t.equal(stream.pushed.length, 0);
  stream.grant(1);
  t.same(stream.tokens(), [1, 2]);
  give(session, 3);
  session.flush();
  stream.grant(5);
  t.same(stream.tokens(), [1, 2, 3]);
});

t.test('pings and claims are answered once, and fail when the session ends', async (t) => {
  const session = new WorkerSession(1, new FakeStream());
  const [one, two, three] = [call<never>(), call<never>(), call<never>()];
  t.ok(session.awaitPong(10, one as never));
  t.ok(session.awaitPong(20, two as never));
  session.pong(10, 5);
  session.pong(10, 5);
  session.pong(99, 5);
  t.same(one.replies, [{ epoch: 5, sentMonotonicMs: 10 }]);
  session.awaitClaim(three as never);
  session.end(new TaskdError(ErrorCode.NOT_OWNER, 'gone'));
  t.match(two.failures, [{ code: ErrorCode.NOT_OWNER }]);
  t.match(three.failures, [{ code: ErrorCode.NOT_OWNER }]);
  const many = Array.from({ length: 17 }, () => call<never>());
  const other = new WorkerSession(2, new FakeStream());
  const accepted = many.map((each, i) => other.awaitPong(i, each as never));
  t.same(accepted.indexOf(false), 16);
  t.match(many[16]!.failures, [{ code: ErrorCode.BUSY }]);
});

t.test('the last push of a session says that it is over', async (t) => {
  const stream = new FakeStream();
  const session = new WorkerSession(1, stream);
  session.acknowledge(4, 4);
  session.end(new TaskdError(ErrorCode.NOT_OWNER, 'gone'));
  session.end(new TaskdError(ErrorCode.NOT_OWNER, 'gone'));
  t.match(stream.pushed, [{ acknowledged: [4] }, { notOwner: true }]);
  t.notOk(stream.isOpen);
});
