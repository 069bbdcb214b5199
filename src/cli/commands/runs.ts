import { Argument, type Command, InvalidArgumentError } from 'commander';
import type { Run, RunState } from '../../client/run.js';
import { ExitCode } from '../exit-codes.js';
import type { Column } from '../output.js';
import {
  distance,
  duration,
  isoInstant,
  parseCount,
  parseDuration,
  parseDurations,
  parseInstant,
  parseJson,
  parseRunId,
} from '../quantities.js';
import { payloadValue, type RetryFlags, retryOf, type WithSession } from './session.js';

export const runStates: readonly RunState[] = [
  'SCHEDULED',
  'READY',
  'RUNNING',
  'RETRY_WAIT',
  'CANCELLING',
  'SUCCEEDED',
  'CANCELLED',
  'TIMED_OUT',
  'DEAD',
  'REFUSED',
];

interface SubmitFlags extends RetryFlags {
  readonly args?: { readonly value: unknown };
  readonly at?: number;
  readonly after?: number;
  readonly timeout?: number;
  readonly priority?: number;
  readonly wait?: number | true;
}

interface ListFlags {
  readonly state?: RunState[];
  readonly job?: string;
  readonly limit: number;
}

export function addRuns(program: Command, withSession: WithSession): void {
  const runs = program.command('runs').description('submit runs, and see what became of them');

  runs
    .command('submit <app> <processor>')
    .description('submit a run; returns once it is on disk')
    .option('--args <json>', 'what the processor gets', parseJson)
    .option('--at <instant>', 'not before this instant, such as 2030-01-31T08:00:00Z', parseInstant)
    .option('--after <duration>', 'not before so long from now, such as 90s', parseDuration)
    .option('--timeout <duration>', 'how long one attempt may take', parseDuration)
    .option('--priority <n>', '0 to 9, the higher the sooner', parseCount(0, 9))
    .option('--attempts <n>', 'tries in all', parseCount(1, 100))
    .option('--delays <list>', 'waits before the 2nd, 3rd … try, such as 1s,10s,1m', parseDurations)
    .option('--wait [duration]', 'wait for its end, at most so long (60s)', parseDuration)
    .addHelpText(
      'after',
      `
Examples:
  taskctl runs submit mail send --args '{"to":"me@example.org"}'
  taskctl runs submit mail send --after 10m
  taskctl runs submit reports build --at 2030-01-31T08:00:00Z --attempts 5 --delays 10s,1m
  taskctl runs submit mail send --wait 30s    exit code 7 unless it succeeds`,
    )
    .action(async (app: string, processor: string, flags: SubmitFlags, command: Command) => {
      if (flags.at !== undefined && flags.after !== undefined) {
        command.error('error: --at and --after both say when; give one of them');
      }
      await withSession(async ({ client, output, nowMs }) => {
        const { id } = await client.runs.submit(app, {
          processor,
          ...(flags.args === undefined ? {} : { arguments: flags.args.value }),
          ...(flags.at === undefined ? {} : { runAtMs: flags.at }),
          ...(flags.after === undefined ? {} : { delayMs: flags.after }),
          ...(flags.timeout === undefined ? {} : { timeoutMs: flags.timeout }),
          ...(flags.priority === undefined ? {} : { priority: flags.priority }),
          ...retryOf(flags),
        });
        if (flags.wait === undefined) {
          output.done(id, { id });
          return undefined;
        }
        const run = await client.runs.result(id, flags.wait === true ? 60_000 : flags.wait);
        output.one(output.isJson ? runJson(run) : runFields(run, nowMs));
        return run.state === 'SUCCEEDED' ? undefined : ExitCode.RUN_FAILED;
      });
    });

  runs
    .command('ls <app>')
    .description('the runs of an app, newest first')
    .option('--state <list>', `only those in a state: ${runStates.join(', ')}`, parseStates)
    .option('--job <name>', 'only those of a job')
    .option('--limit <n>', 'at most so many', parseCount(1, 10_000), 50)
    .addHelpText(
      'after',
      `
Examples:
  taskctl runs ls mail
  taskctl runs ls mail --state running,retry_wait
  taskctl runs ls mail --job nightly --json | jq '.[].id'`,
    )
    .action((app: string, flags: ListFlags) =>
      withSession(async ({ client, output, nowMs }) => {
        const list = await client.runs.list(app, {
          limit: flags.limit,
          ...(flags.state === undefined ? {} : { states: flags.state }),
          ...(flags.job === undefined ? {} : { job: flags.job }),
        });
        output.list(list, runColumns(nowMs), runJson, `no such runs in ${app}`);
        return undefined;
      }),
    );

  runs
    .command('get')
    .addArgument(runIdArgument())
    .description('all that is known of a run')
    .addHelpText('after', '\nExample:\n  taskctl runs get 3:1742')
    .action((id: string) =>
      withSession(async ({ client, output, nowMs }) => {
        const run = await client.runs.get(id);
        output.one(output.isJson ? runJson(run) : runFields(run, nowMs));
        return undefined;
      }),
    );

  runs
    .command('cancel')
    .addArgument(runIdArgument())
    .description('cancel a run: one that waits never starts, the processor of one that runs is told to stop')
    .addHelpText('after', '\nExample:\n  taskctl runs cancel 3:1742')
    .action((id: string) =>
      withSession(async ({ client, output }) => {
        await client.runs.cancel(id);
        output.done(`${id} is asked to stop`, { id });
        return undefined;
      }),
    );
}

/** A run's id as a command's argument. */
export function runIdArgument(): Argument {
  return new Argument('<id>', "a run's id, such as 3:1742").argParser(parseRunId);
}

function parseStates(text: string): RunState[] {
  return text.split(',').map((part) => {
    const state = runStates.find((known) => known === part.trim().toUpperCase());
    if (state === undefined) throw new InvalidArgumentError(`states are ${runStates.join(', ')}.`);
    return state;
  });
}

/** The columns of a list of runs. */
export function runColumns(nowMs: number): Column<Run>[] {
  return [
    ['ID', (run) => run.id],
    ['STATE', (run) => run.state],
    ['PROCESSOR', (run) => run.processor],
    ['JOB', (run) => run.job || '-'],
    ['TRIES', (run) => `${run.attempt}/${run.attemptsMax || '-'}`],
    ['DUE', (run) => distance(run.dueMs, nowMs)],
    ['TOOK', (run) => (run.endedMs === 0 || run.startedMs === 0 ? '-' : duration(run.endedMs - run.startedMs))],
    ['WORKER', (run) => run.workerId || '-'],
    ['ERROR', (run) => firstLine(run.error)],
  ];
}

/** A run as a program gets it. */
export function runJson(run: Run): Record<string, unknown> {
  return {
    id: run.id,
    app: run.app,
    job: run.job || null,
    processor: run.processor,
    state: run.state,
    attempt: run.attempt,
    attemptsMax: run.attemptsMax,
    lost: run.lost,
    priority: run.priority,
    due: isoInstant(run.dueMs),
    created: isoInstant(run.createdMs),
    started: isoInstant(run.startedMs),
    ended: isoInstant(run.endedMs),
    worker: run.workerId || null,
    arguments: payloadValue(run.arguments),
    result: payloadValue(run.result),
    error: run.error || null,
    waitsFor: run.waitsFor || null,
    replayOf: run.replayOf ?? null,
  };
}

/** A run as a person reads it. */
export function runFields(run: Run, nowMs: number): Record<string, unknown> {
  const when = (ms: number): string => (ms === 0 ? '' : `${isoInstant(ms)} (${distance(ms, nowMs)})`);
  return {
    ...runJson(run),
    tries: `${run.attempt} of ${run.attemptsMax}`,
    attempt: '',
    attemptsMax: '',
    lost: run.lost || '',
    priority: run.priority || '',
    due: when(run.dueMs),
    created: when(run.createdMs),
    started: when(run.startedMs),
    ended: when(run.endedMs),
  };
}

function firstLine(text: string): string {
  const line = text.split('\n', 1)[0]!;
  return line.length > 60 ? `${line.slice(0, 59)}…` : line;
}
