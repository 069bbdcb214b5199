/** How `taskctl consume` shows a record: as a line by a pattern, or as JSON. */
import { InvalidArgumentError } from 'commander';
import type { ConsumerRecord } from '../client/consumer/consumer-record.js';
import { isoInstant } from './quantities.js';

const fields: Readonly<Record<string, (record: ConsumerRecord) => string>> = {
  t: ({ topic }) => topic,
  p: ({ partition }) => String(partition),
  o: ({ offset }) => String(offset),
  k: ({ key }) => shownText(key),
  v: ({ value }) => shownText(value),
  h: ({ headers }) =>
    Object.entries(headers)
      .map(([name, value]) => `${shownText(Buffer.from(name))}=${shownText(value)}`)
      .join(','),
  T: ({ timestampMs }) => isoInstant(timestampMs) ?? '',
  '%': () => '%',
};

/** A pattern with `%t %p %o %k %v %h %T %%`, `\n`, `\t`; what it makes of a record has no line break at its end. */
export function parseFormat(text: string): (record: ConsumerRecord) => string {
  const parts: (string | ((record: ConsumerRecord) => string))[] = [];
  for (let at = 0; at < text.length; ) {
    const pair = text.slice(at, at + 2);
    const field = pair[0] === '%' ? fields[pair[1] ?? ''] : undefined;
    if (pair[0] === '%' && field === undefined) {
      throw new InvalidArgumentError(
        `"${pair}" is no field: there are %t topic, %p partition, %o offset, %k key, %v value, %h headers, %T time, %%.`,
      );
    }
    if (field !== undefined) parts.push(field);
    else if (pair === '\\n' || pair === '\\t') parts.push(pair === '\\n' ? '\n' : '\t');
    else parts.push(pair[0]!);
    at += field !== undefined || pair === '\\n' || pair === '\\t' ? 2 : 1;
  }
  return (record) => parts.map((part) => (typeof part === 'string' ? part : part(record))).join('');
}

/** A record for a program: texts where bytes are UTF-8, else `{ "base64": … }`. */
export function recordJson(record: ConsumerRecord): Record<string, unknown> {
  return {
    topic: record.topic,
    partition: record.partition,
    offset: record.offset,
    time: isoInstant(record.timestampMs),
    attempt: record.attempt,
    key: bytesJson(record.key),
    value: bytesJson(record.value),
    headers: headersJson(record.headers),
  };
}

export function headersJson(headers: Readonly<Record<string, Buffer>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, bytesJson(value)]));
}

/** Null for no bytes at all, which is not the same as empty ones. */
export function bytesJson(bytes: Uint8Array | undefined): unknown {
  if (bytes === undefined) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return { base64: Buffer.from(bytes).toString('base64') };
  }
}

/** The text of bytes, without what would move a terminal's cursor. */
export function shownText(bytes: Uint8Array | undefined): string {
  if (bytes === undefined) return '';
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, (character) => (character === '\t' ? '\t' : '�'));
}
