/** How people write quantities on a command line, and how we show them. Pure: the present time is a parameter. */
import { InvalidArgumentError } from 'commander';

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

const unitBytes: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

function toMs(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  return match === null ? Number.NaN : Math.round(Number(match[1]) * unitMs[match[2]!]!);
}

/** `500ms`, `10s`, `1.5m`, `2h`, `7d` in milliseconds. */
export function parseDuration(text: string): number {
  const ms = toMs(text);
  if (!(ms <= 0xffff_ffff)) {
    throw new InvalidArgumentError(
      'a duration is a number and a unit, such as 500ms, 10s, 5m, 2h or 7d (at most 49d).',
    );
  }
  return ms;
}

/** As `parseDuration`, without its limit. */
export function parsePeriod(text: string): number {
  const ms = toMs(text);
  if (Number.isSafeInteger(ms)) return ms;
  throw new InvalidArgumentError('a duration is a number and a unit, such as 500ms, 10s, 5m, 2h or 365d.');
}

/** As `parseBytes`; undefined for what is no size. */
export function sizeOf(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(B|KiB|MiB|GiB|TiB)$/.exec(text);
  const bytes = match === null ? Number.NaN : Math.round(Number(match[1]) * unitBytes[match[2]!]!);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** `512B`, `64KiB`, `10MiB`, `1.5GiB`, `2TiB` in bytes. */
export function parseBytes(text: string): number {
  const bytes = sizeOf(text);
  if (bytes !== undefined) return bytes;
  throw new InvalidArgumentError('a size is a number and a unit, such as 512B, 64KiB, 10MiB, 1.5GiB or 2TiB.');
}

/** A parser that lets `default` pass. */
export function orDefault<T>(parse: (text: string) => T): (text: string) => T | 'default' {
  return (text) => (text === 'default' ? text : parse(text));
}

/** A size for a person, in the largest unit of which there is at least one. */
export function byteSize(bytes: number): string {
  const [unit, size] = Object.entries(unitBytes).findLast(([, each]) => bytes >= each) ?? ['B', 1];
  const value = bytes / size;
  return `${value < 10 && size > 1 ? value.toFixed(1) : Math.floor(value)} ${unit}`;
}

export function parseDurations(text: string): number[] {
  return text.split(',').map((part) => parseDuration(part.trim()));
}

/** An instant: ISO 8601 (without an offset: local time), or milliseconds since 1970. */
export function parseInstant(text: string): number {
  const ms = /^\d{12,14}$/.test(text) ? Number(text) : Date.parse(text);
  if (Number.isNaN(ms) || ms < 0) {
    throw new InvalidArgumentError('an instant is such as 2030-01-31T08:00:00Z, or milliseconds since 1970.');
  }
  return ms;
}

export function parseCount(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d{1,9}$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`it is a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

/** An offset in a partition. */
export function parseOffset(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('an offset is a whole number of 0 or more.');
  return Number(text);
}

/** A run's id, `shard:offset`. */
export function parseRunId(text: string): string {
  if (!/^\d{1,5}:\d{1,15}$/.test(text)) throw new InvalidArgumentError('a run id is shard:offset, such as 3:1742.');
  return text;
}

/** JSON text as the value that it means, in a box: commander makes an empty text of a bare null. */
export function parseJson(text: string): { readonly value: unknown } {
  try {
    return { value: JSON.parse(text) };
  } catch {
    throw new InvalidArgumentError(`it is JSON, such as '{"to":"me"}' (mind the shell: put single quotes around it).`);
  }
}

/** An instant for a program: ISO 8601 in UTC, or null. */
export function isoInstant(ms: number | undefined): string | null {
  return ms === undefined || ms === 0 ? null : new Date(ms).toISOString();
}

/** An instant for a person, as its distance from `nowMs`: `3s ago`, `in 2m`. */
export function distance(ms: number | undefined, nowMs: number): string {
  if (ms === undefined || ms === 0) return '-';
  const gap = Math.abs(ms - nowMs);
  const text = duration(gap);
  return ms <= nowMs ? `${text} ago` : `in ${text}`;
}

/** A duration for a person, in its largest whole unit. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}ms`;
  if (ms < 120_000) return `${Math.floor(ms / 1_000)}s`;
  if (ms < 7_200_000) return `${Math.floor(ms / 60_000)}m`;
  if (ms < 172_800_000) return `${Math.floor(ms / 3_600_000)}h`;
  return `${Math.floor(ms / 86_400_000)}d`;
}
