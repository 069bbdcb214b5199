import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { isTaskdError } from '../base/errors.js';
import type { Files } from '../runtime/files.js';
import { type Address, parseAddress } from '../runtime/net.js';
import { addCluster } from './commands/cluster.js';
import { addConsume } from './commands/consume.js';
import { addDeadLetters } from './commands/dead-letters.js';
import { addDelayed } from './commands/delayed.js';
import { addGroups } from './commands/groups.js';
import { addJobs } from './commands/jobs.js';
import { addLogs, type WithOffline } from './commands/logs.js';
import { addNameServers } from './commands/name-servers.js';
import { addProduce } from './commands/produce.js';
import type { Screen, WithNameServers } from './commands/registry-session.js';
import { addRuns } from './commands/runs.js';
import type { WithSession } from './commands/session.js';
import { addTopics } from './commands/topics.js';
import type { ControlClient } from './control-client.js';
import { ExitCode, exitCodeOf } from './exit-codes.js';
import type { NameServers } from './name-servers.js';
import { Output, type Sink } from './output.js';
import { version } from './version.js';

const defaultServer = '127.0.0.1:7400';

const epilogue = `
Examples:
  taskctl jobs put mail digest --processor send --cron '0 8 * * MON-FRI' --zone Europe/Berlin
  taskctl runs submit mail send --args '{"to":"me@example.org"}' --wait
  taskctl runs ls mail --state running --json
  taskctl dlq ls mail
  taskctl topics create orders --partitions 8
  taskctl produce orders '{"id":1}' --key customer-7
  taskctl consume orders --from-beginning --max 10
  taskctl groups describe billing
  taskctl ns instances billing
  taskctl ns drain billing billing-1
  taskctl --server 127.0.0.1:7400,127.0.0.1:7402 nodes

Exit codes:
  0  done
  1  failed
  2  a flag or an argument is wrong
  3  what was asked for is not there
  4  no server answers
  5  the server refused the request as it is
  6  no answer in time: it may or may not have been done
  7  the run that was waited for did not succeed`;

/** What taskctl is given from outside. */
export interface ControlWorld {
  readonly sink: Sink;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly nowMs: number;
  /** The lines of the standard input. */
  lines(): AsyncIterable<string>;
  /** Rejects when nobody answers there: a person doesn't want to wait as long as a program would. */
  connect(servers: readonly Address[]): Promise<ControlClient>;
  /** Dials nobody before it is asked something. */
  nameServers(servers: readonly Address[]): NameServers;
  /** Absent when the output isn't a terminal. */
  readonly screen?: Screen | undefined;
  /** For commands that need no server. */
  readonly files: Files;
  /** Calls back when a person wants the command to end. */
  onStop(callback: () => void): void;
}

interface GlobalFlags {
  readonly server?: string;
  readonly json?: true;
}

/** Runs one command of taskctl; resolves with its exit code. Everything that it has to say goes to the sink. */
export async function control(argv: readonly string[], world: ControlWorld): Promise<ExitCode> {
  let exitCode: ExitCode = ExitCode.OK;
  const { sink } = world;
  const program = new Command('taskctl')
    .description(
      'Speaks with taskd servers: jobs, runs, dead letters, topics, groups, name servers, and what the cluster is made of.',
    )
    .version(version())
    .exitOverride()
    .configureOutput({
      writeOut: (text) => sink.out(text),
      writeErr: (text) => sink.err(text),
      outputError: (text) =>
        sink.err(
          `taskctl: ${text
            .replace(/^error: /, '')
            .trim()
            .replaceAll('\n', ' ')}${/^error: unknown command/.test(text) ? '; see taskctl --help' : ''}\n`,
        ),
    })
    .option(
      '--server <host:port,...>',
      `name servers of the cluster; standalone is one (env: TASKD_SERVER; default: ${defaultServer})`,
    )
    .option('--json', 'print one JSON document instead of a table')
    .addHelpText('after', epilogue);

  const withSession: WithSession = async (command) => {
    const flags = program.opts<GlobalFlags>();
    const output = new Output(sink, flags.json === true);
    const servers = serversOf(flags, world.environment);
    let client: ControlClient | undefined;
    try {
      client = await world.connect(servers);
      exitCode = (await command({ client, output, nowMs: world.nowMs, onStop: world.onStop })) ?? ExitCode.OK;
    } catch (error) {
      exitCode = exitCodeOf(error);
      const name = isTaskdError(error) ? error.codeName : 'INTERNAL';
      output.failed(name, error instanceof Error ? error.message : String(error));
    } finally {
      await client?.close();
    }
  };
  const withNameServers: WithNameServers = async (command) => {
    const flags = program.opts<GlobalFlags>();
    const output = new Output(sink, flags.json === true);
    const names = world.nameServers(serversOf(flags, world.environment));
    const { nowMs, screen } = world;
    try {
      exitCode = (await command({ names, output, nowMs, screen, onStop: world.onStop })) ?? ExitCode.OK;
    } catch (error) {
      exitCode = exitCodeOf(error);
      const name = isTaskdError(error) ? error.codeName : 'INTERNAL';
      output.failed(name, error instanceof Error ? error.message : String(error));
    } finally {
      await names.close();
    }
  };
  const withOffline: WithOffline = async (command) => {
    const output = new Output(sink, program.opts<GlobalFlags>().json === true);
    try {
      exitCode = await command({ output, sink, files: world.files });
    } catch (error) {
      if (error instanceof CommanderError) throw error;
      exitCode = exitCodeOf(error);
      output.failed(
        isTaskdError(error) ? error.codeName : 'INTERNAL',
        error instanceof Error ? error.message : String(error),
      );
    }
  };
  addJobs(program, withSession);
  addRuns(program, withSession);
  addDeadLetters(program, withSession);
  addTopics(program, withSession);
  addDelayed(program, withSession);
  addProduce(program, withSession, () => world.lines());
  addConsume(program, withSession);
  addGroups(program, withSession);
  addCluster(program, withSession);
  addNameServers(program, withNameServers);
  addLogs(program, withOffline);

  try {
    await program.parseAsync(argv as string[], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error instanceof InvalidArgumentError) sink.err(`taskctl: ${error.message}\n`);
    return error.exitCode === 0 ? ExitCode.OK : ExitCode.USAGE;
  }
  return exitCode;
}

function serversOf(flags: GlobalFlags, environment: ControlWorld['environment']): readonly Address[] {
  const key = flags.server === undefined ? 'TASKD_SERVER' : '--server';
  const text = flags.server ?? environment['TASKD_SERVER'] ?? defaultServer;
  return text.split(',').map((each) => {
    const address = parseAddress(each.trim());
    if (address !== undefined && address.port !== 0) return address;
    throw new InvalidArgumentError(
      `${key} is ${JSON.stringify(text)}: it must be host:port, such as ${defaultServer}, or several with commas`,
    );
  });
}
