import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ErrorCode, Retry } from '../../src/base/errors.js';
import { BatchClass, readBatch } from '../../src/batch/header.js';
import { fetchBytesMax, fetchPartitionsMax } from '../../src/broker/fetch-service.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { tryZeroCopy } from '../../src/runtime/node/zero-copy.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { correlationOf, Kind } from '../../src/wire/frame.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { deleteTopic, fetch } from '../../src/wire/methods.js';
import { BrokerNode, ClientKit, temporaryFolder } from '../support/broker-node.js';
import { frameBytes, RawPeer } from '../support/raw-peer.js';
import { MemoryLogger } from '../support/rpc-pair.js';

const logBytes = 3 * 1024 * 1024;
const segmentBytes = 1024 * 1024;
/** The first one has the long log. */
const partitionCount = 4;

/** A log of some segments, of which a broker that has just started has nothing in memory. */
async function coldBroker(t: Test, isZeroCopy: boolean) {
  const folder = temporaryFolder(t);
  const log = new MemoryLogger();
  const runtime = nodeRuntime(log);
  if (isZeroCopy)
    await tryZeroCopy(log).then(
      (kernel) => runtime.net.useKernel(kernel),
      () => {},
    );
  const first = await BrokerNode.start(runtime, folder, { segmentBytes });
  const topicId = await first.broker.ensureTopic('old', partitionCount);
  const records = Array.from({ length: 100 }, (_, i) => ({ value: runtime.random.bytes(4_000 + i) }));
  const writer = first.broker.taskLog(topicId, 0);
  for (let bytes = 0; bytes < logBytes; bytes += 100 * 4_000) await writer.append(records, BatchClass.CLIENT);
  for (let other = 1; other < partitionCount; other++) {
    await first.broker.taskLog(topicId, other).append(records, BatchClass.CLIENT);
  }
  await first.stop();
  const node = await BrokerNode.start(runtime, folder, { segmentBytes });
  t.teardown(() => node.stop());
  const client = new ClientKit(runtime, node.address);
  t.teardown(() => client.close());
  const ask = async (request: taskd.IFetchRequest) =>
    client.connections.to(node.address, 'bulk').call(fetch, request, { deadlineMs: 20_000 });
  /** All of the log, batch by batch. */
  const readAll = async (): Promise<number> => {
    let offset = 0;
    for (;;) {
      const { message, payload } = await ask({ partitions: [{ topicId, offset }], bytesMax: fetchBytesMax });
      const { highWatermark, error } = message.partitions[0]!;
      if (error) throw new Error(JSON.stringify(error));
      for (let at = 0; at < payload.length; ) {
        const header = readBatch(payload, at);
        if (typeof header === 'string') throw new Error(header);
        offset = Math.max(offset, header.baseOffset + header.recordCount);
        at += header.length;
      }
      if (offset === highWatermark) return offset;
    }
  };
  return { node, client, topicId, runtime, log, ask, readAll, folder };
}

/** A fetch of all that a segment has, as bytes. */
function wholeLog(topicId: number, slot: number, checked = false): Uint8Array {
  const message = { partitions: [{ topicId }], bytesMax: fetchBytesMax, checked };
  const fields = { kind: Kind.REQ, method: fetch.id, codec: taskd.FetchRequest, message };
  return frameBytes({ ...fields, correlation: correlationOf(slot, 1) });
}

for (const isZeroCopy of [true, false]) {
  const how = isZeroCopy ? 'by the kernel' : 'read and written';

  t.test(`readers that ask for much and never read hold up nobody (${how})`, async (t) => {
    const { node, topicId, runtime, log, readAll } = await coldBroker(t, isZeroCopy);
    const fetches = Array.from({ length: 40 }, (_, i) => wholeLog(topicId, i));
    const peers: RawPeer[] = [];
    for (let i = 0; i < 15; i++) {
      const peer = await RawPeer.greeted(node.address);
      peer.socket.pause();
      peer.send(...fetches);
      peers.push(peer);
    }
    t.ok((await readAll()) > 700);
    const { arrayBuffers } = process.memoryUsage();
    t.ok(runtime.net.regions.queued > 0);
    t.ok(arrayBuffers < 200e6, `${arrayBuffers} bytes for ${peers.length * fetches.length} MiB that wait`);
    for (const peer of peers) peer.socket.destroy();
    while (runtime.net.regions.queued > 0) await readAll();
    t.same(
      log.lines.filter(({ level }) => level === 'error'),
      [],
    );
  });

  t.test(`readers that go away in the middle, and one that reads little by little (${how})`, async (t) => {
    const { node, topicId, runtime, readAll } = await coldBroker(t, isZeroCopy);
    const slow = await RawPeer.greeted(node.address);
    slow.socket.pause();
    slow.send(wholeLog(topicId, 0));
    for (let i = 0; i < 10; i++) {
      const peer = await RawPeer.greeted(node.address);
      peer.send(wholeLog(topicId, 0), wholeLog(topicId, 1), wholeLog(topicId, 2));
      await peer.until(() => peer.bytes > i * 90_000);
      peer.socket.resetAndDestroy();
      slow.socket.read(1);
    }
    await readAll();
    slow.socket.resume();
    await slow.until(() => slow.frames.length === 1);
    while (runtime.net.regions.queued > 0) await readAll();
    t.pass('every region was let go of');
  });

  t.test(`what is deleted while it is sent arrives whole (${how})`, async (t) => {
    const { node, client, topicId, readAll, folder } = await coldBroker(t, isZeroCopy);
    const place = join(folder, 'data', String(topicId));
    t.ok(existsSync(place));
    const peer = await RawPeer.greeted(node.address);
    peer.socket.pause();
    const count = 20;
    peer.send(...Array.from({ length: count }, (_, i) => wholeLog(topicId, i)));
    // On its way as soon as another one is served, which came later.
    await readAll();
    await client.connections.to(node.address).call(deleteTopic, { name: 'old' });
    t.notOk(existsSync(place));
    peer.socket.resume();
    await peer.until(() => peer.frames.length === count);
    for (const { meta } of peer.frames) {
      const [found] = taskd.FetchResponse.decode(meta).partitions;
      t.ok(found!.payloadBytes! > 0);
    }
  });
}

t.test("readers of checked batches that never read don't fill the memory", async (t) => {
  const { node, client, topicId, readAll } = await coldBroker(t, false);
  const peers: RawPeer[] = [];
  for (let i = 0; i < 15; i++) {
    const peer = await RawPeer.greeted(node.address);
    peer.socket.pause();
    peer.send(...Array.from({ length: 40 }, (_, slot) => wholeLog(topicId, slot, true)));
    peers.push(peer);
  }
  t.ok((await readAll()) > 700);
  const { arrayBuffers } = process.memoryUsage();
  t.ok(arrayBuffers < 200e6, `${arrayBuffers} bytes for ${15 * 40} answers that wait`);
  const request = { partitions: [{ topicId }], bytesMax: fetchBytesMax, checked: true };
  const { message } = await client.connections.to(node.address, 'bulk').call(fetch, request, { deadlineMs: 20_000 });
  t.ok(message.partitions[0]!.payloadBytes! > 0, 'others get them');

  const [first] = peers;
  first!.socket.resume();
  await first!.until(() => first!.frames.length === 40);
  const busy = first!.frames.filter(({ kind }) => kind === Kind.ERR);
  t.ok(busy.length > 0 && busy.length < 40, `${busy.length} of 40 were to ask again`);
  for (const { meta } of busy) t.match(taskd.ErrorInfo.decode(meta), { code: ErrorCode.BUSY, retry: Retry.AFTER });
  for (const peer of peers) peer.socket.destroy();
});

t.test('many partitions, strange offsets', async (t) => {
  const { topicId, ask } = await coldBroker(t, true);
  const places = (count: number, offset: number) =>
    Array.from({ length: count }, (_, partition) => ({ topicId, partition, offset }));
  const many = await ask({ partitions: places(fetchPartitionsMax, 3), bytesMax: fetchBytesMax });
  t.equal(many.message.partitions.length, fetchPartitionsMax);
  const bytes = many.message.partitions.map(({ payloadBytes }) => payloadBytes!);
  t.equal(
    bytes.reduce((a, b) => a + b),
    many.payload.length,
  );
  t.equal(bytes.filter((each) => each > 0).length, partitionCount);
  t.ok(many.payload.length <= fetchBytesMax + segmentBytes);
  for (let at = 0; at < many.payload.length; ) {
    const header = readBatch(many.payload, at);
    if (typeof header === 'string') throw new Error(header);
    at += header.length;
  }
  await t.rejects(ask({ partitions: places(fetchPartitionsMax + 1, 0) }), { code: ErrorCode.INVALID });
  for (const offset of [1e9, Number.MAX_SAFE_INTEGER]) {
    const { message } = await ask({ partitions: places(2, offset), bytesMin: 1, waitMs: 10_000 });
    t.match(
      message.partitions,
      places(2, 0).map(() => ({ error: { code: ErrorCode.OFFSET_OUT_OF_RANGE } })),
    );
  }
});

t.test('random fetches from a raw socket', async (t) => {
  const { node, topicId, runtime, log, readAll } = await coldBroker(t, true);
  const random = new SeededRandom(8);
  const number = (): number => {
    const choice = random.below(6);
    if (choice < 2) return random.below(4);
    if (choice < 4) return random.below(5_000);
    return choice === 4 ? 0xffff_ffff : random.below(0x7fff_ffff);
  };
  for (let round = 0; round < 12; round++) {
    const peer = await RawPeer.greeted(node.address);
    const count = 25;
    for (let slot = 0; slot < count; slot++) {
      const partitions = Array.from({ length: 1 + random.below(5) }, () => ({
        topicId: random.below(4) > 0 ? topicId : number(),
        partition: random.below(4) > 0 ? 0 : number(),
        offset: random.below(3) > 0 ? random.below(900) : number() * (random.below(2) + 1),
        bytesMax: number(),
      }));
      const limits = { bytesMax: number(), bytesMin: random.below(3) * number(), waitMs: random.below(3) };
      const message = { partitions, ...limits, checked: random.below(3) === 0 };
      const fields = { kind: Kind.REQ, method: fetch.id, codec: taskd.FetchRequest, message };
      const bytes = Buffer.from(frameBytes({ ...fields, correlation: correlationOf(slot, 1) }));
      // Some requests are no message at all.
      if (random.below(8) === 0) for (let at = 16; at < bytes.length; at++) bytes[at] = random.below(256);
      peer.send(bytes);
    }
    if (round % 3 === 0) peer.socket.resetAndDestroy();
    else await peer.until(() => peer.frames.length === count || peer.closed !== undefined);
    peer.socket.destroy();
  }
  t.ok((await readAll()) > 700, 'it serves as before');
  while (runtime.net.regions.queued > 0) await readAll();
  t.same(
    log.lines.filter(({ level }) => level === 'error'),
    [],
  );
});
