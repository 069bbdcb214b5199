import { Command, Option } from 'commander';
import { type Command as CommandName, type Flags, settings } from './config.js';
import { version } from './version.js';

const epilogue = `
Each flag has an environment variable: TASKD_ and its name, such as TASKD_ADMIN_PORT.

Examples:
  taskd standalone
      everything in one process on 127.0.0.1:7400, data in ./taskd-data
  taskd standalone --data /var/lib/taskd --port 7500 --admin-port 7501
  taskd --role=nameserver --listen 127.0.0.1:7410 --admin-port 0
  taskd --role=broker --listen 127.0.0.1:7420 --admin-port 0 --data ./b1 --name-servers 127.0.0.1:7410
  taskd --role=scheduler --listen 127.0.0.1:7430 --admin-port 0 --name-servers 127.0.0.1:7410

Signals: SIGTERM or SIGINT drains for at most 10 s and ends with 0; a second one ends at once.
Exit codes: 0 stopped in good order, 1 failed, 2 a wrong flag or variable, 8 the data folder, 9 the address.`;

/** Reads the command line; throws a `CommanderError` after it has told what is wrong, or has shown the help. */
export function parseCommandLine(
  argv: readonly string[],
  write: { out(text: string): void; err(text: string): void },
): { command: CommandName; flags: Flags } {
  let parsed: { command: CommandName; flags: Flags } | undefined;
  const prepare = (command: Command, name: CommandName): Command => {
    for (const setting of Object.values(settings)) {
      if (setting.commands.includes(name)) command.addOption(new Option(setting.flag, setting.help));
    }
    return command
      .exitOverride()
      .configureOutput({
        writeOut: write.out,
        writeErr: write.err,
        outputError: (text) =>
          write.err(
            `taskd: ${text
              .replace(/^error: /, '')
              .trim()
              .replaceAll('\n', ' ')}\n`,
          ),
      })
      .allowExcessArguments(true)
      .action((flags: Flags) => {
        const extra = command.args[0];
        if (extra !== undefined) {
          command.error(
            `error: there is no command ${JSON.stringify(extra)}; use "taskd standalone" or "taskd --role=…"`,
          );
        }
        if (command.parent !== null && Object.keys(command.parent.opts()).length > 0) {
          command.error('error: flags come after "standalone", such as "taskd standalone --port 7500"');
        }
        parsed = { command: name, flags };
      });
  };
  const program = prepare(new Command('taskd'), 'roles')
    .description('The server of taskd: name server, broker and scheduler, in one process or in several.')
    .version(version())
    .enablePositionalOptions()
    .addHelpText('after', epilogue);
  program.addCommand(
    prepare(new Command('standalone'), 'standalone')
      .description('all roles in one process')
      .addHelpText('after', epilogue),
  );
  program.parse(argv as string[], { from: 'user' });
  return parsed!;
}
