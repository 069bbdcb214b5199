import { type Command, Option } from 'commander';
import { ErrorCode, isTaskdError, TaskdError } from '../../base/errors.js';
import type { Position } from '../../client/consumer/positions.js';
import type { PartitionInfo } from '../../client/topics.js';
import { ExitCode } from '../exit-codes.js';
import { parseCount, parseInstant, parseOffset } from '../quantities.js';
import { parseFormat, recordJson } from '../record-format.js';
import type { Session, WithSession } from './session.js';

interface ConsumeFlags {
  readonly group?: string;
  readonly fromBeginning?: true;
  readonly fromTime?: number;
  readonly offset?: number;
  readonly partition?: number[];
  readonly max?: number;
  readonly follow?: true;
  readonly skipLost?: true;
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
    .option('--skip-lost', 'go on behind records that the log has lost; behind those given up it does so anyway')
    .option(
      '--group <group>',
      'as a member of a group, which commits what was printed; it follows until --max or Ctrl-C',
    )
    .addOption(
      new Option('--format <pattern>', 'fields %t %p %o %k %v %h %T, and \\n \\t')
        .argParser(parseFormat)
        .default(parseFormat('%v'), '%v'),
    )
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
      const { group, partition } = flags;
      const begins = [flags.fromBeginning, flags.fromTime, flags.offset].filter((each) => each !== undefined);
      if (begins.length > 1) command.error('error: give one of --from-beginning, --from-time and --offset');
      if (group !== undefined && partition !== undefined) {
        command.error('error: a group shares the partitions by itself: leave out --partition, or --group');
      }
      await withSession((session) => printAll(session, topic, flags));
    });
}

/** FAILED when every partition that this member of a group has has stopped. */
async function printAll({ client, output, onStop }: Session, topic: string, flags: ConsumeFlags): Promise<ExitCode> {
  const { group, partition, follow, skipLost } = flags;
  let exitCode: ExitCode = ExitCode.OK;
  const consumer = client.consumer({
    topics: [topic],
    from: beginning(flags),
    concurrency: 1,
    ...(group === undefined ? { stopAtEnd: follow !== true } : { group, retry: false as const }),
    ...(partition === undefined ? {} : { partitions: partition }),
    onDataLoss: ({ isGivenUp }) => (isGivenUp || skipLost === true ? 'skip' : 'stop'),
    onTrouble: (error) => {
      const { partitions } = consumer.stats;
      const stopped = partitions.filter(({ problem }) => problem !== undefined);
      // Without a group this is how it ends, and is told then.
      if (group === undefined && stopped.some(({ problem }) => problem === error)) return;
      output.note(forPeople(error).message);
      if (stopped.length < partitions.length || stopped.length === 0) return;
      exitCode = ExitCode.FAILED;
      void consumer.close();
    },
  });
  onStop(() => void consumer.close());
  // A topic that is asked for by a mistyped name must not be made by that.
  const { states } = await client.topics.describe(topic);
  checkOffset(topic, states, flags);
  let left = flags.max ?? Number.POSITIVE_INFINITY;
  try {
    await consumer.run((record) => {
      output.line(output.isJson ? JSON.stringify(recordJson(record)) : flags.format(record));
      // Nothing more is handed out from here on.
      if (--left === 0) void consumer.close();
    });
  } catch (error) {
    throw forPeople(error as Error);
  }
  return exitCode;
}

/** Without this check a place behind the end would be an answer without records. */
function checkOffset(
  topic: string,
  states: readonly PartitionInfo[],
  { offset, partition: chosen }: ConsumeFlags,
): void {
  for (const { partition, highWatermark } of states) {
    if (offset === undefined || offset <= highWatermark || chosen?.includes(partition) === false) continue;
    const message = `partition ${partition} of ${topic} ends at offset ${highWatermark}: there is no offset ${offset} yet`;
    throw new TaskdError(ErrorCode.OFFSET_OUT_OF_RANGE, message);
  }
}

/** A consumer speaks of its callbacks, which a person does not have. */
function forPeople(error: Error): Error {
  const { DATA_LOSS, MALFORMED } = ErrorCode;
  if (!isTaskdError(error, DATA_LOSS, MALFORMED) || !isTaskdError(error.cause)) return error;
  const [what] = error.message.split(': ', 1);
  return new TaskdError(error.code, `${what}: ${error.cause.message}; --skip-lost goes on behind them`);
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
