import { readFileSync } from 'node:fs';
import { InvalidArgumentError } from 'commander';
import { parse } from 'yaml';
import { z } from 'zod';
import type { JobDefinition } from '../client/job-definition.js';
import { parseDuration } from './quantities.js';

export interface JobFileEntry {
  readonly app: string;
  readonly name: string;
  readonly job: JobDefinition;
}

const bytesMax = 4 * 1024 * 1024;

const duration = z.union([z.string(), z.number()]).transform((value, context) => {
  try {
    return parseDuration(String(value));
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
    return z.NEVER;
  }
});

const schema = z.array(
  z.strictObject({
    app: z.string().min(1),
    name: z.string().min(1),
    processor: z.string().min(1),
    cron: z.string().optional(),
    zone: z.string().optional(),
    arguments: z.unknown().optional(),
    attempts: z.int().min(1).max(100).optional(),
    delays: z.array(duration).optional(),
    timeout: duration.optional(),
    priority: z.int().min(0).max(9).optional(),
    paused: z.boolean().optional(),
  }),
);

/** The jobs in a YAML file. Throws `InvalidArgumentError` with the place and the fault, before anything is sent. */
export function readJobFile(path: string): JobFileEntry[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new InvalidArgumentError(
      `--file ${path} can not be read (${(error as { code?: string }).code}): is it there?`,
    );
  }
  return parseJobFile(text, path);
}

export function parseJobFile(text: string, path: string): JobFileEntry[] {
  if (text.length > bytesMax) throw new InvalidArgumentError(`${path} has over ${bytesMax} bytes: split it`);
  let document: unknown;
  try {
    document = parse(text, { maxAliasCount: 100 });
  } catch (error) {
    throw new InvalidArgumentError(`${path} is not YAML: ${(error as Error).message.split('\n', 1)[0]}`);
  }
  const checked = schema.safeParse(document);
  if (!checked.success) {
    const { path: place, message } = checked.error.issues[0]!;
    const where = place.length === 0 ? 'the file' : `job ${Number(place[0]) + 1} ${place.slice(1).join('.')}`.trim();
    throw new InvalidArgumentError(`${path}, ${where}: ${message}`);
  }
  return checked.data.map(({ app, name, attempts, delays, timeout, arguments: args, ...rest }) => {
    const retry = {
      ...(attempts === undefined ? {} : { attemptsMax: attempts }),
      ...(delays === undefined ? {} : { delaysMs: delays }),
    };
    const job = {
      ...rest,
      ...(args === undefined ? {} : { arguments: args }),
      ...(timeout === undefined ? {} : { timeoutMs: timeout }),
      ...(Object.keys(retry).length === 0 ? {} : { retry }),
    };
    // Optional fields that are absent stay absent: zod leaves them out.
    return { app, name, job: job as JobDefinition };
  });
}
