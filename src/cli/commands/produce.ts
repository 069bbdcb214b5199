import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError } from 'commander';
import type { OutgoingRecord } from '../../client/outgoing-record.js';
import type { Delivered } from '../../client/producer.js';
import { parseCount, parseInstant, parsePeriod } from '../quantities.js';
import type { Session, WithSession } from './session.js';

interface ProduceFlags {
  readonly key?: string;
  readonly header?: Record<string, string>;
  readonly file?: string;
  readonly partition?: number;
  readonly delay?: number;
  readonly at?: number;
}

/** What was stored in one partition. */
interface Share {
  readonly partition: number;
  records: number;
  firstOffset: number;
  lastOffset: number;
}

/** The command that stores records; `lines` are those of the standard input. */
export function addProduce(program: Command, withSession: WithSession, lines: () => AsyncIterable<string>): void {
  program
    .command('produce <topic> [value]')
    .description('store records: one value, a file, or each line of the standard input')
    .option('--key <text>', 'records of one key share a partition and keep their order')
    .option('--header <name=value>', 'a header; may be given several times', parseHeader)
    .option('--file <path>', 'one record with the bytes of this file')
    .option('--partition <n>', 'into this partition, whatever the key', parseCount(0, 1_023))
    .option('--delay <duration>', 'visible to consumers after so long, such as 90s or 30d', parsePeriod)
    .option('--at <instant>', 'visible from then on, such as 2030-01-31T08:00:00Z', parseInstant)
    .addHelpText(
      'after',
      `
Examples:
  taskctl produce orders '{"id":1}' --key customer-7 --header kind=order
  taskctl produce orders --file picture.png --delay 10m
  cat lines.txt | taskctl produce orders`,
    )
    .action((topic: string, value: string | undefined, flags: ProduceFlags, command: Command) => {
      if (value !== undefined && flags.file !== undefined) command.error('error: give a value or --file, not both');
      if (flags.delay !== undefined && flags.at !== undefined) command.error('error: give --delay or --at, not both');
      const one = value ?? (flags.file === undefined ? undefined : readWhole(flags.file));
      return withSession(async (session) => {
        if (one === undefined) await produceLines(session, topic, flags, lines());
        else await produceOne(session, topic, recordOf(flags, one));
        return undefined;
      });
    });
}

function readWhole(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new InvalidArgumentError(`--file: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function recordOf({ key, header, partition, delay, at }: ProduceFlags, value: string | Uint8Array): OutgoingRecord {
  return {
    value,
    ...(key === undefined ? {} : { key }),
    ...(header === undefined ? {} : { headers: header }),
    ...(partition === undefined ? {} : { partition }),
    ...(delay === undefined ? {} : { delayMs: delay }),
    ...(at === undefined ? {} : { deliverAtMs: at }),
  };
}

async function produceOne({ client, output, nowMs }: Session, topic: string, record: OutgoingRecord): Promise<void> {
  const { partition, offset, appendTimestampMs, delayedId } = await client.producer().send(topic, record);
  if (delayedId !== undefined) {
    const isDue = record.deliverAtMs !== undefined && record.deliverAtMs <= nowMs;
    const sentence = isDue ? 'its time is over: delivered at once' : `waits for its time; cancel it by ${delayedId}`;
    output.done(sentence, { topic, partition, delayedId, appendTimestampMs });
    return;
  }
  const sentence = `stored in ${topic}, partition ${partition}, offset ${offset}`;
  output.done(sentence, { topic, partition, offset, appendTimestampMs });
}

/** Stops at the first record that could not be stored, and says how many were. */
async function produceLines(
  { client, output }: Session,
  topic: string,
  flags: ProduceFlags,
  lines: AsyncIterable<string>,
): Promise<void> {
  const producer = client.producer();
  const shares = new Map<number, Share>();
  let records = 0;
  let failure: unknown;
  const stored = ({ partition, offset, delayedId }: Delivered): void => {
    records++;
    if (delayedId !== undefined) return;
    const share = shares.get(partition) ?? { partition, records: 0, firstOffset: offset, lastOffset: offset };
    share.records++;
    share.firstOffset = Math.min(share.firstOffset, offset);
    share.lastOffset = Math.max(share.lastOffset, offset);
    shares.set(partition, share);
  };
  const failed = (error: unknown): void => {
    failure ??= error;
  };
  for await (const line of lines) {
    await producer.room();
    if (failure !== undefined) break;
    producer.send(topic, recordOf(flags, line)).then(stored, failed);
  }
  await producer.flush();
  if (failure instanceof Error && records > 0) failure.message = `after ${records} records: ${failure.message}`;
  if (failure !== undefined) throw failure;
  const partitions = [...shares.values()].sort((a, b) => a.partition - b.partition);
  output.done(`${records} ${records === 1 ? 'record' : 'records'} stored in ${topic}`, { topic, records, partitions });
}

function parseHeader(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('a header is name=value.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}
