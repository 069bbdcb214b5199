import type { Command } from 'commander';
import { ErrorCode, TaskdError } from '../../base/errors.js';
import { type DeadRecord, parseDeadId } from '../../client/dead-record.js';
import type { DeadFilter } from '../../client/dead-topic.js';
import { ExitCode } from '../exit-codes.js';
import type { Column } from '../output.js';
import { distance, isoInstant, parseInstant } from '../quantities.js';
import { bytesJson, headersJson, shownText } from '../record-format.js';
import type { Session } from './session.js';

/** What the commands for dead letters of groups share. */
export interface DeadFlags {
  readonly group?: string;
  readonly topic?: string;
  readonly error?: string;
  readonly since?: number;
  readonly before?: number;
  readonly perSecond?: number;
  readonly dryRun?: true;
}

export function addFilter(command: Command): Command {
  return command
    .option('--group <group>', 'records of this group instead of runs')
    .option('--topic <topic>', 'with --group: only those of this topic')
    .option('--error <text>', 'with --group: only those whose last error has this text in it')
    .option('--since <instant>', 'with --group: only those that failed at or after it', parseInstant)
    .option('--before <instant>', 'with --group: only those that failed before it', parseInstant);
}

export function hasFilter({ topic, error, since, before }: DeadFlags): boolean {
  return [topic, error, since, before].some((each) => each !== undefined);
}

export function filterOf({ topic, error, since, before }: DeadFlags): DeadFilter {
  return {
    ...(topic === undefined ? {} : { topic }),
    ...(error === undefined ? {} : { error }),
    ...(since === undefined ? {} : { sinceMs: since }),
    ...(before === undefined ? {} : { beforeMs: before }),
  };
}

/** True for the id of a dead letter of a group, which no id of a run looks like. */
export function isDeadRecordId(text: string): boolean {
  try {
    parseDeadId(text);
    return true;
  } catch {
    return false;
  }
}

export async function listDeadRecords(
  { client, output, nowMs }: Session,
  group: string,
  filter: DeadFilter,
  limit: number,
): Promise<undefined> {
  const list = await client.deadRecords.list(group, filter, limit);
  const columns: readonly Column<DeadRecord>[] = [
    ['ID', ({ id }) => id],
    ['FROM', ({ topic, partition, offset }) => `${topic}/${partition}:${offset}`],
    ['KEY', ({ key }) => shownText(key).slice(0, 24)],
    ['TRIES', ({ attempts }) => attempts],
    ['FAILED', ({ lastFailedAtMs }) => distance(lastFailedAtMs, nowMs)],
    ['ERROR', ({ lastError }) => lastError.split('\n', 1)[0]!.slice(0, 80)],
  ];
  output.list(list, columns, deadJson, `no dead letters in group ${group}`);
  return undefined;
}

export async function showDeadRecord({ client, output }: Session, id: string): Promise<undefined> {
  output.one(deadJson(await client.deadRecords.get(id)));
  return undefined;
}

/** Exit code 1 when some were left out. */
export async function replayDeadRecords(
  { client, output }: Session,
  group: string,
  filter: DeadFilter,
  { perSecond = 100, dryRun }: DeadFlags,
): Promise<ExitCode> {
  const { replayed, skipped } = await client.deadRecords.replay(group, filter, { perSecond, dryRun: dryRun === true });
  if (replayed.length + skipped.length === 0) await explainNothing(client, group, filter);
  const rows = [
    ...replayed.map((id) => ({ id, replayed: dryRun !== true, why: dryRun === true ? 'would be replayed' : '' })),
    ...skipped.map(({ id, why }) => ({ id, replayed: false, why })),
  ];
  const columns = [
    ['ID', (row: (typeof rows)[number]) => row.id],
    ['REPLAYED', (row: (typeof rows)[number]) => (row.replayed ? 'yes' : 'no')],
    ['WHY', (row: (typeof rows)[number]) => row.why],
  ] as const;
  output.list(rows, columns, (row) => row, `no dead letters to replay in group ${group}`);
  return skipped.length === 0 ? ExitCode.OK : ExitCode.FAILED;
}

export async function purgeDeadRecords(
  { client, output }: Session,
  group: string,
  filter: DeadFilter,
  { dryRun }: DeadFlags,
): Promise<undefined> {
  const ids = await client.deadRecords.purge(group, filter, { dryRun: dryRun === true });
  if (ids.length === 0) await explainNothing(client, group, filter);
  const what = ids.length === 1 ? '1 dead letter' : `${ids.length} dead letters`;
  const sentence = dryRun === true ? `${what} would be given up` : `${what} given up`;
  output.done(sentence, { purged: ids, dryRun: dryRun === true });
  return undefined;
}

/** Nothing was done: rejects when that letter was gone before, or there is no such group at all. */
async function explainNothing(client: Session['client'], group: string, { ids }: DeadFilter): Promise<void> {
  if (ids === undefined) await client.groups.describe(group);
  else throw new TaskdError(ErrorCode.CONFLICT, `${ids.join(', ')} was replayed or given up before: nothing was done`);
}

function deadJson(dead: DeadRecord): Record<string, unknown> {
  return {
    id: dead.id,
    group: dead.group,
    topic: dead.topic,
    partition: dead.partition,
    offset: dead.offset,
    attempts: dead.attempts,
    firstError: dead.firstError,
    lastError: dead.lastError,
    firstFailedAt: isoInstant(dead.firstFailedAtMs),
    lastFailedAt: isoInstant(dead.lastFailedAtMs),
    replayOf: dead.replayOf ?? null,
    key: bytesJson(dead.key),
    value: dead.isValueLeftOut ? null : bytesJson(dead.value),
    isValueLeftOut: dead.isValueLeftOut ?? false,
    headers: headersJson(dead.headers),
  };
}
