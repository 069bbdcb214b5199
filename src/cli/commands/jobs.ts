import type { Command } from 'commander';
import type { Job } from '../../client/job.js';
import type { JobFileEntry } from '../job-file.js';
import type { Column } from '../output.js';
import { distance, duration, isoInstant, parseCount, parseDuration, parseDurations, parseJson } from '../quantities.js';
import { appByApp } from './app-by-app.js';
import { payloadValue, type RetryFlags, retryOf, type WithSession } from './session.js';

interface PutFlags extends RetryFlags {
  readonly file?: string;
  readonly processor?: string;
  readonly cron?: string;
  readonly zone?: string;
  readonly args?: { readonly value: unknown };
  readonly timeout?: number;
  readonly priority?: number;
  readonly paused?: true;
  readonly ifVersion?: number;
}

export function addJobs(program: Command, withSession: WithSession): void {
  const jobs = program.command('jobs').description('jobs: what to run, and when');

  jobs
    .command('put [app] [name]')
    .description('create a job, or change the one of that name; what is running goes on as it was')
    .option('--processor <name>', 'what handles its runs')
    .option('--cron <expression>', '5 or 6 fields; without one the job has no times of its own')
    .option('--zone <name>', 'the IANA zone of the expression (default: UTC)')
    .option('--args <json>', 'what the processor gets', parseJson)
    .option('--timeout <duration>', 'how long one attempt may take', parseDuration)
    .option('--priority <n>', '0 to 9, the higher the sooner', parseCount(0, 9))
    .option('--attempts <n>', 'tries in all', parseCount(1, 100))
    .option('--delays <list>', 'waits before the 2nd, 3rd … try, such as 1s,10s,1m', parseDurations)
    .option('--paused', 'do not fire until "jobs resume"')
    .option('--if-version <n>', 'only if this is its version now', parseCount(0, 999_999_999))
    .option('--file <path>', 'take the jobs from a YAML file instead')
    .addHelpText(
      'after',
      `
Examples:
  taskctl jobs put reports nightly --processor build --cron '0 3 * * *' --zone Europe/Berlin
  taskctl jobs put mail digest --processor send --cron '*/30 * * * * *' --args '{"to":"all"}'
  taskctl jobs put --file jobs.yaml

A file is a list of jobs:
  - app: reports
    name: nightly
    processor: build
    cron: 0 3 * * *
    zone: Europe/Berlin
    arguments: { kind: full }
    attempts: 5
    delays: [10s, 1m]
    timeout: 10m`,
    )
    .action(async (app: string | undefined, name: string | undefined, flags: PutFlags, command: Command) => {
      const entries = flags.file === undefined ? [] : await fromFile(flags.file);
      if (flags.file !== undefined && (app !== undefined || Object.keys(flags).length > 1)) {
        command.error('error: --file says all there is to say; give it alone');
      }
      if (flags.file === undefined) {
        if (app === undefined || name === undefined) command.error('error: give an app and a name, or --file');
        if (flags.processor === undefined) command.error('error: --processor is missing');
        entries.push(entryOf(app!, name!, flags));
      }
      await withSession(async ({ client, output, nowMs }) => {
        const put: Job[] = [];
        for (const entry of entries) put.push(await client.jobs.put(entry.app, entry.name, entry.job));
        if (flags.file === undefined) output.one(output.isJson ? jobJson(put[0]!) : jobFields(put[0]!, nowMs));
        else output.list(put, jobColumns(nowMs), jobJson, 'the file names no jobs');
        return undefined;
      });
    });

  jobs
    .command('ls [app]')
    .description('the jobs of an app, or of all')
    .addHelpText('after', '\nExamples:\n  taskctl jobs ls\n  taskctl jobs ls mail --json')
    .action((app: string | undefined) =>
      withSession(async (session) => {
        const { client, output, nowMs } = session;
        if (app !== undefined) {
          output.list(await client.jobs.list(app), jobColumns(nowMs), jobJson, `no jobs in ${app}`);
          return undefined;
        }
        const { found, exitCode } = await appByApp(session, ({ name }) => client.jobs.list(name));
        output.list(found.flat(), jobColumns(nowMs), jobJson, exitCode === undefined ? 'no jobs' : 'no other jobs');
        return exitCode;
      }),
    );

  jobs
    .command('get <app> <name>')
    .description('all that is known of a job')
    .addHelpText('after', '\nExample:\n  taskctl jobs get mail digest')
    .action((app: string, name: string) =>
      withSession(async ({ client, output, nowMs }) => {
        const job = await client.jobs.get(app, name);
        output.one(output.isJson ? jobJson(job) : jobFields(job, nowMs));
        return undefined;
      }),
    );

  const verbs = [
    ['pause', 'stop firing; what runs goes on to its end', 'is paused'],
    ['resume', 'fire again, from the next time on', 'fires again'],
    ['rm', 'delete a job; its runs that wait are cancelled, those that run go on', 'is deleted'],
  ] as const;
  for (const [verb, description, done] of verbs) {
    jobs
      .command(`${verb} <app> <name>`)
      .description(description)
      .addHelpText('after', `\nExample:\n  taskctl jobs ${verb} mail digest`)
      .action((app: string, name: string) =>
        withSession(async ({ client, output }) => {
          await client.jobs[verb === 'rm' ? 'remove' : verb](app, name);
          output.done(`${app}/${name} ${done}`, { app, name });
          return undefined;
        }),
      );
  }
}

/** YAML and its checks are a third of the program's start; only this needs them. */
async function fromFile(path: string): Promise<JobFileEntry[]> {
  const { readJobFile } = await import('../job-file.js');
  return readJobFile(path);
}

function entryOf(app: string, name: string, flags: PutFlags): JobFileEntry {
  return {
    app,
    name,
    job: {
      processor: flags.processor!,
      ...(flags.args === undefined ? {} : { arguments: flags.args.value }),
      ...(flags.cron === undefined ? {} : { cron: flags.cron }),
      ...(flags.zone === undefined ? {} : { zone: flags.zone }),
      ...(flags.timeout === undefined ? {} : { timeoutMs: flags.timeout }),
      ...(flags.priority === undefined ? {} : { priority: flags.priority }),
      ...(flags.paused === undefined ? {} : { paused: true }),
      ...(flags.ifVersion === undefined ? {} : { expectedVersion: flags.ifVersion }),
      ...retryOf(flags),
    },
  };
}

function jobColumns(nowMs: number): Column<Job>[] {
  return [
    ['APP', (job) => job.app],
    ['NAME', (job) => job.name],
    ['PROCESSOR', (job) => job.processor],
    ['CRON', (job) => job.cron || '-'],
    ['ZONE', (job) => (job.cron === '' ? '-' : job.zone || 'UTC')],
    ['NEXT', (job) => (job.paused ? 'paused' : distance(job.nextFireMs, nowMs))],
    ['FIRES', (job) => job.fires],
    ['VERSION', (job) => job.version],
  ];
}

function jobJson(job: Job): Record<string, unknown> {
  return {
    app: job.app,
    name: job.name,
    version: job.version,
    processor: job.processor,
    arguments: payloadValue(job.arguments),
    cron: job.cron || null,
    zone: job.zone || null,
    attemptsMax: job.attemptsMax,
    delaysMs: job.delaysMs,
    timeoutMs: job.timeoutMs || null,
    priority: job.priority,
    paused: job.paused,
    nextFire: isoInstant(job.nextFireMs),
    fires: job.fires,
    skipped: job.skipped,
    refusal: job.refusal || null,
  };
}

function jobFields(job: Job, nowMs: number): Record<string, unknown> {
  const next = isoInstant(job.nextFireMs);
  return {
    ...jobJson(job),
    attemptsMax: job.attemptsMax || '',
    delaysMs: job.delaysMs.length === 0 ? '' : job.delaysMs.map(duration).join(', '),
    timeoutMs: job.timeoutMs === 0 ? '' : duration(job.timeoutMs),
    paused: job.paused ? 'yes' : '',
    nextFire: next === null ? '' : `${next} (${distance(job.nextFireMs, nowMs)})`,
    skipped: job.skipped || '',
    priority: job.priority || '',
  };
}
