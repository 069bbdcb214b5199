import { Argument, type Command, Option } from 'commander';
import type { Position } from '../../client/consumer/positions.js';
import type { GroupDescription, GroupPartitionInfo, OffsetChange } from '../../client/groups.js';
import { duration, parseCount, parseInstant, parseOffset } from '../quantities.js';
import type { WithSession } from './session.js';

interface ResetFlags {
  readonly topic: string;
  readonly to?: 'earliest' | 'latest';
  readonly toTime?: number;
  readonly toOffset?: number;
  readonly partition?: number[];
  readonly dryRun?: true;
}

export function addGroups(program: Command, withSession: WithSession): void {
  const groups = program.command('groups').description('consumer groups: who consumes what, and how far they are');

  groups
    .command('ls')
    .description('all groups')
    .option('--prefix <text>', 'only those whose names begin so', '')
    .addHelpText('after', '\nExample:\n  taskctl groups ls')
    .action(({ prefix }: { readonly prefix: string }) =>
      withSession(async ({ client, output }) => {
        const list = await client.groups.list(prefix);
        const columns = [
          ['NAME', (group: (typeof list)[number]) => group.name],
          ['STATE', (group: (typeof list)[number]) => group.state],
          ['MEMBERS', (group: (typeof list)[number]) => group.members],
          ['ASSIGNOR', (group: (typeof list)[number]) => group.assignor || '-'],
        ] as const;
        output.list(list, columns, (group) => group, 'no groups');
        return undefined;
      }),
    );

  groups
    .command('describe <group>')
    .description('its members, and its offsets and lag by partition')
    .addHelpText('after', '\nExamples:\n  taskctl groups describe billing\n  taskctl groups describe billing --json')
    .action((name: string) =>
      withSession(async ({ client, output }) => {
        const group = await client.groups.describe(name);
        if (output.isJson) output.one(groupJson(group));
        else {
          output.one({
            name: group.name,
            state: group.state,
            assignor: group.assignor,
            members: group.members
              .map(
                ({ memberId, clientId, host, instanceId, heardAgoMs }) =>
                  `${memberId} (${instanceId === '' ? '' : `${instanceId}, `}${clientId}, ${host}, heard ${duration(heardAgoMs)} ago)`,
              )
              .join('\n'),
            lag: String(group.lag),
          });
          output.list(group.partitions, partitionColumns, partitionJson, 'nothing was consumed yet');
        }
        return undefined;
      }),
    );

  groups
    .command('reset <group>')
    .description('set where a group goes on; it must have no members')
    .requiredOption('--topic <topic>', 'the topic')
    .addOption(new Option('--to <place>', 'the first record that is there, or the end').choices(['earliest', 'latest']))
    .option('--to-time <instant>', 'the first record stored at or after it', parseInstant)
    .option('--to-offset <n>', 'this offset, or the nearest that is there', parseOffset)
    .option('--partition <n>', 'only this partition; may be repeated', (text, before: number[] = []) => [
      ...before,
      parseCount(0, 65_535)(text),
    ])
    .option('--dry-run', 'only say what would change')
    .addHelpText(
      'after',
      `
Examples:
  taskctl groups reset billing --topic orders --to earliest --dry-run
  taskctl groups reset billing --topic orders --to-time 2030-01-31T08:00:00Z
  taskctl groups reset billing --topic orders --to-offset 1742 --partition 3`,
    )
    .action(async (group: string, flags: ResetFlags, command: Command) => {
      const to = position(flags);
      if (to === undefined) command.error('error: give one of --to, --to-time and --to-offset');
      await withSession(async ({ client, output }) => {
        const { topic, partition, dryRun } = flags;
        const changes = await client.groups.reset(group, {
          topic,
          to: to!,
          ...(partition === undefined ? {} : { partitions: partition }),
          dryRun: dryRun === true,
        });
        const columns = [
          ['PARTITION', (change: OffsetChange) => change.partition],
          ['FROM', (change: OffsetChange) => change.from ?? '-'],
          ['TO', (change: OffsetChange) => change.to],
        ] as const;
        output.list(changes, columns, (change) => ({ ...change, from: change.from ?? null }), 'nothing to change');
        return undefined;
      });
    });

  groups
    .command('rm')
    .addArgument(new Argument('<group>', 'its name'))
    .description('forget a group with its offsets; it must have no members')
    .addHelpText('after', '\nExample:\n  taskctl groups rm billing')
    .action((group: string) =>
      withSession(async ({ client, output }) => {
        await client.groups.remove(group);
        output.done(`${group} is forgotten`, { removed: group });
        return undefined;
      }),
    );
}

const partitionColumns = [
  ['TOPIC', (each: GroupPartitionInfo) => each.topic],
  ['PARTITION', (each: GroupPartitionInfo) => each.partition],
  ['COMMITTED', (each: GroupPartitionInfo) => each.committed ?? '-'],
  ['END', (each: GroupPartitionInfo) => each.logEnd],
  ['LAG', (each: GroupPartitionInfo) => each.lag],
  ['MEMBER', (each: GroupPartitionInfo) => each.memberId || '-'],
] as const;

function partitionJson(each: GroupPartitionInfo): Record<string, unknown> {
  return { ...each, committed: each.committed ?? null };
}

function groupJson(group: GroupDescription): Record<string, unknown> {
  return { ...group, partitions: group.partitions.map(partitionJson) };
}

function position({ to, toTime, toOffset }: ResetFlags): Position | undefined {
  const given = [to, toTime, toOffset].filter((each) => each !== undefined);
  if (given.length !== 1) return undefined;
  if (to !== undefined) return to;
  return toTime !== undefined ? { timeMs: toTime } : { offset: toOffset! };
}
