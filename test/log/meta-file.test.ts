import fc from 'fast-check';
import t from 'tap';
import { decodeMeta, encodeMeta } from '../../src/log/meta-file.js';

const meta = { clusterId: 'main-1', diskId: '0123456789abcdef0123456789abcdef' };

t.test('meta comes back as it went in, and is text for people', (t) => {
  t.same(decodeMeta(encodeMeta(meta)), meta);
  t.match(Buffer.from(encodeMeta(meta)).toString(), /^taskd data folder\nformat 1\ncluster main-1\ndisk 0123/);
  t.end();
});

t.test('another format is told by its number, whatever follows', (t) => {
  t.equal(decodeMeta(Buffer.from('taskd data folder\nformat 2\nsomething new')), 2);
  t.end();
});

t.test('every flipped bit and every cut is noticed', (t) => {
  const bytes = encodeMeta(meta);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = Uint8Array.from(bytes);
    changed[bit >> 3]! ^= 1 << (bit & 7);
    if (typeof decodeMeta(changed) === 'object') t.fail(`bit ${bit}`);
  }
  for (let length = 0; length < bytes.length; length++) {
    if (typeof decodeMeta(bytes.subarray(0, length)) === 'object') t.fail(`length ${length}`);
  }
  t.end();
});

t.test('random bytes are no meta', (t) => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => decodeMeta(bytes) === undefined));
  t.end();
});
