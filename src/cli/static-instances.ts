import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { ErrorCode, isTaskdError, TaskdError } from '../base/errors.js';
import { defaultNamespace } from '../discovery/instance.js';
import { type InstanceClaim, unversionedFrom } from '../nameserver/instance.js';
import { StaticEntries } from '../nameserver/static-entries.js';
import { parseAddress } from '../runtime/net.js';
import { taskd } from '../wire/generated/messages.js';

const bytesMax = 8 * 1024 * 1024;

const address = z.string().transform((text, context) => {
  const parsed = parseAddress(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: 'custom', message: `${JSON.stringify(text)} is not host:port, such as 10.0.0.1:5432` });
  return z.NEVER;
});

const schema = z.array(
  z.strictObject({
    service: z.string(),
    id: z.string(),
    addresses: z.array(address),
    namespace: z.string().default(defaultNamespace),
    group: z.string().default(''),
    zone: z.string().default(''),
    weight: z.int().min(1).optional(),
    tags: z.array(z.string()).default([]),
    metadata: z.record(z.string(), z.string()).default({}),
  }),
);

/** The instances in a YAML file. Throws INVALID with the place and the fault. */
export function readStaticInstances(path: string): InstanceClaim[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw invalid(`${path} can not be read (${(error as { code?: string }).code}): is it there?`);
  }
  return parseStaticInstances(text, path);
}

export function parseStaticInstances(text: string, path: string): InstanceClaim[] {
  if (text.length > bytesMax) throw invalid(`${path} has over ${bytesMax} bytes: let some instances register`);
  let document: unknown;
  try {
    document = parse(text, { maxAliasCount: 100 });
  } catch (error) {
    throw invalid(`${path} is not YAML: ${(error as Error).message.split('\n', 1)[0]}`);
  }
  const checked = schema.safeParse(document ?? []);
  if (!checked.success) {
    const { path: place, message } = checked.error.issues[0]!;
    const where =
      place.length === 0 ? 'the file' : `instance ${Number(place[0]) + 1} ${place.slice(1).join('.')}`.trim();
    throw invalid(`${path}, ${where}: ${message}`);
  }
  const claims = checked.data.map(({ id, ...fields }, at) => {
    try {
      const instance = new taskd.Instance({ ...fields, instanceId: id, weight: fields.weight ?? 0 });
      return { ...unversionedFrom(instance), version: { incarnation: 0, counter: 0 } };
    } catch (error) {
      if (!isTaskdError(error)) throw error;
      throw invalid(`${path}, instance ${at + 1}: ${error.message}`);
    }
  });
  try {
    new StaticEntries(claims);
  } catch (error) {
    throw invalid(`${path}: ${(error as Error).message}`);
  }
  return claims;
}

function invalid(message: string): TaskdError {
  return new TaskdError(ErrorCode.INVALID, `--static-instances: ${message}`);
}
