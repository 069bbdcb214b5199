import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { clockConformance } from '../../conformance/clock.js';
import { filesConformance } from '../../conformance/files.js';
import { inNode } from '../../conformance/in-runtime.js';
import { netConformance } from '../../conformance/net.js';
import { processConformance } from '../../conformance/process.js';
import { randomConformance } from '../../conformance/random.js';
import { regionConformance } from '../../conformance/regions.js';

await t.test('clock', (t) => clockConformance(t, inNode));
await t.test('random', (t) => randomConformance(t, inNode));
await t.test('files', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'taskd-files-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  await filesConformance(t, inNode, join(folder, 'new', 'deep'));
});
await t.test('net', (t) => netConformance(t, inNode));
await t.test('regions, read and written', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'taskd-regions-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  await regionConformance(t, inNode, folder);
});
await t.test('process', (t) => processConformance(t, inNode));
