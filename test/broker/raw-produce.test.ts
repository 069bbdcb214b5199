import { gzipSync } from 'node:zlib';
import t from 'tap';
import { writeU32 } from '../../src/base/bytes.js';
import { errorCodeName } from '../../src/base/errors.js';
import { batchBody, Codec, codecOf } from '../../src/batch/body.js';
import { BatchClass, type ProducerFields, readBatch } from '../../src/batch/header.js';
import { readRecords } from '../../src/batch/record.js';
import { Topics } from '../../src/client/topics.js';
import type { Address } from '../../src/runtime/net.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { Kind } from '../../src/wire/frame.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { fetch, initProducer, produce } from '../../src/wire/methods.js';
import { BrokerNode, brokerAndClient, ClientKit } from '../support/broker-node.js';
import { altered, batchOf, batchWithBody } from '../support/produce-payload.js';
import { frameBytes, RawPeer } from '../support/raw-peer.js';

/** A client made of a socket, one request after the other. */
class RawProducer {
  readonly #peer: RawPeer;
  readonly #topicId: number;

  constructor(peer: RawPeer, topicId: number) {
    this.#peer = peer;
    this.#topicId = topicId;
  }

  static async at(address: Address, topicId: number): Promise<RawProducer> {
    return new RawProducer(await RawPeer.greeted(address), topicId);
  }

  get isCut(): boolean {
    return this.#peer.closed !== undefined;
  }

  /** `ok`, `duplicate`, the name of the error's code, or `cut`. */
  async send(payload: Uint8Array, request: Partial<taskd.IProduceRequest> = {}): Promise<string> {
    const message = { topicId: this.#topicId, partition: 0, ...request };
    const answer = await this.#peer.ask(produce.id, taskd.ProduceRequest, message, [payload]);
    if (answer !== 'ok') return answer;
    const { meta } = this.#peer.frames.at(-1)!;
    return taskd.ProduceResponse.decode(Buffer.from(meta)).duplicate ? 'duplicate' : 'ok';
  }

  async fetch(offset: number): Promise<string> {
    const partitions = [{ topicId: this.#topicId, partition: 0, offset }];
    const answer = await this.#peer.ask(fetch.id, taskd.FetchRequest, { partitions });
    if (answer !== 'ok') return answer;
    const { meta } = this.#peer.frames.at(-1)!;
    const code = taskd.FetchResponse.decode(Buffer.from(meta)).partitions[0]?.error?.code;
    return code ? errorCodeName(code) : 'ok';
  }

  end(): void {
    this.#peer.socket.destroy();
  }
}

const records = [{ value: Buffer.from('a') }, { value: Buffer.from('b') }];
const good = batchOf(records);
const by = (producerId: number, baseSequence: number, producerEpoch = 0): Uint8Array =>
  batchOf(records, { producerId, producerEpoch, baseSequence } as Partial<ProducerFields>);

function flipped(at: number): Uint8Array {
  const copy = good.slice();
  copy[at < 0 ? copy.length + at : at]! ^= 1;
  return copy;
}

/** A copy that announces another length than it has, with a header CRC that fits. */
const announcing = (length: number): Uint8Array => altered(good, 16, 32, length);

t.test('producer ids that were never given out take no place in a partition', async (t) => {
  const { node, client } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('target', 1, false);
  const raw = await RawProducer.at(node.address, topicId);
  t.teardown(() => raw.end());
  t.equal(await raw.send(by(1, 0)), 'UNKNOWN_PRODUCER', 'none was asked for yet');
  const given = await client.topics.ask(initProducer, {});
  for (let i = 0; i < 100; i++) t.equal(await raw.send(by(5_000_000 + i, 0)), 'UNKNOWN_PRODUCER');
  t.equal(await raw.send(by(given.producerId, 0)), 'ok');
  t.equal(await raw.send(by(given.producerId, 0)), 'duplicate');
});

t.test('from a raw socket: each lie has its code, and the connection goes on', async (t) => {
  const { node, client } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('target', 1, false);
  const raw = await RawProducer.at(node.address, topicId);
  t.teardown(() => raw.end());
  // A whole block of ids is taken with the first one.
  await client.topics.ask(initProducer, {});
  const groups = await client.topics.named('__groups');
  const headers = Array.from({ length: 65 }, () => ({ name: 'h', value: Buffer.of(1) }));
  const cases: [string, string, Uint8Array, Partial<taskd.IProduceRequest>?][] = [
    ['nothing', 'INVALID', new Uint8Array(0)],
    ['the header under a wrong CRC', 'MALFORMED', flipped(0)],
    ['a header field under a wrong CRC', 'MALFORMED', flipped(60)],
    ['the body under a wrong CRC', 'MALFORMED', flipped(-1)],
    ['the magic', 'MALFORMED', altered(good, 12, 32, 7)],
    ['a count above', 'MALFORMED', altered(altered(good, 72, 32, 3), 64, 64, 2)],
    ['a count below', 'MALFORMED', altered(altered(good, 72, 32, 1), 64, 64, 0)],
    ['no records', 'MALFORMED', altered(good, 72, 32, 0)],
    ['an absurd count', 'MALFORMED', altered(good, 72, 32, 0xffff_ffff)],
    ['an absurd length', 'TOO_LARGE', announcing(0xffff_ffff)],
    ['a length below the header', 'MALFORMED', announcing(10)],
    ['a length beyond the payload', 'MALFORMED', announcing(good.length + 1)],
    ['a length that cuts a record', 'MALFORMED', announcing(good.length - 1)],
    ['something behind the batch', 'MALFORMED', Buffer.concat([good, Buffer.of(1, 2, 3)])],
    ['another format', 'MALFORMED', altered(good, 84, 16, 9)],
    ['a timestamp at 2^53', 'MALFORMED', altered(good, 40, 32, 0x0020_0000)],
    ['an offset at 2^53', 'MALFORMED', altered(good, 24, 32, 0x0020_0000)],
    ['sequences that run backwards', 'MALFORMED', altered(altered(good, 56, 64, 5), 64, 64, 4)],
    ['an unknown codec', 'INVALID', altered(good, 82, 16, 3)],
    ['a control batch', 'INVALID', altered(good, 82, 16, 0x08)],
    ['a delayed batch', 'INVALID', altered(good, 82, 16, 0x10)],
    ['a mover batch', 'FORBIDDEN', altered(good, 82, 16, 0x20)],
    ['the producer id of a mover', 'FORBIDDEN', altered(good, 48, 64, 2 ** 48)],
    ['unknown attributes', 'INVALID', altered(good, 82, 16, 0x40)],
    ['the class of an owner', 'INVALID', altered(good, 82, 16, BatchClass.OWNER << 8)],
    ['a request of another class', 'INVALID', good, { batchClass: 2 }],
    ['a class that there is not', 'INVALID', good, { batchClass: 9 as taskd.BatchClass }],
    ['an unknown topic', 'NOT_FOUND', good, { topicId: 4_000_000_000 }],
    ['an unknown partition', 'NOT_FOUND', good, { partition: 1 }],
    ['the log of the cluster', 'FORBIDDEN', good, { topicId: 0 }],
    ['the log of the groups', 'FORBIDDEN', good, { topicId: groups.topicId }],
    ['too many headers', 'TOO_LARGE', batchOf([{ headers }])],
    ['a key above its limit', 'TOO_LARGE', batchOf([{ key: Buffer.alloc(65_537) }])],
    ['a record above its limit', 'TOO_LARGE', batchOf([{ value: Buffer.alloc(4 * 1024 * 1024) }])],
    ['a body that is no records', 'MALFORMED', batchWithBody(Buffer.alloc(30, 0xff), 1)],
    ['a producer that nobody knows', 'UNKNOWN_PRODUCER', by(77, 9)],
  ];
  for (const [name, code, payload, request] of cases) t.equal(await raw.send(payload, request), code, name);
  t.equal(await raw.send(by(5, 0)), 'ok');
  t.equal(await raw.send(by(5, 0)), 'duplicate', 'the same again is a repeat');
  t.equal(await raw.send(by(5, 1)), 'OUT_OF_ORDER_SEQUENCE', 'overlapping sequences');
  t.equal(await raw.send(by(5, 5)), 'OUT_OF_ORDER_SEQUENCE', 'a gap');
  t.equal(await raw.send(by(5, 0, 3)), 'ok', 'another epoch');
  t.equal(await raw.send(by(5, 2, 0)), 'PRODUCER_FENCED', 'the old epoch');
  t.equal(await raw.send(by(5, 4, 4)), 'OUT_OF_ORDER_SEQUENCE', 'a new epoch begins at 0');
  t.equal(await raw.fetch(1), 'ok');
  t.equal(await raw.fetch(6), 'OFFSET_OUT_OF_RANGE');
  t.equal(await raw.fetch(Number.MAX_SAFE_INTEGER), 'OFFSET_OUT_OF_RANGE');
  t.equal(await raw.send(altered(good, 40, 64, Number.MAX_SAFE_INTEGER)), 'ok', 'a time of its own is its own affair');
  t.notOk(raw.isCut);
});

t.test('compressed garbage and bombs never reach a log', async (t) => {
  const { node, client } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('target', 1, false);
  const raw = await RawProducer.at(node.address, topicId);
  t.teardown(() => raw.end());
  const asGzip = (body: Uint8Array): Uint8Array => altered(batchWithBody(body, 3), 82, 16, Codec.GZIP);
  t.equal(await raw.send(asGzip(Buffer.alloc(100, 9))), 'MALFORMED');
  t.equal(await raw.send(asGzip(gzipSync(Buffer.alloc(100)))), 'MALFORMED', 'another count of records');
  t.equal(await raw.send(asGzip(gzipSync(Buffer.alloc(65 * 1024 * 1024)))), 'TOO_LARGE');
  t.equal(await raw.send(asGzip(gzipSync(batchOf([...records, ...records.slice(1)]).subarray(88)))), 'ok');
  const request = { partitions: [{ topicId, partition: 0, offset: 1 }] };
  const { payload } = await client.connections.to(node.address).call(fetch, request);
  const header = readBatch(payload, 0);
  if (typeof header === 'string') throw new Error(header);
  t.equal(header.baseOffset, 1);
  t.match(codecOf(header), Codec.GZIP);
});

t.test('a frame that lies about itself cuts its connection and no other', async (t) => {
  const { node, client } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('target', 1, false);
  const other = await RawProducer.at(node.address, topicId);
  t.teardown(() => other.end());
  const message = { topicId, partition: 0 };
  const frame = frameBytes({
    kind: Kind.REQ,
    method: produce.id,
    codec: taskd.ProduceRequest,
    message,
    payload: [good],
  });
  const lies: ((copy: Buffer) => void)[] = [
    (copy) => writeU32(copy, 0, 0xffff_ffff),
    (copy) => writeU32(copy, 0, 3),
    (copy) => writeU32(copy, 12, 0xffff_ffff),
    (copy) => copy.fill(0xff, 4, 6),
  ];
  for (const lie of lies) {
    const peer = await RawPeer.greeted(node.address);
    const copy = Buffer.from(frame);
    lie(copy);
    peer.send(copy);
    await peer.until(() => peer.closed !== undefined);
    peer.socket.destroy();
    t.equal(await other.send(good), 'ok');
  }
});

t.test('random changes of good requests: an answer each, and the log opens whole', async (t) => {
  const { node, client, folder, runtime } = await brokerAndClient(t);
  const { topicId } = await client.topics.create('target', 1, false);
  const raw = await RawProducer.at(node.address, topicId);
  const random = new SeededRandom(11);
  let stored = 0;
  for (let i = 0; i < 500; i++) {
    const count = 1 + random.below(4);
    const made = Array.from({ length: count }, () => ({ key: random.bytes(3), value: random.bytes(random.below(40)) }));
    let payload = batchOf(made).slice();
    const changes = random.below(4);
    for (let k = 0; k < changes; k++) payload[random.below(payload.length)]! ^= 1 << random.below(8);
    // With CRCs that fit the gate must look further than those.
    if (changes > 0 && random.below(3) > 0) payload = altered(payload, 84, 16, 1).slice();
    if (random.below(20) === 0) payload = payload.subarray(0, random.below(payload.length));
    const answer = await raw.send(payload);
    if (answer === 'ok') stored++;
    else if (answer === 'cut' || answer === 'INTERNAL') t.fail(`${answer} at ${i}`);
  }
  t.ok(stored > 100, `${stored} were good`);
  t.notOk(raw.isCut);
  raw.end();
  await client.close();
  await node.stop();
  const again = await BrokerNode.start(runtime, folder);
  const kit = new ClientKit(runtime, again.address);
  t.teardown(async () => {
    await kit.close();
    await again.stop();
  });
  const { states } = await new Topics(kit.topics).describe('target');
  t.match(states, [{ problem: undefined }]);
  const caller = kit.connections.to(again.address);
  let batches = 0;
  for (let offset = 0; offset < states[0]!.highWatermark; ) {
    const request = { partitions: [{ topicId, partition: 0, offset }], bytesMax: 1_000_000 };
    const { payload } = await caller.call(fetch, request);
    for (let at = 0; at < payload.length; ) {
      const header = readBatch(payload, at);
      if (typeof header === 'string') throw new Error(header);
      if (codecOf(header) === Codec.NONE) {
        const body = batchBody(payload.subarray(at, at + header.length), header);
        readRecords(body, header.baseOffset, header.recordCount, () => {});
      }
      offset = header.baseOffset + header.recordCount;
      at += header.length;
      batches++;
    }
  }
  t.equal(batches, stored + 2, 'what was taken, and one of the broker at each start');
});
