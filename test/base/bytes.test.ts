import t from 'tap';
import { readU64, writeU64 } from '../../src/base/bytes.js';

t.test('a 64-bit integer survives up to 2^53 - 1 and is refused above', (t) => {
  const bytes = new Uint8Array(8);
  for (const value of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER]) {
    writeU64(bytes, 0, value);
    t.equal(readU64(bytes, 0), value);
  }
  t.equal(readU64(Uint8Array.of(0, 0x20, 0, 0, 0, 0, 0, 0), 0), undefined, '2^53');
  t.equal(readU64(new Uint8Array(8).fill(255), 0), undefined, '2^64 - 1');
  t.end();
});
