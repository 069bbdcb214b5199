import type { Command } from 'commander';
import type { Position } from '../../client/consumer/positions.js';
import { parseCount, parseInstant, parseOffset } from '../quantities.js';
import { parseFormat, recordJson } from '../record-format.js';
import type { WithSession } from './session.js';

interface ConsumeFlags {
  readonly group?: string;
  readonly fromBeginning?: true;
  readonly fromTime?: number;
  readonly offset?: number;
  readonly partition?: number[];
  readonly max?: number;
  readonly follow?: true;
  readonly format: ReturnType<typeof parseFormat>;
}

export function addConsume(program: Command, withSession: WithSession): void {
  program
    .command('consume <topic>')
    .description('print the records of a topic, a line each')
    .option('--from-beginning', 'from the first record that is there (the default without --follow)')
    .option('--from-time <instant>', 'from the first record stored at or after it', parseInstant)
    .option('--offset <n>', 'from this offset of each partition', parseOffset)
    .option('--partition <n>', 'only this partition; may be repeated', collect(parseCount(0, 65_535)))
    .option('--max <n>', 'at most so many records', parseCount(1, 999_999_999))
    .option('--follow', 'wait for more at the end, until Ctrl-C; without a place to begin: from the end')
    .option(
      '--group <group>',
      'as a member of a group, which commits what was printed; it follows until --max or Ctrl-C',
    )
    .option('--format <pattern>', 'fields %t %p %o %k %v %h %T, and \\n \\t', parseFormat, parseFormat('%v'))
    .addHelpText(
      'after',
      `
With --json each record is a line of JSON; bytes that are no UTF-8 are {"base64": "…"}.

Examples:
  taskctl consume orders
  taskctl consume orders --follow --format '%T %p:%o %k %v'
  taskctl consume orders --from-time 2030-01-31T08:00:00Z --max 10 --json
  taskctl consume orders --group billing --max 1`,
    )
    .action(async (topic: string, flags: ConsumeFlags, command: Command) => {
      const { group, partition, follow } = flags;
      const begins = [flags.fromBeginning, flags.fromTime, flags.offset].filter((each) => each !== undefined);
      if (begins.length > 1) command.error('error: give one of --from-beginning, --from-time and --offset');
      if (group !== undefined && partition !== undefined) {
        command.error('error: a group shares the partitions by itself: leave out --partition, or --group');
      }
      await withSession(async ({ client, output, onStop }) => {
        const consumer = client.consumer({
          topics: [topic],
          from: beginning(flags),
          concurrency: 1,
          ...(group === undefined ? { stopAtEnd: follow !== true } : { group, retry: false as const }),
          ...(partition === undefined ? {} : { partitions: partition }),
        });
        onStop(() => void consumer.close());
        // A topic that is asked for by a mistyped name must not be made by that.
        await client.topics.describe(topic);
        let left = flags.max ?? Number.POSITIVE_INFINITY;
        await consumer.run((record) => {
          output.line(output.isJson ? JSON.stringify(recordJson(record)) : flags.format(record));
          // Nothing more is handed out from here on.
          if (--left === 0) void consumer.close();
        });
        return undefined;
      });
    });
}

function beginning({ fromBeginning, fromTime, offset, follow, group }: ConsumeFlags): Position {
  if (fromTime !== undefined) return { timeMs: fromTime };
  if (offset !== undefined) return { offset };
  return fromBeginning === true || follow !== true || group !== undefined ? 'earliest' : 'latest';
}

/** Gathers the values of a flag that may be repeated. */
function collect(parse: (text: string) => number): (text: string, before: number[] | undefined) => number[] {
  return (text, before = []) => [...before, parse(text)];
}
