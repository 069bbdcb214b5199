import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { BatchClass, readBatch } from '../../src/batch/header.js';
import { Fetcher } from '../../src/client/fetcher.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { correlationOf, Kind } from '../../src/wire/frame.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { fetch, listOffsets } from '../../src/wire/methods.js';
import { BrokerNode, brokerAndClient, ClientKit, temporaryFolder } from '../support/broker-node.js';
import { GatedFiles } from '../support/gated-files.js';
import { frameBytes, RawPeer } from '../support/raw-peer.js';
import { MemoryLogger } from '../support/rpc-pair.js';

const value = (text: string): { value: Uint8Array } => ({ value: Buffer.from(text) });

async function setUp(t: Parameters<typeof brokerAndClient>[0], topics = 1) {
  const { node, client } = await brokerAndClient(t);
  const ids: number[] = [];
  for (let i = 0; i < topics; i++) ids.push((await client.topics.create(`topic-${i}`, 1, false)).topicId);
  const ask = async (request: taskd.IFetchRequest) => {
    const { message, payload } = await client.connections.to(node.address, 'bulk').call(fetch, request);
    return { partitions: message.partitions, payload: Buffer.from(payload) };
  };
  return { node, client, ids, ask, producer: client.producer() };
}

t.test('a fetch at the end waits for the next record, and wakes with it', async (t) => {
  const { ids, ask, producer } = await setUp(t);
  const topicId = ids[0]!;
  const waiting = ask({ partitions: [{ topicId, offset: 1 }], bytesMin: 1, waitMs: 20_000 });
  const { offset } = await producer.send(topicId, 0, value('x'), BatchClass.CLIENT);
  const { partitions, payload } = await waiting;
  t.match(partitions, [{ highWatermark: offset + 1, payloadBytes: payload.length, error: null }]);
  t.match(readBatch(payload, 0), { baseOffset: offset, recordCount: 1 });
});

t.test('it gives up waiting when the time is over, with nothing', async (t) => {
  const { ids, ask } = await setUp(t);
  const { partitions, payload } = await ask({ partitions: [{ topicId: ids[0]!, offset: 1 }], bytesMin: 1, waitMs: 5 });
  t.equal(payload.length, 0);
  t.match(partitions, [{ highWatermark: 1, payloadBytes: 0 }]);
});

t.test('bytesMin gathers over partitions', async (t) => {
  const { ids, ask, producer } = await setUp(t, 2);
  const places = ids.map((topicId) => ({ topicId, offset: 1 }));
  const waiting = ask({ partitions: places, bytesMin: 250, waitMs: 20_000, bytesMax: 1_000_000 });
  await producer.send(ids[0]!, 0, { value: new Uint8Array(100) }, BatchClass.CLIENT);
  await producer.send(ids[1]!, 0, { value: new Uint8Array(100) }, BatchClass.CLIENT);
  const { partitions, payload } = await waiting;
  t.ok(payload.length >= 250);
  t.ok(partitions.every(({ payloadBytes }) => payloadBytes! > 0));
});

t.test('bytesMin is reached by batches of any size, those that were there and those that come', async (t) => {
  const { ids, ask, producer } = await setUp(t);
  const topicId = ids[0]!;
  const send = () => producer.send(topicId, 0, { value: new Uint8Array(100) }, BatchClass.CLIENT);
  await send();
  const { length } = (await ask({ partitions: [{ topicId, offset: 1 }] })).payload;
  const bytesMin = 3 * length - 50;
  const waiting = ask({ partitions: [{ topicId, offset: 1 }], bytesMin, waitMs: 25_000, bytesMax: 1_000_000 });
  await send();
  await send();
  t.equal((await waiting).payload.length, 3 * length);
  const again = await ask({ partitions: [{ topicId, offset: 1 }], bytesMin, waitMs: 25_000, bytesMax: 1_000_000 });
  t.equal(again.payload.length, 3 * length, 'at once');
});

t.test('from a raw socket: a partition is named once in a fetch', async (t) => {
  const { node, ids } = await setUp(t, 2);
  const raw = await RawPeer.greeted(node.address);
  t.teardown(() => raw.socket.destroy());
  const [first, second] = ids.map((topicId) => ({ topicId, partition: 0, offset: 1 }));
  const ask = (partitions: unknown[]): Promise<string> =>
    raw.ask(fetch.id, taskd.FetchRequest, { partitions, bytesMin: 1, waitMs: 5 });
  t.equal(await ask([first, second]), 'ok');
  t.equal(await ask([first, second, first]), 'INVALID');
  t.equal(await ask(new Array(1_024).fill(first)), 'INVALID');
  t.notOk(raw.closed);
});

t.test('a connection whose fetches name too many partitions waits no more, and others do', async (t) => {
  const { node, client, ids, ask, producer } = await setUp(t);
  const { topicId: wide } = await client.topics.create('wide', 1_024, false);
  const raw = await RawPeer.greeted(node.address);
  t.teardown(() => raw.socket.destroy());
  const partitions = Array.from({ length: 1_024 }, (_, partition) => ({ topicId: wide, partition, offset: 1 }));
  const message = { partitions, bytesMin: 1, waitMs: 30_000 };
  const frames = Array.from({ length: 40 }, (_, i) =>
    frameBytes({
      kind: Kind.REQ,
      method: fetch.id,
      correlation: correlationOf(i, 1),
      codec: taskd.FetchRequest,
      message,
    }),
  );
  raw.send(...frames);
  await raw.until(() => raw.frames.length >= 8);
  t.equal(raw.frames.length, 8, 'those beyond 32 are answered, the others wait');
  const topicId = ids[0]!;
  const waiting = ask({ partitions: [{ topicId, offset: 1 }], bytesMin: 1, waitMs: 20_000 });
  const { offset } = await producer.send(topicId, 0, value('x'), BatchClass.CLIENT);
  t.match((await waiting).partitions, [{ highWatermark: offset + 1 }]);
});

t.test('whole batches up to bytesMax, at least one, and no cut', async (t) => {
  const { ids, ask, producer } = await setUp(t);
  const topicId = ids[0]!;
  for (let i = 0; i < 5; i++) await producer.send(topicId, 0, { value: new Uint8Array(1_000) }, BatchClass.CLIENT);
  const one = await ask({ partitions: [{ topicId, offset: 1 }], bytesMax: 10 });
  const header = readBatch(one.payload, 0);
  t.match(header, { baseOffset: 1, length: one.payload.length });
  const two = await ask({ partitions: [{ topicId, offset: 1 }], bytesMax: one.payload.length * 2 + 50 });
  t.equal(two.payload.length, one.payload.length * 2);
});

t.test('outside the log', async (t) => {
  const { ids, ask } = await setUp(t);
  const { partitions } = await ask({ partitions: [{ topicId: ids[0]!, offset: 2 }], waitMs: 20_000, bytesMin: 1 });
  t.match(partitions, [{ error: { code: ErrorCode.OFFSET_OUT_OF_RANGE }, highWatermark: 1, logStart: 0 }]);
});

t.test('a stopping broker lets nobody wait', async (t) => {
  const { node, ids, ask } = await setUp(t);
  const waiting = ask({ partitions: [{ topicId: ids[0]!, offset: 1 }], bytesMin: 1, waitMs: 20_000 });
  await ask({ partitions: [{ topicId: ids[0]!, offset: 0 }] });
  const stopping = node.broker.stop();
  t.match((await waiting).partitions, [{ payloadBytes: 0 }]);
  await stopping;
});

t.test('fetches that were given up while they waited for the file hold up nobody behind them', async (t) => {
  const folder = temporaryFolder(t);
  const real = nodeRuntime(new MemoryLogger());
  const files = new GatedFiles(real.files);
  const runtime = { ...real, files: files.proxy };
  const first = await BrokerNode.start(runtime, folder);
  const topicId = await first.broker.ensureTopic('cold', 1);
  await first.broker.taskLog(topicId, 0).append([{ value: new Uint8Array(100) }], BatchClass.CLIENT);
  await first.stop();
  const node = await BrokerNode.start(runtime, folder);
  t.teardown(() => node.stop());
  const client = new ClientKit(real, node.address);
  t.teardown(() => client.close());
  const ask = (client: ClientKit, deadlineMs = 30_000) => {
    const request = { partitions: [{ topicId, offset: 0 }], waitMs: 0 };
    return client.connections.to(node.address, 'bulk').call(fetch, request, { deadlineMs });
  };
  const listEnd = () => {
    const request = { topicId, spec: taskd.OffsetSpec.OFFSET_SPEC_END };
    return client.connections.to(node.address, 'bulk').call(listOffsets, request);
  };
  // The broker reads files of its own, so one that waits does not mean that the connection is there: what is given up
  // before that was never sent.
  await listEnd();
  files.isShut = true;
  const reading = Array.from({ length: 8 }, () => ask(client));
  // They share what must be read of the file first.
  await files.waiting(1);
  const givenUp = Array.from({ length: 20 }, () => ask(client, 50));
  const behind = ask(client);
  for (const each of givenUp) await t.rejects(each, { code: ErrorCode.DEADLINE });
  // On the same connection, so behind all that it cancelled.
  await listEnd();
  files.release();
  for (const each of [...reading, behind]) t.match((await each).message.partitions, [{ highWatermark: 3 }]);
});

t.test('a partition number beyond 65,535 is none of the next topic', async (t) => {
  const { client, node, ids, ask } = await setUp(t, 2);
  t.equal(ids[1], ids[0]! + 1);
  const { partitions } = await ask({ partitions: [{ topicId: ids[0]!, partition: 65_536 }] });
  t.match(partitions, [{ error: { code: ErrorCode.NOT_FOUND } }]);
  const request = { topicId: ids[0]!, partition: 65_536, spec: taskd.OffsetSpec.OFFSET_SPEC_END };
  await t.rejects(client.connections.to(node.address).call(listOffsets, request), { code: ErrorCode.NOT_FOUND });
});

/** A fetcher and what it was told. */
function gather(client: ClientKit, topicId: number, offset: number, waitMs: number) {
  const told: { batches: number[]; looks: { next: number; beganMs: number }[]; lost: number[] } = {
    batches: [],
    looks: [],
    lost: [],
  };
  let changed = () => {};
  const events = {
    batch: ({ baseOffset }: { baseOffset: number }) => {
      told.batches.push(baseOffset);
      changed();
    },
    caughtUp: (next: number, beganMs: number) => {
      told.looks.push({ next, beganMs });
      changed();
    },
    lost: (logStart: number) => {
      told.lost.push(logStart);
      changed();
    },
  };
  const place = { topicId, partition: 0, offset };
  const fetcher = new Fetcher(client.runtime, client.connections, client.topics, place, events, { waitMs });
  const until = async (isDone: () => boolean): Promise<void> => {
    while (!isDone()) {
      await new Promise<void>((resolve) => {
        changed = resolve;
      });
    }
  };
  t.teardown(() => fetcher.close());
  return { fetcher, told, until };
}

t.test('a poked fetcher looks at the end though its long poll is far from over', async (t) => {
  const { client, ids, producer } = await setUp(t);
  const topicId = ids[0]!;
  const { fetcher, told, until } = gather(client, topicId, 0, 25_000);
  await until(() => told.looks.length > 0);
  const { offset } = await producer.send(topicId, 0, value('x'), BatchClass.CLIENT);
  const afterMs = client.runtime.clock.monotonicMs();
  fetcher.poke();
  fetcher.poke();
  await until(() => told.looks.some(({ beganMs }) => beganMs >= afterMs));
  t.match(
    told.looks.find(({ beganMs }) => beganMs >= afterMs),
    { next: offset + 1 },
  );
  t.same(told.batches, [offset], 'without the no-op');
  fetcher.close();
});

t.test('a fetcher that is held asks for nothing more, and goes on where it was', async (t) => {
  const { client, ids, producer } = await setUp(t);
  const topicId = ids[0]!;
  const first = await producer.send(topicId, 0, value('a'), BatchClass.CLIENT);
  const { fetcher, told, until } = gather(client, topicId, 0, 50);
  await until(() => told.batches.length === 1);
  fetcher.hold();
  const wasTold = told.looks.length;
  const second = await producer.send(topicId, 0, value('b'), BatchClass.CLIENT);
  // The long poll under way may still bring it; the one after that is not asked.
  await new Promise<void>((resolve) => client.runtime.clock.timer(120, resolve));
  t.ok(told.looks.length <= wasTold + 1);
  fetcher.resume();
  await until(() => told.batches.length === 2);
  t.same(told.batches, [first.offset, second.offset]);
});

t.test('a fetcher beyond the end is told that it is lost', async (t) => {
  const { client, ids } = await setUp(t);
  const { told, until } = gather(client, ids[0]!, 500, 100);
  await until(() => told.lost.length > 0);
  t.same(told.lost, [0]);
});
