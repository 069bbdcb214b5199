import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { ErrorCode, TaskdError } from '../../src/base/errors.js';
import { batchBody, Codec } from '../../src/batch/body.js';
import { BatchClass, readHeader } from '../../src/batch/header.js';
import { type ProducedBatch, readProduced } from '../../src/broker/produced-batches.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { ProduceFuzz } from '../support/produce-fuzz.js';
import { altered, batchOf, batchWithBody, resealed } from '../support/produce-payload.js';

const client = { batchClass: BatchClass.CLIENT, internal: false };
const good = batchOf([{ value: Buffer.from('a') }, { value: Buffer.from('b') }], { producerId: 5, baseSequence: 3 });

/** The name of the error's code, or `ok`. */
function outcome(
  payload: Uint8Array,
  destination: typeof client | { batchClass: BatchClass; internal: boolean } = client,
): string {
  try {
    readProduced(payload, destination);
    return 'ok';
  } catch (error) {
    if (error instanceof TaskdError) return error.codeName;
    throw error;
  }
}

t.test('good batches pass, one or more', (t) => {
  t.equal(outcome(good), 'ok');
  const next = altered(altered(good, 56, 64, 5), 64, 64, 6);
  const batches: ProducedBatch[] = readProduced(Buffer.concat([good, next]), client);
  t.same(
    batches.map(({ header }) => header.baseSequence),
    [3, 5],
  );
  t.same(Buffer.from(batches[1]!.bytes), Buffer.from(next));
  t.end();
});

t.test('each lie is refused, with the code that fits', (t) => {
  t.equal(outcome(new Uint8Array(0)), 'INVALID', 'nothing');
  t.equal(outcome(good.subarray(0, 60)), 'MALFORMED', 'a piece of a header');
  t.equal(outcome(good.subarray(0, good.length - 1)), 'MALFORMED', 'cut');
  t.equal(outcome(altered(good, 16, 32, good.length + 1)), 'MALFORMED', 'a length beyond the payload');
  t.equal(outcome(altered(good, 16, 32, 87)), 'MALFORMED', 'a length below the header');
  t.equal(outcome(altered(good, 16, 32, 0xffff_ffff)), 'TOO_LARGE', 'an absurd length');
  t.equal(outcome(altered(good, 12, 32, 0)), 'MALFORMED', 'the magic');
  t.equal(outcome(altered(good, 84, 16, 2)), 'MALFORMED', 'the format');
  t.equal(outcome(altered(good, 86, 16, 1)), 'INVALID', 'what must be 0');
  t.equal(outcome(altered(good, 72, 32, 0)), 'MALFORMED', 'no records');
  t.equal(outcome(altered(good, 72, 32, 65_536)), 'MALFORMED', 'too many records');
  t.equal(outcome(altered(altered(good, 72, 32, 3), 64, 64, 5)), 'MALFORMED', 'a count that the body does not have');
  t.equal(outcome(altered(altered(good, 72, 32, 1), 64, 64, 3)), 'MALFORMED', 'a count below the body');
  t.equal(outcome(altered(good, 64, 64, 9)), 'INVALID', 'sequences that are not as many as the records');
  t.equal(outcome(altered(good, 48, 64, 2 ** 48)), 'FORBIDDEN', 'the producer id of a mover');
  t.equal(outcome(altered(good, 82, 16, 0x20)), 'FORBIDDEN', 'a mover batch');
  for (const bits of [0x08, 0x10, 0x02, 0x07, 0x40, 0x80, 0x0400, 0x8000]) {
    t.equal(outcome(altered(good, 82, 16, bits)), 'INVALID', `attributes 0x${bits.toString(16)}`);
  }
  t.equal(outcome(altered(good, 82, 16, BatchClass.OWNER << 8)), 'INVALID', 'another class than the request');
  const flipped = good.slice();
  flipped[good.length - 1]! ^= 1;
  t.equal(outcome(flipped), 'MALFORMED', 'the body');
  t.equal(outcome(Buffer.concat([good, good])), 'INVALID', 'the same sequences twice in a request');
  t.equal(outcome(Buffer.concat([good, Buffer.from('x')])), 'MALFORMED', 'something behind it');
  const free = altered(altered(altered(good, 48, 64, 0), 56, 64, 0), 64, 64, 1);
  t.equal(outcome(Buffer.concat(new Array(65).fill(free))), 'TOO_LARGE', 'too many batches');
  t.end();
});

t.test('records are what their readers can read', (t) => {
  const internal = { ...client, internal: true };
  const unreadable = batchWithBody(Buffer.of(2, 0x0b, 0x00), 1);
  t.equal(outcome(unreadable), 'MALFORMED');
  t.equal(outcome(unreadable, internal), 'MALFORMED');
  const headers = Array.from({ length: 65 }, () => ({ name: 'h', value: Buffer.of(1) }));
  t.equal(outcome(batchOf([{ headers }])), 'TOO_LARGE', 'too many headers');
  t.equal(outcome(batchOf([{ headers: headers.slice(1) }])), 'ok');
  t.equal(outcome(batchOf([{ key: Buffer.alloc(65_537) }])), 'TOO_LARGE', 'a key above the limit');
  t.equal(outcome(batchOf([{ key: Buffer.alloc(65_536) }])), 'ok');
  t.equal(outcome(batchWithBody(Buffer.of(5, 0), 1)), 'MALFORMED', 'a record beyond the body');
  t.equal(outcome(batchWithBody(Buffer.alloc(20, 0xff), 1)), 'MALFORMED', 'a length without an end');
  t.equal(
    outcome(batchWithBody(Buffer.alloc(4_194_310, 0).fill(Buffer.of(0x82, 0x80, 0x80, 0x02), 0, 4), 1)),
    'TOO_LARGE',
  );
  t.equal(outcome(batchOf([{ value: Buffer.from('x') }]), internal), 'ok');
  const packed = altered(batchWithBody(gzipSync(Buffer.of(0)), 1), 82, 16, Codec.GZIP);
  t.equal(outcome(packed), 'ok', 'one empty record, compressed');
  t.equal(outcome(packed, internal), 'INVALID', 'internal topics are never compressed');
  t.end();
});

t.test('a compressed batch is one that its readers can unpack', (t) => {
  const asGzip = (body: Uint8Array, count: number, first = 0): Uint8Array => {
    const batch = altered(batchWithBody(body, count), 82, 16, Codec.GZIP);
    return altered(altered(batch, 56, 64, first), 64, 64, first + count - 1);
  };
  const records = (count: number, bytes: number): Uint8Array => {
    const record = batchOf([{ value: new Uint8Array(bytes) }]).subarray(88);
    return Buffer.concat(new Array(count).fill(record));
  };
  const fifty = gzipSync(records(50, 1_000));
  t.equal(outcome(asGzip(fifty, 50)), 'ok');
  t.equal(outcome(asGzip(Buffer.alloc(100, 9), 3)), 'MALFORMED', 'no gzip');
  t.equal(outcome(asGzip(new Uint8Array(0), 1)), 'MALFORMED', 'nothing');
  t.equal(outcome(asGzip(fifty.subarray(0, -3), 50)), 'MALFORMED', 'cut short');
  t.equal(outcome(asGzip(fifty, 49)), 'MALFORMED', 'fewer records announced');
  t.equal(outcome(asGzip(fifty, 51)), 'MALFORMED', 'more records announced');
  t.equal(outcome(asGzip(gzipSync(Buffer.of(2, 0x0b, 0x00)), 1)), 'MALFORMED', 'no records');
  t.equal(outcome(asGzip(gzipSync(records(1, 5_000_000)), 1)), 'TOO_LARGE', 'a record above the limit');
  t.equal(outcome(asGzip(gzipSync(Buffer.alloc(65 * 1024 * 1024)), 1)), 'TOO_LARGE', 'a bomb');
  const large = gzipSync(records(3, 4_000_000));
  const two = Buffer.concat([asGzip(large, 3), asGzip(large, 3, 3)]);
  t.equal(outcome(asGzip(large, 3)), 'ok');
  // A broker unpacks it in one turn.
  const bomb = asGzip(gzipSync(records(16, 4_000_000)), 16);
  t.ok(bomb.length < 70_000);
  t.throws(() => readProduced(bomb, client), {
    code: ErrorCode.TOO_LARGE,
    message: /at most 16777216 bytes unpacked, these take more: put fewer records into a batch/,
  });
  const reader = readHeader(bomb, 0);
  t.equal(
    typeof reader === 'string' ? reader : batchBody(bomb, reader).length,
    records(16, 4_000_000).length,
    'an older log may have it',
  );
  t.equal(outcome(two), 'TOO_LARGE', 'the batches of a request together');
  const lying = Buffer.from(fifty);
  lying.writeUInt32LE(0xffff_ffff, lying.length - 4);
  t.equal(outcome(asGzip(lying, 50)), 'MALFORMED', 'another size than it says');
  t.end();
});

t.test('any change of any bytes is answered with an error or passes, and nothing else happens', (t) => {
  const destination = { ...client, internal: true };
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }), (changes) => {
      const payload = good.slice();
      for (const [at, byte] of changes) payload[at] = byte;
      return typeof outcome(payload, destination) === 'string';
    }),
    { numRuns: 2_000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(40), (body, count) => {
      return typeof outcome(batchWithBody(body, count), destination) === 'string';
    }),
    { numRuns: 2_000 },
  );
  const packed = altered(batchWithBody(gzipSync(good.subarray(88)), 1), 82, 16, Codec.GZIP);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 88, max: packed.length - 1 }), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      (changes) => {
        const payload = packed.slice();
        for (const [at, byte] of changes) payload[at] = byte;
        const answer = outcome(resealed(payload));
        return answer === 'ok' || answer === 'MALFORMED' || answer === 'TOO_LARGE';
      },
    ),
    { numRuns: 2_000 },
  );
  t.end();
});

t.test('damaged payloads: what passes can be read', (t) => {
  const fuzz = new ProduceFuzz(new SeededRandom(3));
  for (let i = 0; i < 5_000; i++) fuzz.step();
  t.ok(fuzz.passed > 500 && fuzz.refusals > 500, `${fuzz.passed} passed, ${fuzz.refusals} refused`);
  t.end();
});
