import fc from 'fast-check';
import t from 'tap';
import { ErrorCode, TaskdError } from '../../src/base/errors.js';
import { Flag, Kind } from '../../src/wire/frame.js';
import { FrameDecoder } from '../../src/wire/frame-decoder.js';
import { openLimits } from '../../src/wire/frame-limits.js';
import { freeGatherBytes, GatherBudget } from '../../src/wire/gather-budget.js';
import { produce } from '../../src/wire/methods.js';
import { frameBytes } from '../support/raw-peer.js';

const peers = 4;
const budgetBytes = 64 * 1024;

const frameOf = (payloadBytes: number): Buffer =>
  frameBytes({ kind: Kind.REQ, method: produce.id, flags: Flag.CRC, payload: [Buffer.alloc(payloadBytes, 7)] });

/** A step of one peer: what it sends, cut where; a damaged frame fails once it is whole. */
const step = fc.record({
  peer: fc.nat(peers - 1),
  payloadBytes: fc.oneof(fc.nat(200), fc.nat(60_000)),
  cuts: fc.array(fc.nat(60_000), { maxLength: 6 }),
  isWhole: fc.boolean(),
  isDamaged: fc.boolean(),
});

t.test('what is taken is what the unfinished frames hold, and all of it comes back', (t) => {
  let refusals = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const budget = new GatherBudget(budgetBytes);
      const open = (): FrameDecoder => new FrameDecoder(openLimits, () => {}, budget);
      const decoders = Array.from({ length: peers }, open);
      for (const { peer, payloadBytes, cuts, isWhole, isDamaged } of steps) {
        const bytes = frameOf(payloadBytes);
        if (isDamaged) bytes[bytes.length - 1]! ^= 1;
        const end = isWhole ? bytes.length : bytes.length - 1;
        const places = [0, ...cuts.map((cut) => Math.min(cut, end)).sort((a, b) => a - b), end];
        try {
          for (let i = 1; i < places.length; i++) decoders[peer]!.feed(bytes.subarray(places[i - 1], places[i]));
        } catch (error) {
          if (!(error instanceof TaskdError)) throw error;
          if (error.code === ErrorCode.BUSY) refusals++;
          decoders[peer]!.stop();
          decoders[peer] = open();
        }
        let held = 0;
        for (const { capacityBytes } of decoders) if (capacityBytes > freeGatherBytes) held += capacityBytes;
        if (budget.bytes !== held || held > budgetBytes) throw new Error(`${budget.bytes} taken, ${held} held`);
      }
      for (const decoder of decoders) {
        decoder.stop();
        decoder.stop();
      }
      return budget.bytes === 0;
    }),
    { numRuns: 300 },
  );
  t.ok(refusals > 0, `${refusals} refusals`);
  t.end();
});

t.test('a complete frame gives its bytes back, and one that lies whole in its chunk takes none', (t) => {
  const budget = new GatherBudget(budgetBytes);
  const takenAt: number[] = [];
  const decoder = new FrameDecoder(openLimits, () => takenAt.push(budget.bytes), budget);
  const bytes = frameOf(50_000);
  decoder.feed(bytes);
  decoder.feed(bytes.subarray(0, 30_000));
  t.equal(budget.bytes, decoder.capacityBytes);
  decoder.feed(bytes.subarray(30_000));
  t.same(takenAt, [0, 0]);
  t.equal(budget.bytes, 0);
  t.end();
});

t.test('who would need more than is left is refused; small frames never are', (t) => {
  const budget = new GatherBudget(budgetBytes);
  const open = (): FrameDecoder => new FrameDecoder(openLimits, () => {}, budget);
  const [holder, other, small] = [open(), open(), open()];
  holder.feed(frameOf(60_000).subarray(0, 50_000));
  const held = budget.bytes;
  t.throws(() => other.feed(frameOf(60_000).subarray(0, 50_000)), {
    code: ErrorCode.BUSY,
    message: /65536 bytes \(gatheredBytesMax\)/,
  });
  t.equal(budget.bytes, held, 'a refusal takes nothing');
  other.stop();
  t.equal(budget.bytes, held);
  const call = frameOf(1_000);
  for (const byte of call) small.feed(Uint8Array.of(byte));
  t.equal(small.gatheredBytes, 0);
  holder.stop();
  open().feed(frameOf(60_000).subarray(0, 50_000));
  t.ok(budget.bytes > 0, 'what was given back serves the next');
  t.end();
});

t.test('the buffer of a large frame serves again, but not before the turn has ended', (t) => {
  const budget = new GatherBudget(1 << 20);
  const seen: Buffer[] = [];
  const decoder = new FrameDecoder(openLimits, (frame) => seen.push(frame.payload), budget);
  const feed = (payload: number): void => {
    const bytes = frameBytes({ kind: Kind.REQ, method: produce.id, payload: [Buffer.alloc(50_000, payload)] });
    decoder.feed(bytes.subarray(0, 30_000));
    decoder.feed(bytes.subarray(30_000));
  };
  feed(1);
  feed(2);
  t.equal(seen[0]![49_999], 1, 'a view holds until the turn ends');
  t.equal(seen[1]![0], 2);
  budget.recycle();
  feed(3);
  t.ok(seen[2]!.buffer === seen[0]!.buffer || seen[2]!.buffer === seen[1]!.buffer);
  t.equal(seen[2]![49_999], 3);
  for (const byte of frameOf(2_000)) decoder.feed(Uint8Array.of(byte));
  t.ok(seen[3]!.equals(Buffer.alloc(2_000, 7)));
  t.equal(budget.bytes, 0);
  t.end();
});

t.test('large frames that never end leave a quarter to ordinary ones', (t) => {
  const budget = new GatherBudget(16 * 1024 * 1024);
  const open = (): FrameDecoder => new FrameDecoder(openLimits, () => {}, budget);
  const large = frameOf(8 * 1024 * 1024);
  const holders: FrameDecoder[] = [];
  t.throws(
    () => {
      for (;;) {
        holders.push(open());
        holders.at(-1)!.feed(large.subarray(0, large.length - 1));
      }
    },
    { code: ErrorCode.BUSY },
  );
  holders.at(-1)!.stop();
  let frames = 0;
  const others = Array.from({ length: 12 }, () => new FrameDecoder(openLimits, () => frames++, budget));
  const ordinary = frameOf(200_000);
  for (const other of others) other.feed(ordinary.subarray(0, 150_000));
  for (const other of others) other.feed(ordinary.subarray(150_000));
  t.equal(frames, 12);
  t.end();
});
