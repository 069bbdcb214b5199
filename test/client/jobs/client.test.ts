import t from 'tap';
import { ErrorCode, Retry, TaskdError } from '../../../src/base/errors.js';
import { type BatchClass, BatchClass as Classes } from '../../../src/batch/header.js';
import type { NewRecord } from '../../../src/batch/record.js';
import { TaskdClient } from '../../../src/client/client.js';
import type { ClientNetwork, TopicSource } from '../../../src/client/client-network.js';
import type { TopicPlace } from '../../../src/client/topic-directory.js';
import type { Answer, Caller, CallOptions } from '../../../src/rpc/caller.js';
import { type Address, formatAddress } from '../../../src/runtime/net.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import type { Method } from '../../../src/wire/methods.js';
import { ManualClock } from '../../support/manual-clock.js';

const first = { host: '127.0.0.1', port: 1 };
const second = { host: '127.0.0.1', port: 2 };

type Handler = (request: never, options: CallOptions | undefined) => unknown;

/** Schedulers, brokers and the log, all in the test's hand. */
class FakeNetwork implements ClientNetwork {
  readonly clock = new ManualClock();
  readonly asked: { at: string; name: string; request: unknown }[] = [];
  readonly sent: { topicId: number; partition: number; record: NewRecord; batchClass: BatchClass }[] = [];
  known: Address[] = [first];
  readonly heard: string[] = [];
  handlers: Record<string, Handler> = {};
  nextOffset = 40;
  isClosed = false;

  readonly sender = {
    send: (topicId: number, partition: number, record: NewRecord, batchClass: BatchClass) => {
      this.sent.push({ topicId, partition, record, batchClass });
      return Promise.resolve({ offset: this.nextOffset++, appendTimestampMs: 5 });
    },
  };

  schedulers(): Promise<readonly Address[]> {
    return Promise.resolve(this.known);
  }

  told({ port }: Address, error?: unknown): void {
    this.heard.push(`${port} ${error ?? 'answered'}`);
  }

  callerTo(address: Address): Caller {
    return {
      call: <Q, A, QIn, AIn>(method: Method<Q, A, QIn, AIn>, request: QIn, options?: CallOptions) => {
        // Through the codec, as on the wire.
        const message = method.request.decode(method.request.encode(request).finish());
        this.asked.push({ at: formatAddress(address), name: method.name, request: message });
        const answer = this.handlers[`${method.name}@${address.port}`] ?? this.handlers[method.name];
        if (answer === undefined) return Promise.reject(new TaskdError(ErrorCode.UNKNOWN_METHOD, method.name));
        try {
          const bytes = method.answer.encode(answer(message as never, options) as AIn).finish();
          const decoded = method.answer.decode(bytes);
          return Promise.resolve({ message: decoded, payload: new Uint8Array(0) } as Answer<A>);
        } catch (error) {
          return Promise.reject(error);
        }
      },
      send: () => {},
      open: () => {
        throw new Error('no streams here');
      },
    };
  }

  readonly topics: TopicSource = {
    named: (name) => Promise.resolve({ topicId: name === 'taskd.jobs' ? 9 : 1 } as TopicPlace),
    create: () => Promise.reject(new Error('not used')),
    forgetNamed: () => {},
    ask: async (method, request) => (await this.callerTo(first).call(method, request)).message,
  };

  queues(): never {
    throw new Error('not used');
  }

  nodes(): ReturnType<ClientNetwork['nodes']> {
    return Promise.resolve([]);
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }

  names(): string[] {
    return this.asked.map((each) => each.name);
  }
}

function open(handlers: Record<string, Handler> = {}): { client: TaskdClient; network: FakeNetwork } {
  const network = new FakeNetwork();
  network.handlers = {
    'scheduler.resolveApp': ({ app, create }: taskd.ResolveAppRequest) => {
      if (app === 'nobody' && !create) throw new TaskdError(ErrorCode.NOT_FOUND, 'no such app');
      return { appId: 7, shard: 3, jobsTopicId: 9, owner: first };
    },
    ...handlers,
  };
  return { client: new TaskdClient({ servers: ['127.0.0.1:1'] }, network), network };
}

t.test('a submission is one record, and its offset the id', async (t) => {
  const { client, network } = open();
  const { id } = await client.runs.submit('shop', {
    processor: 'mail',
    arguments: { to: 'a' },
    delayMs: 5,
    priority: 9,
  });
  t.equal(id, '3:40');
  const [sent] = network.sent;
  t.match(sent, { topicId: 9, partition: 3, batchClass: Classes.CLIENT });
  t.equal(sent!.record.type, taskd.RecordType.RUN_SUBMIT);
  const record = taskd.RunSubmit.decode(sent!.record.value!);
  t.match(record, { appId: 7, processor: 'mail', delayMs: 5, priority: 9 });
  t.equal(record.runAtMs ?? undefined, undefined);
  t.equal(Buffer.from(record.arguments).toString(), '{"to":"a"}');
  await client.runs.submit('shop', { processor: 'mail', arguments: Uint8Array.of(1, 2) });
  t.same([...taskd.RunSubmit.decode(network.sent[1]!.record.value!).arguments], [1, 2], 'bytes go as they are');
  t.equal(network.names().filter((name) => name === 'scheduler.resolveApp').length, 1, 'the place is cached');
  await client.close();
  t.ok(network.isClosed);
});

t.test('what is wrong is told before anything is sent', async (t) => {
  const { client, network } = open();
  const submit = (submission: object): Promise<unknown> =>
    client.runs.submit('shop', { processor: 'p', ...submission } as never);
  const refusals: [object, RegExp][] = [
    [{ processor: '' }, /processor is empty/],
    [{ processor: 'x'.repeat(129) }, /129 bytes; at most 128/],
    [{ processor: 'a\nb' }, /control character/],
    [{ arguments: 'x'.repeat(65_536) }, /65538 bytes; at most 65536/],
    [{ arguments: 1n }, /no JSON text/],
    [{ arguments: () => 1 }, /no JSON text/],
    [{ delayMs: -1 }, /delayMs is -1/],
    [{ delayMs: 1.5 }, /whole number/],
    [{ delayMs: 1, runAtMs: 1 }, /both given/],
    [{ priority: 10 }, /priority is 10; a whole number from 0 to 9/],
    [{ timeoutMs: 7 * 86_400_000 + 1 }, /timeoutMs/],
    [{ retry: { attemptsMax: 0 } }, /attemptsMax is 0/],
    [{ retry: { delaysMs: new Array(33).fill(1) } }, /33 entries; at most 32/],
    [{ retry: { delaysMs: [-5] } }, /delaysMs is -5/],
  ];
  for (const [submission, message] of refusals) await t.rejects(submit(submission), { message }, String(message));
  await t.rejects(client.runs.submit('', { processor: 'p' }), { code: ErrorCode.INVALID });
  await t.rejects(client.jobs.put('shop', 'j', { processor: 'p', cron: '* '.repeat(80) }), {
    message: /160 characters/,
  });
  await t.rejects(client.runs.get('seven'), { message: /"seven" is no run id/ });
  await t.rejects(client.runs.list('shop', { states: ['ODD' as never] }), { message: /"ODD" is no state/ });
  t.same(network.sent, []);
  t.throws(() => new TaskdClient({ servers: [] }, network) && new TaskdClient({ servers: ['nonsense'] }), {
    code: ErrorCode.INVALID,
  });
});

t.test('a put waits for the verdict, and a refusal is its error', async (t) => {
  const view = { shard: 3, app: 'shop', name: 'nightly', version: 40, retry: { attemptsMax: 3, delaysMs: [1, 2] } };
  const { client, network } = open({ 'scheduler.getJob': () => ({ job: { ...view, nextFireMs: 99 }, applied: 41 }) });
  const job = await client.jobs.put('shop', 'nightly', { processor: 'p', cron: '0 3 * * *', zone: 'Europe/Rome' });
  t.match(job, { app: 'shop', name: 'nightly', version: 40, attemptsMax: 3, delaysMs: [1, 2], nextFireMs: 99 });
  t.match(network.asked.at(-1)!.request, { shard: 3, appId: 7, name: 'nightly', atLeast: 40, decided: 40 });
  t.match(taskd.JobPut.decode(network.sent[0]!.record.value!), { cron: '0 3 * * *', zone: 'Europe/Rome', appId: 7 });
  network.handlers['scheduler.getJob'] = () => {
    throw new TaskdError(ErrorCode.INVALID, 'the minute field "61" is out of range');
  };
  await t.rejects(client.jobs.put('shop', 'nightly', { processor: 'p', cron: '61 * * * *' }), {
    code: ErrorCode.INVALID,
    message: /minute/,
  });
});

t.test('pause, resume and remove name a job that must exist', async (t) => {
  let exists = true;
  const { client, network } = open({
    'scheduler.getJob': ({ decided }: taskd.GetJobRequest) => {
      if (!exists || (decided != null && network.sent.at(-1)!.record.type === taskd.RecordType.JOB_DELETE)) {
        throw new TaskdError(ErrorCode.NOT_FOUND, 'there is no job');
      }
      return { job: { name: 'j', paused: network.sent.at(-1)?.record.type === taskd.RecordType.JOB_PAUSE } };
    },
  });
  t.ok((await client.jobs.pause('shop', 'j')).paused);
  t.notOk((await client.jobs.resume('shop', 'j')).paused);
  await client.jobs.remove('shop', 'j');
  t.same(
    network.sent.map((each) => each.record.type),
    [taskd.RecordType.JOB_PAUSE, taskd.RecordType.JOB_RESUME, taskd.RecordType.JOB_DELETE],
  );
  exists = false;
  await t.rejects(client.jobs.remove('shop', 'j'), { code: ErrorCode.NOT_FOUND });
  await t.rejects(client.jobs.list('nobody'), { code: ErrorCode.NOT_FOUND });
  t.equal(network.sent.length, 3);
});

t.test('lists are read page by page', async (t) => {
  const { client } = open({
    'scheduler.listJobs': ({ after, countMax }: taskd.ListJobsRequest) => {
      const from = after === '' ? 0 : Number(after) + 1;
      const count = Math.min(countMax, 500, 1_200 - from);
      const jobs = Array.from({ length: count }, (_, i) => ({ name: String(from + i).padStart(4, '0') }));
      return { jobs, more: from + count < 1_200 };
    },
    'scheduler.listRuns': ({ before, countMax }: taskd.ListRunsRequest) => {
      const top = before ?? 2_600;
      // On the first page nothing matches: the scheduler looked at as many runs as it does for one.
      const count = top > 2_500 ? 0 : Math.min(countMax, top);
      const runs = Array.from({ length: count }, (_, i) => ({
        shard: 3,
        run: top - 1 - i,
        state: taskd.RunState.DEAD,
      }));
      const nextBefore = top > 2_500 ? 2_500 : top - count;
      return { runs, nextBefore: nextBefore > 0 ? nextBefore : null };
    },
  });
  t.equal((await client.jobs.list('shop')).length, 1_200);
  t.equal((await client.jobs.list('shop', { limit: 7 })).length, 7);
  const runs = await client.runs.list('shop', { limit: 1_500 });
  t.equal(new Set(runs.map((run) => run.id)).size, 1_500);
  t.equal(runs[0]!.id, '3:2499');
  t.equal(runs[0]!.state, 'DEAD');
  t.equal((await client.dead.list('shop', 3)).length, 3);
});

t.test('a result waits over long polls and a scheduler that goes away', async (t) => {
  let polls = 0;
  const { client, network } = open({
    'scheduler.getRun': ({ untilFinal }: taskd.GetRunRequest) => {
      t.ok(untilFinal);
      polls++;
      if (polls === 1) throw new TaskdError(ErrorCode.DEADLINE, 'no answer in time');
      if (polls === 2) throw new TaskdError(ErrorCode.CONNECTION_LOST, 'cut');
      if (polls === 3) return { run: { shard: 3, run: 8, state: taskd.RunState.RUNNING } };
      return { run: { shard: 3, run: 8, state: taskd.RunState.SUCCEEDED, result: Buffer.from('{"n":1}') } };
    },
  });
  const result = client.runs.result('3:8');
  await network.clock.advance(2_000);
  t.match(await result, { id: '3:8', state: 'SUCCEEDED', value: { n: 1 } });
  network.handlers['scheduler.getRun'] = (_request, options) => {
    network.clock.ms += options!.deadlineMs!;
    throw new TaskdError(ErrorCode.DEADLINE, 'no answer in time');
  };
  await t.rejects(client.runs.result('3:8', 45_000), { code: ErrorCode.DEADLINE, message: /45000 ms/ });
});

t.test('cancel and replay say when they come too late', async (t) => {
  let state = taskd.RunState.RUNNING;
  const { client, network } = open({
    'scheduler.getRun': ({ shard, run, atLeast }: taskd.GetRunRequest) => {
      if (run === 40 && state === taskd.RunState.READY) throw new TaskdError(ErrorCode.NOT_FOUND, 'no run');
      return { run: { shard, run, state: atLeast! > 39 ? taskd.RunState.CANCELLING : state } };
    },
  });
  t.equal((await client.runs.cancel('3:8')).state, 'CANCELLING');
  t.match(network.sent[0], { topicId: 9, partition: 3 });
  t.equal(taskd.RunCancel.decode(network.sent[0]!.record.value!).run, 8);
  await t.rejects(client.dead.replay('3:8'), { code: ErrorCode.CONFLICT, message: /RUNNING, not DEAD/ });
  state = taskd.RunState.SUCCEEDED;
  await t.rejects(client.runs.cancel('3:8'), { code: ErrorCode.CONFLICT });
  state = taskd.RunState.DEAD;
  t.same(await client.dead.replay('3:8'), { id: '3:41' });
  t.equal(network.sent.length, 2);
});

t.test('the owner is found: by hint, by trying, and again after it went away', async (t) => {
  const notOwner = new TaskdError(ErrorCode.NOT_OWNER, 'not here', { retry: Retry.OTHER, hint: '127.0.0.1:2' });
  const { client, network } = open({
    'scheduler.appStats@1': () => {
      throw notOwner;
    },
    'scheduler.appStats@2': () => ({ ready: 4, workers: [{ workerId: 'w', capacity: 8, processors: ['p'] }] }),
  });
  t.match(await client.apps.stats('shop'), { ready: 4, workers: [{ workerId: 'w', capacity: 8, processors: ['p'] }] });
  await client.apps.stats('shop');
  t.same(
    network.asked.filter((each) => each.name === 'scheduler.appStats').map((each) => each.at),
    ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:2'],
    'the one that answered is asked first',
  );
  network.handlers['scheduler.appStats@2'] = () => {
    throw new TaskdError(ErrorCode.NOT_SENT, 'refused');
  };
  network.handlers['scheduler.appStats@1'] = () => ({ ready: 5 });
  network.known = [second, first];
  network.heard.length = 0;
  const answer = client.apps.stats('shop');
  await network.clock.advance(1_000);
  t.equal((await answer).ready, 5);
  t.same(
    network.heard,
    ['2 TaskdError: refused', '2 TaskdError: refused', '1 answered'],
    'whoever chose them hears of it',
  );
});

t.test('without a scheduler the deadline ends it, with the reason', async (t) => {
  const { client, network } = open();
  network.known = [];
  const answer = client.apps.list();
  answer.catch(() => {});
  await network.clock.advance(11_000);
  await t.rejects(answer, { code: ErrorCode.NOT_READY, message: /no scheduler was found within 10000 ms/ });
});

t.test('a closed client leaves nobody waiting', async (t) => {
  const { client, network } = open({
    'scheduler.getRun': () => {
      throw new TaskdError(ErrorCode.CONNECTION_LOST, 'cut');
    },
  });
  const result = client.runs.result('3:8');
  result.catch(() => {});
  await network.clock.advance(1_000);
  await client.close();
  await network.clock.advance(1_000);
  await t.rejects(result, { code: ErrorCode.CANCELLED });
  await t.rejects(client.apps.list(), { code: ErrorCode.CANCELLED });
  t.equal(network.clock.timersPending, 0);
});

t.test('topics', async (t) => {
  const { client } = open({
    'broker.describeTopics': () => ({ topics: [{ topicId: 2, name: 'a', partitions: 3, replicas: 1 }] }),
    'broker.createTopic': ({ name, partitions }: taskd.CreateTopicRequest) => ({
      topic: { topicId: 3, name, partitions, replicas: 1 },
    }),
  });
  t.match(await client.topics.list(), [{ topicId: 2, name: 'a', partitions: 3, internal: false }]);
  t.match(await client.topics.create('b', { partitions: 4 }), { topicId: 3, name: 'b', partitions: 4 });
});
