import { fullTopicConfig } from '../../src/base/topic-config.js';
import type { ControlClient } from '../../src/cli/control-client.js';
import type { AppStats } from '../../src/client/apps.js';
import type { ConsumerStats } from '../../src/client/consumer/consumer.js';
import type { DeadRecord } from '../../src/client/dead-record.js';
import type { GroupDescription } from '../../src/client/groups.js';
import type { Job } from '../../src/client/job.js';
import type { EndedRun } from '../../src/client/runs.js';
import type { PartitionInfo, TopicInfo } from '../../src/client/topics.js';

const jobsTopic: TopicInfo = {
  topicId: 2,
  name: 'taskd.jobs',
  partitions: 16,
  replicas: 1,
  internal: true,
  config: fullTopicConfig({}, true),
  configured: {},
};

const orders: TopicInfo = {
  topicId: 5,
  name: 'orders',
  partitions: 2,
  replicas: 1,
  internal: false,
  config: fullTopicConfig({ retentionMs: 3_600_000 }, false),
  configured: { retentionMs: 3_600_000 },
};
const state: PartitionInfo = {
  partition: 0,
  leader: '127.0.0.1:7400',
  term: 3,
  logStart: 10,
  logEnd: 20,
  highWatermark: 20,
  bytes: 3_000_000,
  problem: undefined,
};
const place = { partition: 1, offset: 17, appendTimestampMs: 5 };

export async function* lines(): AsyncGenerator<string> {
  yield 'first line';
  yield 'second';
}

export const nowMs: number = Date.UTC(2030, 0, 1);
const bytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

const run: EndedRun = {
  id: '3:17',
  app: 'mail',
  job: '',
  processor: 'send',
  state: 'DEAD',
  attempt: 3,
  attemptsMax: 3,
  lost: 0,
  priority: 5,
  dueMs: nowMs - 90_000,
  createdMs: nowMs - 90_000,
  startedMs: nowMs - 5_000,
  endedMs: nowMs - 4_500,
  workerId: 'w1',
  arguments: bytes({ to: 'me' }),
  result: new Uint8Array(0),
  error: 'Error: no\u001b[31m such host\n  at send',
  waitsFor: '',
  value: undefined,
};

export const job: Job = {
  app: 'mail',
  name: 'digest',
  shard: 3,
  generation: 9,
  version: 12,
  attemptsMax: 3,
  delaysMs: [1_000],
  processor: 'send',
  arguments: bytes([1]),
  cron: '* * * * *',
  zone: '',
  timeoutMs: 0,
  priority: 5,
  paused: false,
  nextFireMs: nowMs + 30_000,
  fires: 7,
  skipped: 0,
  refusal: '',
};

export const billing: GroupDescription = {
  name: 'billing',
  state: 'STABLE',
  assignor: 'sticky',
  lag: 7,
  members: [],
  partitions: [
    { topic: 'orders', partition: 0, committed: 3, logStart: 0, logEnd: 10, lag: 7, memberId: 'm1' },
    { topic: 'orders', partition: 1, committed: undefined, logStart: 0, logEnd: 0, lag: 0, memberId: '' },
  ],
};

export const letter: DeadRecord = {
  id: 'dlq.billing.orders/2:17',
  group: 'billing',
  topic: 'orders',
  partition: 2,
  offset: 900,
  attempts: 5,
  firstError: 'Error: first',
  lastError: 'Error: no\u001b[31m such customer',
  firstFailedAtMs: nowMs - 60_000,
  lastFailedAtMs: nowMs - 5_000,
  deadAtMs: nowMs - 5_000,
  key: Buffer.from('k\u0007'),
  value: Buffer.from([0xff, 0xfe]),
  headers: { trace: Buffer.from('x') },
};

export const stats: AppStats = {
  ...{ scheduled: 1, ready: 2, running: 3, retryWait: 4, dead: 5, submittedTotal: 6, succeededTotal: 7 },
  ...{ failedAttemptsTotal: 8, lostTotal: 9, cancelledTotal: 10, replayedTotal: 11, workers: [] },
};

/** A consumer that has nothing to do. */
const idle: ConsumerStats = {
  state: 'running',
  running: 0,
  oldestHandlerMs: 0,
  bufferedBytes: 0,
  handled: 0,
  failed: 0,
  resets: 0,
  partitions: [],
};

/** A client that answers from fixed values and notes what it was asked. */
export function fakeClient(calls: unknown[][], failure?: Error): ControlClient {
  const answer =
    <T>(name: string, value: T) =>
    async (...parameters: unknown[]): Promise<T> => {
      calls.push([name, ...parameters]);
      if (failure !== undefined) throw failure;
      return value;
    };
  return {
    jobs: {
      put: answer('jobs.put', job),
      get: answer('jobs.get', job),
      list: answer('jobs.list', [job]),
      pause: answer('jobs.pause', job),
      resume: answer('jobs.resume', job),
      remove: answer('jobs.remove', undefined),
    },
    runs: {
      submit: answer('runs.submit', { id: '3:18' }),
      get: answer('runs.get', run),
      list: answer('runs.list', [run]),
      cancel: answer('runs.cancel', run),
      result: answer('runs.result', run),
    },
    dead: {
      list: answer('dead.list', [run]),
      get: answer('dead.get', run),
      replay: answer('dead.replay', { id: '3:19' }),
    },
    apps: {
      list: answer('apps.list', [{ name: 'mail', appId: 1, shard: 3 }]),
      stats: answer('apps.stats', stats),
    },
    topics: {
      list: answer('topics.list', [jobsTopic]),
      create: answer('topics.create', orders),
      alter: answer('topics.alter', orders),
      remove: answer('topics.remove', undefined),
      describe: answer('topics.describe', { ...orders, states: [state] }),
    },
    groups: {
      list: answer('groups.list', [{ name: 'billing', state: 'STABLE', members: 2, assignor: 'sticky' } as const]),
      describe: answer('groups.describe', billing),
      reset: answer('groups.reset', [{ partition: 0, from: undefined, to: 4 }]),
      remove: answer('groups.remove', undefined),
    },
    deadRecords: {
      list: answer('deadRecords.list', [letter]),
      get: answer('deadRecords.get', letter),
      replay: answer('deadRecords.replay', { replayed: [letter.id], skipped: [] }),
      purge: answer('deadRecords.purge', [letter.id]),
    },
    consumer: (options) => {
      calls.push(['consumer', options]);
      return {
        run: answer('consumer.run', undefined),
        close: answer('consumer.close', undefined),
        stats: idle,
      };
    },
    producer: () => ({
      send: answer('send', place),
      room: () => Promise.resolve(),
      flush: () => Promise.resolve(),
    }),
    cancelDelayed: answer('cancelDelayed', true),
    nodes: answer('nodes', [
      { service: 'taskd.broker', instanceId: 'n1', addresses: ['127.0.0.1:7400'], health: 'UP', metadata: {} },
    ]),
    close: answer('close', undefined),
  };
}
