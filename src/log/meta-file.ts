/**
 * `meta`: what a data folder is. Text of five lines, so that a person can read it; written once, whole or not at all.
 *
 * ```
 * taskd data folder
 * format 1
 * cluster 5d1c…            letters, digits, dot, dash, underscore
 * disk 0123456789abcdef…   32 hexadecimal digits
 * check 89abcdef           CRC-32 of everything above
 * ```
 */
import { crc32 } from '../base/crc32.js';

export const metaFormat = 1;
export const metaBytesMax = 4_096;

export interface Meta {
  readonly clusterId: string;
  /** 32 hexadecimal digits. */
  readonly diskId: string;
}

const firstLines = /^taskd data folder\nformat (\d{1,9})\n/;
const whole =
  /^(taskd data folder\nformat 1\ncluster ([A-Za-z0-9._-]{1,128})\ndisk ([0-9a-f]{32})\n)check ([0-9a-f]{8})\n$/;

export function encodeMeta(meta: Meta): Uint8Array {
  const text = `taskd data folder\nformat ${metaFormat}\ncluster ${meta.clusterId}\ndisk ${meta.diskId}\n`;
  return Buffer.from(`${text}check ${checkOf(text)}\n`);
}

/** The meta in these bytes; a number when they are of another format (that number); undefined when they are no meta. */
export function decodeMeta(bytes: Uint8Array): Meta | number | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  const format = firstLines.exec(text);
  if (format === null) return undefined;
  if (Number(format[1]) !== metaFormat) return Number(format[1]);
  const match = whole.exec(text);
  if (match === null || checkOf(match[1]!) !== match[4]) return undefined;
  return { clusterId: match[2]!, diskId: match[3]! };
}

/** True for a name that `meta` can hold. */
export function isClusterId(text: string): boolean {
  return /^[A-Za-z0-9._-]{1,128}$/.test(text);
}

function checkOf(text: string): string {
  return crc32(Buffer.from(text)).toString(16).padStart(8, '0');
}
