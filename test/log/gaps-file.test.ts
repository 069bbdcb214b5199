import fc from 'fast-check';
import t from 'tap';
import type { Gap } from '../../src/log/gaps.js';
import { Gaps } from '../../src/log/gaps.js';
import { decodeGaps, encodeGaps } from '../../src/log/gaps-file.js';

const u32 = fc.nat(0xffff_ffff);
const anyGap: fc.Arbitrary<Gap> = fc
  .record({
    from: fc.maxSafeNat(),
    size: u32,
    segmentBase: fc.maxSafeNat(),
    position: u32,
    resume: fc.option(u32, { nil: undefined }),
  })
  .filter(({ from, size }) => Number.isSafeInteger(from + size))
  .map(({ from, size, ...rest }) => ({ from, to: from + size, ...rest }));

t.test('gaps come back as they went in, and no changed byte is believed', (t) => {
  fc.assert(
    fc.property(fc.array(anyGap, { maxLength: 8 }), fc.nat(), fc.integer({ min: 1, max: 255 }), (gaps, at, flip) => {
      const bytes = encodeGaps(gaps);
      t.same(decodeGaps(bytes), gaps);
      bytes[at % bytes.length]! ^= flip;
      t.equal(decodeGaps(bytes), undefined);
    }),
    { numRuns: 200 },
  );
  t.end();
});

t.test('random bytes are no gaps, and no exception', (t) => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => decodeGaps(bytes) === undefined));
  t.end();
});

t.test('a gap covers those that it holds', (t) => {
  const place = { segmentBase: 0, position: 10, resume: 90 };
  const gaps = new Gaps([{ ...place, from: 5, to: 8 }]);
  gaps.add({ ...place, from: 20, to: 30, segmentBase: 15 });
  t.same(
    [4, 5, 7, 8, 20, 30].map((offset) => gaps.at(offset)?.from),
    [undefined, 5, 5, undefined, 20, undefined],
  );
  t.equal(gaps.beginFor(0, 9), 90);
  t.equal(gaps.beginFor(0, 4), 0);
  t.equal(gaps.limitFor(15, 16), 10);
  t.equal(gaps.limitFor(15, 30), undefined);
  gaps.add({ ...place, from: 4, to: 25 });
  t.equal(gaps.all.length, 1);
  t.end();
});
