import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { methods } from '../../src/wire/methods.js';

/** Of every message, by its name: the fields' names and types. */
function messageFields(): Map<string, { name: string; type: string }[]> {
  const messages = new Map<string, { name: string; type: string }[]>();
  for (const file of readdirSync(join(root, 'proto'))) {
    const text = readFileSync(join(root, 'proto', file), 'utf8');
    for (const [, message, body] of text.matchAll(/^message (\w+) \{([^}]*)\}/gm)) {
      const fields = [...body!.matchAll(/^ *(?:repeated |optional )?(\w+) (\w+) = \d+;/gm)];
      messages.set(
        message!,
        fields.map(([, type, name]) => ({ name: name!, type: type! })),
      );
    }
  }
  return messages;
}

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

t.test('what brokers are asked and answer is described field by field', (t) => {
  const text = readFileSync(join(root, 'docs', 'protocol.md'), 'utf8');
  const messages = messageFields();
  const described = new Set([...text.matchAll(/`(\w+)`/g)].map(([, name]) => name));
  const seen = new Set<string>();
  const missing: string[] = [];
  const look = (message: string): void => {
    if (seen.has(message)) return;
    seen.add(message);
    for (const { name, type } of messages.get(message) ?? []) {
      if (!described.has(name)) missing.push(`${message}.${name}`);
      look(type);
    }
  };
  const rows = [...text.matchAll(/^\| 0x0[23]\d\w +\|.*\| (\w+) → (\w+) +\|$/gm)];
  for (const [, request, answer] of rows) {
    look(request!);
    look(answer!);
  }
  t.ok(seen.size > 50, `${seen.size} messages`);
  t.same(missing, []);
  t.end();
});
