import fc from 'fast-check';
import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { frameBytesMax } from '../../src/base/limits.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { Encoded } from '../../src/wire/encoded.js';
import { Flag, type Frame, Kind } from '../../src/wire/frame.js';
import { FrameDecoder } from '../../src/wire/frame-decoder.js';
import { helloLimits, openLimits } from '../../src/wire/frame-limits.js';
import { FrameWriter, OutboundFrame } from '../../src/wire/frame-writer.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { fetch, getRun, produce, resolveApp } from '../../src/wire/methods.js';
import { DecoderFuzz } from '../support/decoder-fuzz.js';

interface Seen {
  kind: number;
  method: number;
  correlation: number;
  meta: string;
  payload: string;
}

function see(frame: Frame): Seen {
  return {
    kind: frame.kind,
    method: frame.method,
    correlation: frame.correlation,
    meta: frame.buffer.toString('hex', frame.metaStart, frame.metaEnd),
    payload: frame.payload.toString('hex'),
  };
}

function encode(frames: Partial<OutboundFrame>[]): Buffer {
  const writer = new FrameWriter();
  for (const frame of frames) writer.write(Object.assign(new OutboundFrame(), frame), openLimits);
  return Buffer.concat(writer.take() as Uint8Array[]);
}

function decode(chunks: readonly Uint8Array[]): Seen[] {
  const seen: Seen[] = [];
  const decoder = new FrameDecoder(openLimits, (frame) => seen.push(see(frame)));
  for (const chunk of chunks) decoder.feed(chunk);
  if (decoder.gatheredBytes !== 0) throw new Error('bytes are left');
  return seen;
}

const three = [
  {
    kind: Kind.REQ,
    method: resolveApp.id,
    correlation: 0x0001_0002,
    codec: taskd.ResolveAppRequest,
    message: { app: 'mail' },
    deadlineMs: 300,
  },
  { kind: Kind.PING },
  {
    kind: Kind.RES,
    method: produce.id,
    correlation: 0xffff_ffff,
    payload: [Buffer.alloc(40, 9), Buffer.alloc(3, 8)],
    flags: Flag.CRC,
  },
] as unknown as Partial<OutboundFrame>[];

t.test('a message that was encoded before is the same on the wire', (t) => {
  const fields = { kind: Kind.PUSH, method: fetch.id, correlation: 9, codec: taskd.Credit };
  const message = { pushes: 70_000 };
  const encoded = new Encoded(taskd.Credit.encode(message).finish());
  t.same(encode([{ ...fields, message: encoded }]), encode([{ ...fields, message }]));
  t.end();
});

t.test('frames arrive whole however they are cut', (t) => {
  const bytes = encode(three);
  const whole = decode([bytes]);
  t.equal(whole.length, 3);
  t.equal(whole[2]!.payload, `${'09'.repeat(40)}080808`);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const got = decode([bytes.subarray(0, cut), bytes.subarray(cut)]);
    if (JSON.stringify(got) !== JSON.stringify(whole)) t.fail(`cut at ${cut}`);
  }
  t.same(decode([...bytes].map((byte) => Uint8Array.of(byte))), whole, 'byte by byte');
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length)), (cuts) => {
      const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      const chunks = places.slice(1).map((end, i) => bytes.subarray(places[i], end));
      return JSON.stringify(decode(chunks)) === JSON.stringify(whole);
    }),
    { numRuns: 200 },
  );
  t.end();
});

t.test('a frame that lies whole in its chunk is not copied, and one that does not is copied once', (t) => {
  const bytes = Buffer.allocUnsafeSlow(encode(three).length);
  encode(three).copy(bytes);
  const buffers: Buffer[] = [];
  const decoder = new FrameDecoder(openLimits, (frame) => buffers.push(frame.buffer));
  decoder.feed(bytes);
  t.ok(buffers.every((buffer) => buffer.buffer === bytes.buffer));
  buffers.length = 0;
  decoder.feed(bytes.subarray(0, 20));
  t.equal(decoder.gatheredBytes, 20);
  decoder.feed(bytes.subarray(20));
  t.same(
    buffers.map((buffer) => buffer.buffer === bytes.buffer),
    [false, true, true],
  );
  t.end();
});

t.test('a length over the limit is refused before anything of it is kept', (t) => {
  const header = Buffer.alloc(8);
  const feed = (length: number, method: number, limits = openLimits): FrameDecoder => {
    header.writeUInt32BE(length, 0);
    header[4] = Kind.REQ;
    header.writeUInt16BE(method, 6);
    const decoder = new FrameDecoder(limits, () => t.fail('a frame'));
    decoder.feed(header);
    return decoder;
  };
  t.throws(() => feed(0xffff_ffff, produce.id), { code: ErrorCode.TOO_LARGE });
  t.throws(() => feed(frameBytesMax + 1, produce.id), { code: ErrorCode.TOO_LARGE });
  t.throws(() => feed(2 * 1024 * 1024, getRun.id), { code: ErrorCode.TOO_LARGE }, 'a control method');
  t.throws(() => feed(17 * 1024, produce.id, helloLimits), { code: ErrorCode.TOO_LARGE }, 'before the hello');
  t.throws(() => feed(11, produce.id), { code: ErrorCode.MALFORMED }, 'shorter than its header');
  const decoder = feed(frameBytesMax, produce.id);
  t.ok(decoder.capacityBytes < 1024, 'what is announced is not allocated');
  for (let fed = 0; fed < 100_000; fed += 1_000) decoder.feed(Buffer.alloc(1_000));
  t.ok(decoder.capacityBytes <= 2 * decoder.gatheredBytes, 'the buffer doubles');
  t.end();
});

t.test('a frame that contradicts itself is refused', (t) => {
  const meta = encode([{ kind: Kind.PING }]);
  meta.writeUInt32BE(1, 12);
  t.throws(() => decode([meta]), { code: ErrorCode.MALFORMED }, 'more meta than frame');
  const crc = encode(three.slice(2));
  crc[20]! ^= 1;
  t.throws(() => decode([crc]), { code: ErrorCode.MALFORMED }, 'CRC');
  const short = encode([{ kind: Kind.PING }]);
  short[5] = Flag.CRC;
  t.throws(() => decode([short]), { code: ErrorCode.MALFORMED }, 'no room for a CRC');
  const unknown = encode([{ kind: 99 as Kind }, { kind: Kind.PONG }]);
  t.throws(() => decode([unknown]), { code: ErrorCode.MALFORMED }, 'unknown kind');
  unknown[5] = Flag.IGNORABLE;
  t.match(decode([unknown]), [{ kind: Kind.PONG }], 'unless it may be skipped');
  t.end();
});

t.test('nothing is decoded after stop', (t) => {
  const decoder = new FrameDecoder(openLimits, () => decoder.stop());
  decoder.feed(encode(three));
  t.equal(decoder.gatheredBytes, 0);
  t.end();
});

t.test('random bytes are decoded or refused, and nothing else', (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 0x1_0000_0000);
  const fuzz = new DecoderFuzz(new SeededRandom(seed));
  for (let i = 0; i < 20_000; i++) fuzz.step();
  t.ok(fuzz.frames > 0 && fuzz.refusals > 0, `seed ${seed}: ${fuzz.frames} frames, ${fuzz.refusals} refusals`);
  t.end();
});

t.test('the payload of an answer that crosses chunks goes part by part to who wants it', async (t) => {
  const random = new SeededRandom(11);
  for (let round = 0; round < 60; round++) {
    const frames: { correlation: number; kind: number; payload: Uint8Array; flags: number }[] = [];
    for (let i = 0; i < 12; i++) {
      const kind = random.below(3) === 0 ? Kind.PUSH : Kind.RES;
      const flags = random.below(4) === 0 ? Flag.CRC : 0;
      frames.push({ correlation: i + 1, kind, flags, payload: random.bytes(random.below(3) * random.below(3_000)) });
    }
    const writer = new FrameWriter();
    for (const { kind, flags, correlation, payload } of frames) {
      const out = new OutboundFrame();
      const fields = { kind, flags, correlation, method: fetch.id, payload: [payload] };
      const meta = { codec: taskd.Credit, message: { pushes: correlation } };
      writer.write(Object.assign(out, fields, random.below(5) === 0 ? {} : meta), openLimits);
    }
    const bytes = Buffer.concat(writer.take() as Uint8Array[]);
    const got = new Map<number, Uint8Array[]>();
    const order: number[] = [];
    const decoder = new FrameDecoder(openLimits, (frame) => {
      order.push(frame.correlation);
      got.set(frame.correlation, [Uint8Array.from(frame.payload)]);
    });
    let left = 0;
    decoder.openPayload = (frame, payloadBytes) => {
      t.equal(left, 0);
      if (frame.correlation % 3 === 0) return undefined;
      if (frame.hasMeta) t.equal(frame.decode(taskd.Credit).pushes, frame.correlation);
      const { correlation } = frame;
      left = payloadBytes;
      got.set(correlation, []);
      return (part, isLast) => {
        left -= part.length;
        t.equal(isLast, left === 0);
        got.get(correlation)!.push(Uint8Array.from(part));
        if (isLast) order.push(correlation);
      };
    };
    for (let at = 0; at < bytes.length; ) {
      const to = Math.min(bytes.length, at + 1 + random.below(random.below(2) === 0 ? 40 : 4_000));
      const chunk = Buffer.from(bytes.subarray(at, to));
      decoder.feed(chunk);
      chunk.fill(0xdb);
      at = to;
    }
    t.same(
      order,
      frames.map(({ correlation }) => correlation),
    );
    for (const { correlation, payload } of frames) t.ok(Buffer.concat(got.get(correlation)!).equals(payload));
  }
});
