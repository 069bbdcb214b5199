import { CommanderError } from 'commander';
import { parseCommandLine } from './command-line.js';
import { ConfigError, type DaemonConfig, readConfig } from './config.js';
import { ExitCode } from './exit-codes.js';

/** The whole life of the program `taskd`; `argv` without node and script. */
export async function main(argv: readonly string[]): Promise<void> {
  let config: DaemonConfig;
  try {
    const { command, flags } = parseCommandLine(argv, {
      out: (text) => process.stdout.write(text),
      err: (text) => process.stderr.write(text),
    });
    config = readConfig(command, flags, process.env, process.cwd());
  } catch (error) {
    if (error instanceof CommanderError) return leave(error.exitCode === 0 ? ExitCode.OK : ExitCode.USAGE);
    if (error instanceof ConfigError) {
      for (const line of error.lines) process.stderr.write(`taskd: ${line}\n`);
      return leave(ExitCode.USAGE);
    }
    throw error;
  }
  // Everything else is loaded once there is something to start.
  const { Daemon } = await import('./daemon.js');
  await new Daemon(config).run();
}

function leave(code: number): void {
  process.exitCode = code;
}
