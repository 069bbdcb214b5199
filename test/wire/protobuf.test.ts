import t from 'tap';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { taskd } from '../../src/wire/generated/messages.js';
import protobuf from '../../src/wire/protobuf.js';

const { HelloOk, Heartbeat, ClaimRequest } = taskd;

t.test('64-bit integers are numbers up to 2^53 - 1', (t) => {
  const random = new SeededRandom(5);
  const values = [0, 1, 127, 128, 2 ** 28 - 1, 2 ** 28, 2 ** 32, 2 ** 35, 2 ** 49, 2 ** 53 - 1];
  for (let i = 0; i < 2_000; i++) values.push(Math.floor(random.unit() * 2 ** random.below(54)));
  for (const value of values) {
    const bytes = HelloOk.encode({ incarnation: value }).finish();
    if (HelloOk.decode(bytes).incarnation !== value) t.fail(`${value}`);
    const fixed = Heartbeat.encode({ opaque: value }).finish();
    if (Heartbeat.decode(fixed).opaque !== value) t.fail(`${value} fixed`);
    const reader = new protobuf.Reader(bytes.subarray(1));
    if (value > 0) {
      let expected = 0n;
      for (let i = 0, shift = 0n; i < bytes.length - 1; i++, shift += 7n)
        expected |= BigInt(bytes[i + 1]! & 127) << shift;
      if (expected !== BigInt(value) || reader.uint64() !== (value as never)) t.fail(`${value} as a varint`);
    }
  }
  const list = ClaimRequest.encode({ running: values }).finish();
  t.same(ClaimRequest.decode(list).running, values, 'packed');
  t.equal(protobuf.util.Long, null);
  t.end();
});

t.test('what is no such integer is refused in both directions', (t) => {
  for (const value of [2 ** 53, -1, 1.5, Number.NaN, 5n, '5']) {
    t.throws(() => HelloOk.encode({ incarnation: value as number }), RangeError, String(value));
    t.throws(() => Heartbeat.encode({ opaque: value as number }), RangeError, String(value));
    t.throws(() => ClaimRequest.encode({ running: [value as number] }), RangeError, String(value));
  }
  const varint = (...groups: number[]): Uint8Array => Uint8Array.of(0x10, ...groups);
  const full = new Array<number>(7).fill(0xff);
  t.equal(HelloOk.decode(varint(...full, 0x0f)).incarnation, 2 ** 53 - 1);
  t.throws(() => HelloOk.decode(varint(...full, 0x1f)), RangeError, '2^54 - 1');
  t.throws(() => HelloOk.decode(varint(...full, 0xff, 0xff, 0x01)), RangeError, '2^64 - 1');
  t.throws(() => HelloOk.decode(varint(0xff, 0xff)), RangeError, 'cut off');
  t.throws(() => Heartbeat.decode(Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0x20, 0)), RangeError, '2^53 fixed');
  t.end();
});

t.test('deep nesting, unknown fields and keys that name prototypes do no harm', (t) => {
  let nested: Uint8Array = new Uint8Array(0);
  for (let depth = 0; depth < 200; depth++) nested = Buffer.concat([Uint8Array.of(0x0b), nested, Uint8Array.of(0x0c)]);
  t.throws(() => taskd.Empty.decode(nested), 'groups 200 deep');
  const unknown = taskd.Empty.decode(Uint8Array.of(0xfa, 0x01, 2, 1, 2, 0x78, 5));
  t.equal(unknown.deadlineMs, 5, 'what follows an unknown field is read');
  t.equal(unknown.$unknowns, undefined, 'and the field is not kept');
  const bytes = Buffer.from(taskd.Instance.encode({ metadata: { ab: 'x' } }).finish());
  const key = Buffer.from('__proto__');
  const entry = Buffer.concat([Uint8Array.of(0x0a, key.length), key, Uint8Array.of(0x12, 1, 0x79)]);
  const map = taskd.Instance.decode(Buffer.concat([bytes, Uint8Array.of(0x42, entry.length), entry]));
  t.equal(map.metadata['ab'], 'x');
  t.equal(({} as Record<string, unknown>)['y'], undefined);
  t.equal(Object.getPrototypeOf(map.metadata), Object.prototype);
  t.end();
});
