/**
 * A worker process of the demo: `node worker.js NAME SERVERS FOLDER STARTS`. Before it does anything for a run it notes
 * the start in the file STARTS, with a plain write, so that a kill can't take the line back.
 */
import { existsSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { RunContext } from '../../src/worker/processor.js';
import { Worker } from '../../src/worker/worker.js';
import { inspectFile } from './files.js';

const [name, servers, folder, startsPath] = process.argv.slice(2) as [string, string, string, string];
const starts = openSync(startsPath, 'a');

function noteStart(context: RunContext): void {
  writeSync(starts, `${context.runId} ${context.leaseToken} ${Date.now()}\n`);
}

const worker = new Worker({
  servers: servers.split(','),
  app: 'demo',
  workerId: name,
  slots: 32,
  processors: {
    /** What the demo is about: read a file and say what it is. */
    inspect: (args: { readonly path: string }, context) => {
      noteStart(context);
      return inspectFile(join(folder, args.path));
    },
    /** Fired by a cron job every second. */
    tick: (_args, context) => {
      noteStart(context);
      return { due: context.dueMs };
    },
    /** Fails until somebody has mended the world, which here is a file. */
    mend: (args: { readonly needs: string }, context) => {
      noteStart(context);
      if (!existsSync(args.needs)) throw new Error(`${args.needs} is not there yet`);
      return 'mended';
    },
    echo: (args: unknown, context) => {
      noteStart(context);
      return args;
    },
  },
});

process.on('SIGTERM', () => {
  void worker.drain().then(() => process.exit(0));
});
await worker.start();
process.stdout.write('working\n');
