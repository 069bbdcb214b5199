import fc from 'fast-check';
import t from 'tap';
import { crc32, crc32Range } from '../../src/base/crc32.js';

t.test('the check value of the polynomial', (t) => {
  t.equal(crc32(Buffer.from('123456789')), 0xcbf4_3926);
  t.equal(crc32Range(Buffer.from('x123456789y'), 1, 10), 0xcbf4_3926);
  t.end();
});

t.test('a range has the same number whichever way it is computed', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), fc.nat(300), (bytes, a, b) => {
      const from = Math.min(a, b, bytes.length);
      const to = Math.min(Math.max(a, b), bytes.length);
      return crc32Range(bytes, from, to) === crc32(bytes.subarray(from, to));
    }),
  );
  t.end();
});
