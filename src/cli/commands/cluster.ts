import type { Command } from 'commander';
import { appByApp } from './app-by-app.js';
import type { WithSession } from './session.js';

/** The commands that show what a cluster is made of: nodes and apps. */
export function addCluster(program: Command, withSession: WithSession): void {
  program
    .command('nodes')
    .description('processes that the name server knows, and how they are')
    .addHelpText('after', '\nExamples:\n  taskctl nodes\n  taskctl nodes --json')
    .action(() =>
      withSession(async ({ client, output }) => {
        const nodes = await client.nodes();
        const columns = [
          ['SERVICE', (node: (typeof nodes)[number]) => node.service],
          ['NODE', (node: (typeof nodes)[number]) => node.instanceId],
          ['ADDRESS', (node: (typeof nodes)[number]) => node.addresses.join(' ')],
          ['HEALTH', (node: (typeof nodes)[number]) => node.health],
        ] as const;
        output.list(nodes, columns, (node) => ({ ...node }), 'no nodes');
        return undefined;
      }),
    );

  program
    .command('apps')
    .description('apps: families of jobs and the workers that serve them')
    .command('ls')
    .description('all apps with what waits, what runs and who works')
    .addHelpText('after', '\nExample:\n  taskctl apps ls')
    .action(() =>
      withSession(async (session) => {
        const { client, output } = session;
        const { found: rows, exitCode } = await appByApp(session, async ({ name, shard }) => {
          const stats = await client.apps.stats(name);
          return {
            name,
            shard,
            scheduled: stats.scheduled,
            ready: stats.ready,
            running: stats.running,
            retryWait: stats.retryWait,
            dead: stats.dead,
            workers: stats.workers.length,
          };
        });
        const columns = [
          ['NAME', (row: (typeof rows)[number]) => row.name],
          ['SHARD', (row: (typeof rows)[number]) => row.shard],
          ['SCHEDULED', (row: (typeof rows)[number]) => row.scheduled],
          ['READY', (row: (typeof rows)[number]) => row.ready],
          ['RUNNING', (row: (typeof rows)[number]) => row.running],
          ['RETRY', (row: (typeof rows)[number]) => row.retryWait],
          ['DEAD', (row: (typeof rows)[number]) => row.dead],
          ['WORKERS', (row: (typeof rows)[number]) => row.workers],
        ] as const;
        output.list(rows, columns, (row) => row, exitCode === undefined ? 'no apps' : 'no other apps');
        return exitCode;
      }),
    );
}
