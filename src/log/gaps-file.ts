/**
 * The file `gaps` in a log's folder: what a person has decided to live without. Text, so that a person can read it:
 *
 * ```
 * taskd gaps 1
 * gap 5 9 segment 0 byte 801 resume 1200
 * gap 30 40 segment 9 byte 77 resume end
 * check 0a1b2c3d
 * ```
 */
import { crc32 } from '../base/crc32.js';
import type { Files } from '../runtime/files.js';
import type { Gap } from './gaps.js';
import { readRange } from './segment-scan.js';

export const gapsName = 'gaps';
const freshName = 'gaps.new';
const head = 'taskd gaps 1\n';
const bytesMax = 1 << 20;
const linePattern = /^gap (\d{1,16}) (\d{1,16}) segment (\d{1,16}) byte (\d{1,10}) resume (\d{1,10}|end)$/;

/** True for what a repair leaves in a log's folder: its record, and segments that were left out. */
export const isGapsName = (name: string): boolean =>
  name === gapsName || name === freshName || /^\d{20}\.log\.cut$/.test(name);

export function encodeGaps(gaps: readonly Gap[]): Uint8Array {
  const lines = gaps.map(
    ({ from, to, segmentBase, position, resume }) =>
      `gap ${from} ${to} segment ${segmentBase} byte ${position} resume ${resume ?? 'end'}\n`,
  );
  const text = head + lines.join('');
  return Buffer.from(`${text}check ${crc32(Buffer.from(text)).toString(16).padStart(8, '0')}\n`);
}

/** Undefined when it isn't what `encodeGaps` wrote. Never throws. */
export function decodeGaps(bytes: Uint8Array): Gap[] | undefined {
  const whole = Buffer.from(bytes).toString('latin1');
  const at = whole.lastIndexOf('check ');
  const text = whole.slice(0, Math.max(at, 0));
  const check = crc32(Buffer.from(text, 'latin1')).toString(16).padStart(8, '0');
  if (!text.startsWith(head) || whole.slice(at) !== `check ${check}\n`) return undefined;
  const gaps: Gap[] = [];
  for (const line of text.slice(head.length).split('\n').slice(0, -1)) {
    const match = linePattern.exec(line);
    if (match === null) return undefined;
    const [from, to, segmentBase, position] = match.slice(1, 5).map(Number);
    const resume = match[5] === 'end' ? undefined : Number(match[5]);
    if (![from, to, segmentBase].every(Number.isSafeInteger) || to! < from!) return undefined;
    gaps.push({ from: from!, to: to!, segmentBase: segmentBase!, position: position!, resume });
  }
  return gaps;
}

/** What is recorded in `folder`; `'damaged'` when the file can't be believed. */
export async function readGaps(files: Files, folder: string): Promise<readonly Gap[] | 'damaged'> {
  const path = `${folder}/${gapsName}`;
  if (!(await files.exists(path))) return [];
  const handle = await files.open(path, 'read');
  try {
    const size = await handle.size();
    if (size > bytesMax) return 'damaged';
    return decodeGaps(await readRange(handle, 0, size)) ?? 'damaged';
  } finally {
    await handle.close();
  }
}

/** Records `gaps` instead of what is there; durable when it resolves. */
export async function writeGaps(files: Files, folder: string, gaps: readonly Gap[]): Promise<void> {
  const fresh = `${folder}/${freshName}`;
  if (await files.exists(fresh)) await files.remove(fresh);
  const handle = await files.open(fresh, 'create');
  try {
    await handle.write([encodeGaps(gaps)], 0);
    await handle.dataSync();
  } finally {
    await handle.close();
  }
  await files.syncFolder(folder);
  await files.rename(fresh, `${folder}/${gapsName}`);
  await files.syncFolder(folder);
}
