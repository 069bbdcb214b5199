import t from 'tap';
import { keyPartition, murmur2 } from '../../src/base/murmur2.js';

const bytes = (text: string) => new TextEncoder().encode(text);

t.test('hashes as Kafka does', (t) => {
  // Kafka's own UtilsTest, as signed integers.
  const golden: [string, number][] = [
    ['21', -973_932_308],
    ['foobar', -790_332_482],
    ['a-little-bit-long-string', -985_981_536],
    ['a-little-bit-longer-string', -1_486_304_829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58_897_971],
    ['abc', 479_470_107],
  ];
  for (const [text, hash] of golden) t.equal(murmur2(bytes(text)) | 0, hash, text);
  t.equal(keyPartition(bytes('21'), 10), (-973_932_308 & 0x7fff_ffff) % 10);
  t.end();
});
