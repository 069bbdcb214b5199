import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { methods } from '../../src/wire/methods.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

t.test('every request takes the deadline, and one that opens a stream the credit', (t) => {
  for (const method of methods.values()) {
    if (method.shape === 'oneway') continue;
    const request = method.request.decode(Uint8Array.of(0x78, 5, 0x70, 6)) as { deadlineMs?: number; credit?: number };
    t.equal(request.deadlineMs, 5, method.name);
    if (method.shape === 'stream') t.equal(request.credit, 6, method.name);
    else t.ok(method.deadlineMs > 0, method.name);
  }
  t.end();
});

t.test('the printed table is the one that the programs read', (t) => {
  const text = readFileSync(join(root, 'docs', 'protocol.md'), 'utf8');
  const rows = [...text.matchAll(/^\| (0x[0-9a-f]{4}) +\| (\S+) +\| (\w+) +\| (\w+) +\|/gm)].map((row) => row.slice(1));
  t.same(
    rows,
    [...methods.values()].map(({ id, name, shape, size }) => [
      `0x${id.toString(16).padStart(4, '0')}`,
      name,
      shape,
      size,
    ]),
  );
  t.end();
});
