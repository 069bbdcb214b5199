import { Argument, type Command } from 'commander';
import { ExitCode } from '../exit-codes.js';
import { parseCount, parseRunId } from '../quantities.js';
import { runColumns, runFields, runIdArgument, runJson } from './runs.js';
import type { WithSession } from './session.js';

export function addDeadLetters(program: Command, withSession: WithSession): void {
  const dlq = program.command('dlq').description('dead letters: runs that used up their tries');

  dlq
    .command('ls <app>')
    .description('the dead letters of an app, newest first')
    .option('--limit <n>', 'at most so many', parseCount(1, 10_000), 50)
    .addHelpText('after', '\nExample:\n  taskctl dlq ls mail')
    .action((app: string, flags: { readonly limit: number }) =>
      withSession(async ({ client, output, nowMs }) => {
        const list = await client.dead.list(app, flags.limit);
        output.list(list, runColumns(nowMs), runJson, `no dead letters in ${app}`);
        return undefined;
      }),
    );

  dlq
    .command('show')
    .addArgument(runIdArgument())
    .description('a dead letter with its arguments and its last error')
    .addHelpText('after', '\nExample:\n  taskctl dlq show 3:1742')
    .action((id: string) =>
      withSession(async ({ client, output, nowMs }) => {
        const run = await client.dead.get(id);
        output.one(output.isJson ? runJson(run) : runFields(run, nowMs));
        return undefined;
      }),
    );

  dlq
    .command('replay')
    .addArgument(new Argument('[id]', "a run's id").argParser(parseRunId))
    .option('--all <app>', 'all dead letters of an app instead of one')
    .description('run a dead letter again, as a new run with the same arguments')
    .addHelpText(
      'after',
      `
Examples:
  taskctl dlq replay 3:1742
  taskctl dlq replay --all mail`,
    )
    .action(async (id: string | undefined, flags: { readonly all?: string }, command: Command) => {
      const { all } = flags;
      if ((id === undefined) === (all === undefined))
        command.error('error: give the id of a dead letter, or --all <app>');
      await withSession(async ({ client, output }) => {
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
}
