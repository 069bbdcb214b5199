import { Argument, type Command, InvalidArgumentError } from 'commander';
import { ExitCode } from '../exit-codes.js';
import { parseCount, parseRunId } from '../quantities.js';
import {
  addFilter,
  type DeadFlags,
  filterOf,
  hasFilter,
  isDeadRecordId,
  listDeadRecords,
  purgeDeadRecords,
  replayDeadRecords,
  showDeadRecord,
} from './dead-records.js';
import { runColumns, runFields, runJson } from './runs.js';
import type { WithSession } from './session.js';

/** Dead letters of apps are runs, those of groups are records: one vocabulary for both. */
export function addDeadLetters(program: Command, withSession: WithSession): void {
  const dlq = program
    .command('dlq')
    .description('dead letters: runs of an app, and records of a group, that used up their tries');

  addFilter(
    dlq
      .command('ls [app]')
      .description('the dead letters of an app, newest first, or of a group, newest last')
      .option('--limit <n>', 'at most so many', parseCount(1, 10_000), 50),
  )
    .addHelpText(
      'after',
      "\nExamples:\n  taskctl dlq ls mail\n  taskctl dlq ls --group billing --error 'no such customer'",
    )
    .action(async (app: string | undefined, flags: DeadFlags & { readonly limit: number }, command: Command) => {
      const group = oneOf(command, app, flags, '<app>');
      await withSession(async (session) => {
        if (group !== undefined) return listDeadRecords(session, group, filterOf(flags), flags.limit);
        const { client, output, nowMs } = session;
        const list = await client.dead.list(app!, flags.limit);
        output.list(list, runColumns(nowMs), runJson, `no dead letters in ${app}`);
        return undefined;
      });
    });

  dlq
    .command('show')
    .addArgument(letterArgument('<id>'))
    .description('a dead letter with its arguments or its value, and its last error')
    .addHelpText('after', '\nExamples:\n  taskctl dlq show 3:1742\n  taskctl dlq show dlq.billing.orders/2:17')
    .action((id: string) =>
      withSession(async (session) => {
        if (isDeadRecordId(id)) return showDeadRecord(session, id);
        const { client, output, nowMs } = session;
        const run = await client.dead.get(id);
        output.one(output.isJson ? runJson(run) : runFields(run, nowMs));
        return undefined;
      }),
    );

  addFilter(
    dlq
      .command('replay')
      .addArgument(letterArgument('[id]'))
      .option('--all <app>', 'all dead letters of an app instead of one')
      .option('--per-second <n>', 'records a second at most', parseCount(1, 100_000), 100)
      .option('--dry-run', 'only say which records would be replayed'),
  )
    .description('run a dead letter again, as a new run; or give records back to their group, each once')
    .addHelpText(
      'after',
      `
Examples:
  taskctl dlq replay 3:1742
  taskctl dlq replay --all mail
  taskctl dlq replay dlq.billing.orders/2:17
  taskctl dlq replay --group billing --topic orders --dry-run`,
    )
    .action(async (id: string | undefined, flags: DeadFlags & { readonly all?: string }, command: Command) => {
      const { all } = flags;
      const group = oneOf(command, id ?? all, flags, 'the id of a dead letter, --all <app>');
      if (id !== undefined && all !== undefined) command.error('error: give the id of a dead letter, or --all <app>');
      await withSession(async (session) => {
        if (group !== undefined) return replayDeadRecords(session, group, filterOf(flags), flags);
        if (id !== undefined && isDeadRecordId(id)) {
          const { group: owner } = await session.client.deadRecords.get(id);
          return replayDeadRecords(session, owner, { ids: [id] }, flags);
        }
        const { client, output } = session;
        const ids = id === undefined ? (await client.dead.list(all!, 10_000)).map((run) => run.id) : [id];
        const replayed: { readonly run: string; readonly replayOf: string }[] = [];
        for (const dead of ids) {
          const run = await client.dead.replay(dead);
          replayed.push({ run: run.id, replayOf: dead });
        }
        const columns = [
          ['RUN', (item: { readonly run: string }) => item.run],
          ['REPLAYS', (item: { readonly replayOf: string }) => item.replayOf],
        ] as const;
        output.list(replayed, columns, (item) => item, `no dead letters in ${all}`);
        return ExitCode.OK;
      });
    });

  addFilter(
    dlq
      .command('purge')
      .addArgument(new Argument('[id]', 'dlq.GROUP.TOPIC/partition:offset').argParser(parseLetterId))
      .option('--dry-run', 'only say which would be given up'),
  )
    .description('give up dead letters of a group: they are not listed or replayed any more')
    .addHelpText(
      'after',
      `
Examples:
  taskctl dlq purge dlq.billing.orders/2:17
  taskctl dlq purge --group billing --before 2030-01-31T00:00:00Z`,
    )
    .action(async (id: string | undefined, flags: DeadFlags, command: Command) => {
      const group = oneOf(command, id, flags, 'the id of a dead letter');
      if (id !== undefined && !isDeadRecordId(id)) command.error('error: only dead letters of groups can be purged');
      await withSession(async (session) => {
        if (group !== undefined) return purgeDeadRecords(session, group, filterOf(flags), flags);
        const { group: owner } = await session.client.deadRecords.get(id!);
        return purgeDeadRecords(session, owner, { ids: [id!] }, flags);
      });
    });
}

/** The group that is meant; undefined when it is `other` instead. Ends the command unless exactly one was given. */
function oneOf(command: Command, other: string | undefined, flags: DeadFlags, what: string): string | undefined {
  if ((other === undefined) === (flags.group === undefined)) command.error(`error: give ${what}, or --group <group>`);
  if (flags.group === undefined && hasFilter(flags)) {
    command.error('error: --topic, --error, --since and --before go with --group');
  }
  return flags.group;
}

function letterArgument(name: string): Argument {
  return new Argument(name, "a run's id, or dlq.GROUP.TOPIC/partition:offset").argParser(parseLetterId);
}

function parseLetterId(text: string): string {
  if (isDeadRecordId(text)) return text;
  try {
    return parseRunId(text);
  } catch {
    throw new InvalidArgumentError(
      'a dead letter is a run such as 3:1742, or a record such as dlq.billing.orders/2:17.',
    );
  }
}
