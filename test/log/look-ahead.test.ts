import fc from 'fast-check';
import t from 'tap';
import { placeBatch, stampBatch } from '../../src/batch/header.js';
import { findBatches, findLaterGroup } from '../../src/log/look-ahead.js';
import { TracedFiles } from '../support/traced-files.js';
import { batchOf } from './batches.js';

const placed = { salt: 77, segmentBase: 5 };
const magic = Buffer.from('TKB1');

/** A batch as this replica would put it at `position`. */
function batchAt(position: number, groupStart: number, text: string, salt: number = placed.salt): Buffer {
  const bytes = Buffer.from(batchOf(text));
  stampBatch(bytes, 0, { baseOffset: position, appendTimestamp: 1, term: 1 });
  placeBatch(bytes, 0, { ...placed, salt, position, groupStart });
  return bytes;
}

async function handleOf(bytes: Buffer): ReturnType<TracedFiles['open']> {
  return new TracedFiles(new Map([['/f', { length: bytes.length, bytes }]])).open('/f', 'read');
}

async function positions(bytes: Buffer, from = 0): Promise<number[]> {
  const found: number[] = [];
  for await (const each of findBatches(await handleOf(bytes), placed, from, bytes.length)) found.push(each.position);
  return found;
}

t.test('finds what this replica put there, between anything else', async (t) => {
  const piece = fc.oneof(
    fc.record({ kind: fc.constant('own' as const), text: fc.string({ maxLength: 40 }) }),
    fc.record({ kind: fc.constant('other' as const), text: fc.string({ maxLength: 40 }) }),
    fc.record({ kind: fc.constant('rotten' as const), text: fc.string({ maxLength: 40 }) }),
    fc.record({ kind: fc.constant('noise' as const), bytes: fc.uint8Array({ maxLength: 60 }) }),
    fc.record({ kind: fc.constant('magic' as const) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async (pieces) => {
      let bytes = Buffer.alloc(0);
      const expected: number[] = [];
      for (const each of pieces) {
        const at = bytes.length;
        if (each.kind === 'noise') bytes = Buffer.concat([bytes, each.bytes]);
        else if (each.kind === 'magic') bytes = Buffer.concat([bytes, magic]);
        else {
          const batch = batchAt(at, 0, each.text, each.kind === 'other' ? 1 : placed.salt);
          if (each.kind === 'rotten') batch[batch.length - 1]! ^= 1;
          if (each.kind === 'own') expected.push(at);
          bytes = Buffer.concat([bytes, batch]);
        }
      }
      t.same(await positions(bytes), expected);
    }),
    { numRuns: 200 },
  );
});

t.test('a batch is found wherever a window ends in it', async (t) => {
  const window = 1 << 20;
  for (let position = window - 130; position < window + 20; position += 7) {
    const bytes = Buffer.concat([Buffer.alloc(position, 'TKB'), batchAt(position, 0, 'here'), Buffer.alloc(50, 1)]);
    t.same(await positions(bytes), [position]);
  }
  const large = batchAt(3, 0, 'x'.repeat(2 * window));
  t.same(await positions(Buffer.concat([Buffer.alloc(3), large, batchAt(3 + large.length, 0, 'y')])), [
    3,
    3 + large.length,
  ]);
});

t.test('only a group that began later is proof', async (t) => {
  const bad = 40;
  const first = batchAt(100, 60, 'same group');
  const second = batchAt(100 + first.length, 60 + first.length, 'same group');
  const third = batchAt(100 + first.length + second.length, 0, 'a later group');
  const same = Buffer.concat([Buffer.alloc(100, 9), first, second]);
  t.equal(await findLaterGroup(await handleOf(same), placed, bad, same.length), undefined);
  const later = Buffer.concat([same, third]);
  t.equal((await findLaterGroup(await handleOf(later), placed, bad, later.length))?.position, same.length);
  t.equal(await findLaterGroup(await handleOf(later), placed, bad, later.length - 1), undefined, 'not whole');
});
