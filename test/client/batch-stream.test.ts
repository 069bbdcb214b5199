import fc from 'fast-check';
import t from 'tap';
import { writeU64 } from '../../src/base/bytes.js';
import { BatchBuilder } from '../../src/batch/builder.js';
import { BatchClass, type BatchHeader, readBatch, stampBatch } from '../../src/batch/header.js';
import { BatchStream } from '../../src/client/batch-stream.js';

/** A batch as a leader would give it out. */
function batchAt(baseOffset: number, values: readonly Uint8Array[]): Uint8Array {
  const builder = new BatchBuilder();
  for (const value of values) builder.append({ value });
  const batch = builder.finish({ baseTimestamp: 5, batchClass: BatchClass.CLIENT });
  stampBatch(batch, 0, { baseOffset, appendTimestamp: 6, term: 1 });
  return batch;
}

function batches(sizes: readonly number[], firstOffset: number): { batches: Uint8Array[]; end: number } {
  let offset = firstOffset;
  const all = sizes.map((size) => {
    const batch = batchAt(offset, [new Uint8Array(size).fill(size), new Uint8Array(3)]);
    offset += 2;
    return batch;
  });
  return { batches: all, end: offset };
}

class Told {
  readonly offsets: number[] = [];
  ending: number | undefined;
  stopAfter = Number.POSITIVE_INFINITY;
  batch(header: BatchHeader, bytes: Uint8Array): boolean {
    const whole = readBatch(bytes, 0);
    if (typeof whole === 'string') throw new Error(`a damaged batch was told: ${whole}`);
    t.equal(whole.baseOffset, header.baseOffset);
    this.offsets.push(header.baseOffset);
    return this.offsets.length < this.stopAfter;
  }
  endingAt(offset: number): void {
    this.ending = offset;
  }
}

/** Feeds `payload` in parts, each of which is overwritten afterwards. */
function feed(payload: Uint8Array, cuts: readonly number[], offset: number, told: Told): BatchStream {
  const events = {
    batch: (header: BatchHeader, bytes: Uint8Array) => told.batch(header, bytes),
    ending: (next: number) => told.endingAt(next),
  };
  const stream = new BatchStream(offset, payload.length, events);
  const ends = [...new Set(cuts.map((cut) => cut % (payload.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const to of [...ends, payload.length]) {
    const part = new Uint8Array(payload.subarray(from, to));
    stream.feed(part);
    part.fill(0xdb);
    from = to;
  }
  return stream;
}

const sizes = fc.array(fc.nat(400), { minLength: 1, maxLength: 12 });
const cuts = fc.array(fc.nat(6_000), { maxLength: 20 });

t.test('however the payload is cut, each batch is told once, from the one asked for on', async () => {
  fc.assert(
    fc.property(sizes, cuts, fc.nat(30), (sizes, cuts, skip) => {
      const { batches: all, end } = batches(sizes, 10);
      const told = new Told();
      const stream = feed(Buffer.concat(all), cuts, 10 + skip, told);
      const expected = all.map((_, i) => 10 + 2 * i).filter((base) => base + 2 > 10 + skip);
      return (
        stream.problem === undefined &&
        told.offsets.join() === expected.join() &&
        told.ending === Math.max(end, 10 + skip)
      );
    }),
  );
});

t.test('split at every byte', async (t) => {
  const { batches: all } = batches([10, 0, 33], 0);
  const payload = Buffer.concat(all);
  for (let cut = 0; cut <= payload.length; cut++) {
    const told = new Told();
    t.equal(feed(payload, [cut], 0, told).problem, undefined);
    t.same(told.offsets, [0, 2, 4]);
  }
});

t.test('a bit that is turned over is never told: only what comes before it', async () => {
  fc.assert(
    fc.property(sizes, cuts, fc.nat(), fc.nat(7), (sizes, cuts, at, bit) => {
      const payload = Buffer.concat(batches(sizes, 0).batches);
      const place = at % payload.length;
      payload[place]! ^= 1 << bit;
      const told = new Told();
      const stream = feed(payload, cuts, 0, told);
      // The replica-local fields of a header are nobody's business here.
      return stream.problem !== undefined || told.offsets.length === sizes.length;
    }),
  );
});

t.test('random bytes, short payloads, gaps, and a reader that wants no more', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), cuts, (bytes, cuts) => {
      const told = new Told();
      feed(bytes, cuts, 0, told);
      return told.offsets.length === 0;
    }),
  );
  const { batches: all } = batches([5, 6, 7], 0);
  const cut = new Told();
  t.equal(feed(Buffer.concat(all).subarray(0, -1), [], 0, cut).problem, 'short');
  t.same(cut.offsets, [0, 2]);
  const gap = new Told();
  t.equal(feed(Buffer.concat([all[0]!, all[2]!]), [50], 0, gap).problem, 'order');
  t.same(gap.offsets, [0]);
  const absurd = Buffer.from(all[0]!);
  writeU64(absurd, 24, 7);
  t.equal(feed(absurd, [], 0, new Told()).problem, 'headerCrc');
  const enough = new Told();
  enough.stopAfter = 1;
  t.equal(feed(Buffer.concat(all), [70], 0, enough).problem, undefined);
  t.same(enough.offsets, [0]);
});
