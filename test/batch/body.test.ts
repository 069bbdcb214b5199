import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { batchBody, Codec, codecOf } from '../../src/batch/body.js';
import { BatchBuilder } from '../../src/batch/builder.js';
import { Attribute, BatchClass, type BatchHeader, readBatch } from '../../src/batch/header.js';
import { readRecords } from '../../src/batch/record.js';
import { altered, batchWithBody } from '../support/produce-payload.js';

function gzipped(values: readonly Uint8Array[]): Uint8Array {
  const builder = new BatchBuilder();
  for (const value of values) builder.append({ value });
  return builder.finish({ baseTimestamp: 1_000, batchClass: BatchClass.CLIENT }, Codec.GZIP);
}

const headerOf = (batch: Uint8Array): BatchHeader => {
  const header = readBatch(batch, 0);
  if (typeof header === 'string') throw new Error(header);
  return header;
};

t.test('records come back from a compressed batch', (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 20 }), (values) => {
      const batch = gzipped(values);
      const header = headerOf(batch);
      const read: Uint8Array[] = [];
      readRecords(batchBody(batch, header), 0, header.recordCount, ({ value }) => read.push(value!));
      return Buffer.compare(Buffer.concat(read), Buffer.concat(values)) === 0 && read.length === values.length;
    }),
  );
  t.end();
});

t.test('a batch is compressed only when that makes it smaller', (t) => {
  const plain = gzipped([Buffer.from('x')]);
  t.equal(codecOf(headerOf(plain)), Codec.NONE);
  const packed = gzipped([Buffer.alloc(10_000, 'x')]);
  t.equal(codecOf(headerOf(packed)), Codec.GZIP);
  t.ok(packed.length < 300);
  t.end();
});

t.test('what can not be unpacked is an error that says so, whatever the bytes', (t) => {
  const asGzip = (body: Uint8Array): Uint8Array => altered(batchWithBody(body, 1), 82, 16, Codec.GZIP);
  const bomb = asGzip(gzipSync(Buffer.alloc(65 * 1024 * 1024)));
  t.ok(bomb.length < 100_000);
  t.throws(() => batchBody(bomb, headerOf(bomb)), { name: 'RecordError', message: /67108864/ });
  const strange = altered(batchWithBody(Buffer.of(1, 2), 1), 82, 16, Attribute.CODEC_MASK);
  t.throws(() => batchBody(strange, headerOf(strange)), { name: 'RecordError', message: /codec 7/ });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), (body) => {
      const batch = asGzip(body);
      try {
        batchBody(batch, headerOf(batch));
      } catch (error) {
        return (error as Error).name === 'RecordError';
      }
      return true;
    }),
  );
  t.end();
});
