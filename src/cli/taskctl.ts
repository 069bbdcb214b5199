import { TaskdClient } from '../client/client.js';
import { control } from './control.js';
import { ExitCode } from './exit-codes.js';

/** The whole life of the program `taskctl`; `argv` without node and script. */
export async function main(argv: readonly string[]): Promise<void> {
  // Whoever reads our output may stop early (`taskctl … | head`); that is no failure of ours.
  process.stdout.on('error', () => process.exit(ExitCode.OK));
  process.exitCode = await control(argv, {
    sink: {
      out: (text) => void process.stdout.write(text),
      err: (text) => void process.stderr.write(text),
    },
    environment: process.env,
    nowMs: Date.now(),
    connect: (server) => new TaskdClient({ servers: [server] }),
  });
}
