import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { NonRetryable } from '../../src/worker/run-error.js';
import { Rig } from './rig.js';

/** Resolves when `condition` holds, looking each time that `signal` is called. */
class Signal {
  #waiting: { condition: () => boolean; resolve: () => void }[] = [];

  fire(): void {
    const ready = this.#waiting.filter((each) => each.condition());
    this.#waiting = this.#waiting.filter((each) => !ready.includes(each));
    for (const each of ready) each.resolve();
  }

  until(condition: () => boolean): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ condition, resolve }));
  }
}

t.test('a thousand runs are submitted, run once each, and their results are read', async (t) => {
  const rig = new Rig();
  await rig.startScheduler();
  const client = rig.client();
  const started = new Map<string, number>();
  const worker = rig.worker('shop', {
    square: async (args: { n: number }, context) => {
      started.set(context.runId, (started.get(context.runId) ?? 0) + 1);
      return args.n * args.n;
    },
  });
  await worker.start();
  const ids = await Promise.all(
    Array.from({ length: 1_000 }, (_, n) => client.runs.submit('shop', { processor: 'square', arguments: { n } })),
  );
  const results = await Promise.all(ids.map(({ id }) => client.runs.result(id)));
  t.ok(results.every((run, n) => run.state === 'SUCCEEDED' && run.value === n * n));
  t.equal(started.size, 1_000);
  t.ok([...started.values()].every((count) => count === 1));
  const stats = await client.apps.stats('shop');
  t.match(stats, { succeededTotal: 1_000, submittedTotal: 1_000, running: 0, ready: 0 });
  t.match(stats.workers, [{ workerId: 'worker-1', capacity: 320, processors: ['square'], peer: /^127\.0\.0\.1:/ }]);
  t.match(await client.apps.list(), [{ name: 'shop' }]);
  await worker.drain();
  await rig.close();
});

t.test('a failing run is tried again, dies, is read and replayed', async (t) => {
  const rig = new Rig();
  await rig.startScheduler();
  const client = rig.client();
  let isMended = false;
  const attempts: number[] = [];
  const worker = rig.worker('shop', {
    shaky: async (args, context) => {
      attempts.push(context.attempt);
      if (!isMended) throw new Error(`no ${args}`);
      return 'well';
    },
    hopeless: async () => {
      throw new NonRetryable('never');
    },
  });
  await worker.start();
  const retry = { attemptsMax: 3, delaysMs: [1, 2] };
  const { id } = await client.runs.submit('shop', { processor: 'shaky', arguments: 'luck', retry });
  const dead = await client.runs.result(id);
  t.match(dead, { state: 'DEAD', attempt: 3, attemptsMax: 3, error: /no luck/ });
  t.same(attempts, [1, 2, 3]);
  t.match(await client.dead.list('shop'), [{ id, state: 'DEAD' }]);
  t.equal(Buffer.from((await client.dead.get(id)).arguments).toString(), '"luck"');
  isMended = true;
  const replay = await client.dead.replay(id);
  t.match(await client.runs.result(replay.id), { state: 'SUCCEEDED', value: 'well', replayOf: id });
  t.same(await client.dead.list('shop'), []);
  await t.rejects(client.dead.replay(id), { code: ErrorCode.CONFLICT });
  const once = await client.runs.submit('shop', { processor: 'hopeless' });
  t.match(await client.runs.result(once.id), { state: 'DEAD', attempt: 1 });
  await worker.drain();
  await rig.close();
});

t.test('waiting and running runs are cancelled', async (t) => {
  const rig = new Rig();
  await rig.startScheduler();
  const client = rig.client();
  const signal = new Signal();
  let started = 0;
  const worker = rig.worker('shop', {
    patient: (_args, context) =>
      new Promise((_resolve, reject) => {
        started++;
        context.signal.addEventListener('abort', () => reject(context.signal.reason));
        signal.fire();
      }),
  });
  await worker.start();
  const later = await client.runs.submit('shop', { processor: 'patient', delayMs: 3_600_000 });
  t.equal((await client.runs.get(later.id)).state, 'SCHEDULED');
  t.equal((await client.runs.cancel(later.id)).state, 'CANCELLED');
  await t.rejects(client.runs.cancel(later.id), { code: ErrorCode.CONFLICT });
  const now = await client.runs.submit('shop', { processor: 'patient' });
  await signal.until(() => started === 1);
  t.equal((await client.runs.get(now.id)).state, 'RUNNING');
  await client.runs.cancel(now.id);
  t.equal((await client.runs.result(now.id)).state, 'CANCELLED');
  const short = await client.runs.submit('shop', { processor: 'patient', timeoutMs: 30, retry: { attemptsMax: 1 } });
  t.match((await client.runs.result(short.id)).state, /TIMED_OUT|DEAD/);
  await t.rejects(client.runs.get('0:999999'), { code: ErrorCode.NOT_FOUND });
  await t.rejects(client.runs.get('99:1'), { code: ErrorCode.NOT_FOUND });
  await worker.drain();
  await rig.close();
});

t.test('a job fires each second, is paused, changed, resumed and removed', async (t) => {
  const rig = new Rig();
  await rig.startScheduler();
  const client = rig.client();
  const signal = new Signal();
  const seen: unknown[] = [];
  const worker = rig.worker('shop', {
    tick: async (args, context) => {
      seen.push(args);
      t.equal(context.job, 'each-second');
      signal.fire();
    },
  });
  await worker.start();
  const job = await client.jobs.put('shop', 'each-second', { processor: 'tick', cron: '* * * * * *', arguments: 'a' });
  t.ok(job.nextFireMs! > 0);
  await signal.until(() => seen.length >= 1);
  t.match(await client.jobs.get('shop', 'each-second'), { paused: false, cron: '* * * * * *', version: job.version });
  t.ok((await client.jobs.pause('shop', 'each-second')).paused);
  const changed = await client.jobs.put('shop', 'each-second', {
    processor: 'tick',
    cron: '* * * * * *',
    zone: 'Asia/Tokyo',
    arguments: 'b',
    expectedVersion: job.version,
  });
  t.ok(changed.version > job.version);
  t.equal(changed.generation, job.generation);
  await t.rejects(client.jobs.put('shop', 'each-second', { processor: 'tick', expectedVersion: job.version }), {
    code: ErrorCode.CONFLICT,
  });
  if (changed.paused) await client.jobs.resume('shop', 'each-second');
  await signal.until(() => seen.includes('b'));
  t.match(await client.jobs.list('shop'), [{ name: 'each-second', zone: 'Asia/Tokyo' }]);
  await client.jobs.remove('shop', 'each-second');
  await t.rejects(client.jobs.get('shop', 'each-second'), { code: ErrorCode.NOT_FOUND });
  t.ok((await client.runs.list('shop', { job: 'each-second' })).length >= 2);
  await t.rejects(client.jobs.put('shop', 'bad', { processor: 'tick', cron: '61 * * * *' }), {
    code: ErrorCode.INVALID,
    message: /minute/i,
  });
  await t.rejects(client.jobs.put('shop', 'bad', { processor: 'tick', cron: '* * * * *', zone: 'Mars/Base' }), {
    code: ErrorCode.INVALID,
  });
  await worker.drain();
  await rig.close();
});

t.test('another process takes over: what ran is claimed, what waited runs, results are kept', async (t) => {
  const rig = new Rig();
  await rig.startScheduler('node-1');
  const client = rig.client();
  const signal = new Signal();
  const ends: (() => void)[] = [];
  const starts: string[] = [];
  const worker = rig.worker('shop', {
    held: (_args, context) =>
      new Promise((resolve) => {
        starts.push(context.runId);
        ends.push(() => resolve('held'));
        signal.fire();
      }),
    quick: () => 'quick',
  });
  await worker.start();
  const before = await client.runs.submit('shop', { processor: 'quick' });
  await client.runs.result(before.id);
  const held = await client.runs.submit('shop', { processor: 'held' });
  await signal.until(() => ends.length === 1);
  rig.cutScheduler();
  await rig.startScheduler('node-2');
  const after = await client.runs.submit('shop', { processor: 'quick' });
  t.equal((await client.runs.result(after.id)).state, 'SUCCEEDED');
  t.match(await client.runs.get(before.id), { state: 'SUCCEEDED' });
  t.match(await client.runs.get(held.id), { state: 'RUNNING', lost: 0 });
  for (const end of ends) end();
  t.match(await client.runs.result(held.id), { state: 'SUCCEEDED', value: 'held', lost: 0 });
  t.same(starts, [held.id], 'started once');
  await worker.stop();
  await rig.close();
});

t.test('a worker that stops gives what it ran to another one at once', async (t) => {
  const rig = new Rig();
  await rig.startScheduler();
  const client = rig.client();
  const signal = new Signal();
  const starts: string[] = [];
  const processors = (name: string): Record<string, (args: unknown) => unknown> => ({
    work: async () => {
      starts.push(name);
      signal.fire();
      if (name === 'first') await new Promise(() => {});
      return name;
    },
  });
  const first = rig.worker('shop', processors('first'), 'worker-1');
  await first.start();
  const { id } = await client.runs.submit('shop', { processor: 'work' });
  await signal.until(() => starts.length === 1);
  const second = rig.worker('shop', processors('second'), 'worker-2');
  await second.start();
  await first.stop();
  t.match(await client.runs.result(id, 5_000), { state: 'SUCCEEDED', value: 'second', lost: 1 });
  await second.drain();
  await rig.close();
});

t.test('a shard that its last owner released is taken by the one before, which is still there', async (t) => {
  const rig = new Rig();
  await rig.startScheduler('node-1');
  const first = { scheduler: rig.scheduler!, address: rig.address! };
  const ready = async (isReady: () => boolean): Promise<void> => {
    while (!isReady()) await new Promise(setImmediate);
  };
  await ready(() => first.scheduler.isReady);
  await rig.startScheduler('node-2');
  await ready(() => rig.scheduler!.isReady);
  t.notOk(first.scheduler.isReady, 'the second one took them all');
  await rig.stopScheduler();
  rig.address = first.address;
  await ready(() => first.scheduler.isReady);
  const worker = rig.worker('shop', { work: () => 'done' });
  await worker.start();
  const { id } = await rig.client().runs.submit('shop', { processor: 'work' });
  t.equal((await rig.client().runs.result(id)).state, 'SUCCEEDED');
  await worker.drain();
  await rig.close();
});
