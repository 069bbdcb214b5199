import t from 'tap';
import { ErrorCode, Retry, TaskdError } from '../../src/base/errors.js';
import { TopicDirectory } from '../../src/client/topic-directory.js';
import type { Caller } from '../../src/rpc/caller.js';
import type { Address } from '../../src/runtime/net.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { MemoryLogger } from '../support/rpc-pair.js';

const here: Address = { host: '127.0.0.1', port: 1 };
const there: Address = { host: '127.0.0.1', port: 2 };

/** Brokers that answer what the test says; a thrown error is the answer. */
function directory(answer: (address: Address, request: unknown) => unknown) {
  const asked: { port: number; request: unknown }[] = [];
  const callers = {
    to: (address: Address) =>
      ({
        call: async (_method: unknown, request: unknown) => {
          asked.push({ port: address.port, request });
          return { message: answer(address, request), payload: new Uint8Array(0) };
        },
      }) as unknown as Caller,
  };
  const told: string[] = [];
  const source = {
    brokers: async () => [here, there],
    told: ({ port }: Address, error?: unknown) => void told.push(`${port} ${error ?? 'answered'}`),
  };
  return { topics: new TopicDirectory(nodeRuntime(new MemoryLogger()), callers, source), asked, told };
}

const topic = (leaders: unknown[]) => ({ topicId: 5, name: 'a', partitions: leaders.length, leaders });

t.test('a name is asked for once; one that nobody knows is NOT_FOUND', async (t) => {
  const { topics, asked } = directory((_address, request) => {
    const { names } = request as { names: string[] };
    return { topics: names[0] === 'a' ? [topic([here])] : [] };
  });
  t.match(await topics.named('a'), { topicId: 5, leaders: [here] });
  t.match(await topics.named('a'), { topicId: 5 });
  t.equal(asked.length, 1);
  t.same(topics.leader(5, 0), here);
  await t.rejects(topics.named('b'), { code: ErrorCode.NOT_FOUND });
  topics.close();
});

t.test('another broker is asked when one is away, but not when the answer is final', async (t) => {
  const away = directory((address) => {
    if (address.port === here.port) throw new TaskdError(ErrorCode.NOT_SENT, 'away');
    return { topics: [topic([there])] };
  });
  t.match(await away.topics.named('a'), { leaders: [there] });
  t.same(
    away.asked.map(({ port }) => port),
    [1, 2],
  );
  t.same(away.told, ['1 TaskdError: away', '2 answered'], 'whoever chose them hears of it');
  const final = directory(() => {
    throw new TaskdError(ErrorCode.FORBIDDEN, 'no');
  });
  await t.rejects(final.topics.named('a'), { code: ErrorCode.FORBIDDEN });
  t.equal(final.asked.length, 1);
});

t.test('a missing leader is asked for until there is one, and listeners are told', async (t) => {
  let answers = 0;
  const { topics } = directory(() => ({ topics: [topic(++answers < 3 ? [{}] : [there])] }));
  await new Promise<void>((resolve) => {
    const stop = topics.onChange(() => {
      if (topics.leader(5, 0) === undefined) return;
      stop();
      resolve();
    });
    t.equal(topics.leader(5, 0), undefined);
  });
  t.same(topics.leader(5, 0), there);
  t.equal(answers, 3);
  topics.close();
});

t.test('it gives up at the deadline with the last reason', async (t) => {
  const { topics } = directory(() => {
    throw new TaskdError(ErrorCode.NOT_READY, 'starting', { retry: Retry.AFTER, retryAfterMs: 1 });
  });
  const method = { id: 1 } as never;
  await t.rejects(topics.ask(method, {}, 30), { code: ErrorCode.NOT_READY, message: 'starting' });
  topics.close();
});

t.test('more topics than a broker takes in one question are asked for in several', async (t) => {
  const { topics, asked } = directory((_address, request) => {
    const { topicIds } = request as { topicIds: number[] };
    if (topicIds.length > 1_000) throw new TaskdError(ErrorCode.INVALID, 'too many');
    return { topics: topicIds.map((topicId) => ({ topicId, name: `t${topicId}`, partitions: 1, leaders: [here] })) };
  });
  const count = 2_345;
  for (let id = 1; id <= count; id++) topics.leader(id, 0);
  await new Promise<void>((resolve) => {
    const stop = topics.onChange(() => {
      if (topics.known(count) === undefined) return;
      stop();
      resolve();
    });
  });
  for (let id = 1; id <= count; id++) if (topics.leader(id, 0) === undefined) t.fail(`${id} is not known`);
  t.equal(asked.length, 4, 'the first one was asked for alone');
  topics.close();
});

t.test('what no broker answers does not keep others from being asked', async (t) => {
  const { topics } = directory((_address, request) => {
    const { topicIds } = request as { topicIds: number[] };
    if (topicIds.includes(1)) throw new TaskdError(ErrorCode.INVALID, 'not this one');
    return { topics: topicIds.map((topicId) => ({ topicId, name: `t${topicId}`, partitions: 1, leaders: [here] })) };
  });
  for (let id = 1; id <= 1_001; id++) topics.leader(id, 0);
  await new Promise<void>((resolve) => void topics.onChange(resolve));
  t.same(topics.leader(1_001, 0), here);
  topics.close();
});
