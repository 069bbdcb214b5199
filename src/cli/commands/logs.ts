import { closeSync, openSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { ErrorCode, TaskdError } from '../../base/errors.js';
import type { StoredRecord } from '../../batch/record.js';
import type { QuietFolder } from '../../log/data-folder.js';
import { type Fault, goodBatches } from '../../log/examination.js';
import { type Decision, planRepair, type RepairPlan, repairLog } from '../../log/repair.js';
import type { Files } from '../../runtime/files.js';
import { ExitCode } from '../exit-codes.js';
import { type ExaminedLog, examineLogs, goodRecords, nameOf, withQuietFolder } from '../offline-logs.js';
import type { Output, Sink } from '../output.js';

/** What a command works with that needs no server. */
export interface Offline {
  readonly output: Output;
  readonly sink: Sink;
  readonly files: Files;
}

export type WithOffline = (command: (offline: Offline) => Promise<ExitCode>) => Promise<void>;

/** The commands that look at the logs of a stopped taskd and mend them. */
export function addLogs(program: Command, withOffline: WithOffline): void {
  const log = program
    .command('log')
    .description('logs in the data folder of a taskd that is stopped: look at them, save them, mend them');

  log
    .command('inspect')
    .description('reads every batch of every log and says how it is; changes nothing; ends with 1 when one is damaged')
    .argument('<folder>', 'the data folder')
    .option('--partition <id/n>', 'only this log: topic id and partition, such as 7/0', logName)
    .addHelpText('after', '\nExamples:\n  taskctl log inspect ./taskd-data\n  taskctl log inspect ./taskd-data --json')
    .action((folder: string, flags: { partition?: string }) =>
      withOffline((offline) =>
        withFolder(offline, folder, (path, quiet) => inspect(offline, path, quiet, flags.partition)),
      ),
    );

  log
    .command('export')
    .description('writes out every record that can be read, a JSON object a line; what is gone is a line of its own')
    .argument('<folder>', 'the data folder')
    .requiredOption('--partition <id/n>', 'which log: topic id and partition, such as 7/0', logName)
    .option('--out <file>', 'write to this new file instead of standard output')
    .option('--raw', 'whole batches as they are in the log, back to back; needs --out')
    .addHelpText('after', '\nExample:\n  taskctl log export ./taskd-data --partition 7/0 --out orders.jsonl')
    .action((folder: string, flags: ExportFlags) =>
      withOffline((offline) => withFolder(offline, folder, (path, quiet) => exportLog(offline, path, quiet, flags))),
    );

  log
    .command('repair')
    .description('records a decision about records that are gone, after which the log takes records again')
    .argument('<folder>', 'the data folder')
    .requiredOption('--partition <id/n>', 'which log: topic id and partition, such as 7/0', logName)
    .addOption(
      new Option('--keep', 'keep what follows the gap; only what can not be read is given up').conflicts('cut'),
    )
    .addOption(new Option('--cut', 'end the log before the first gap; what follows is left out, its files are kept'))
    .addHelpText(
      'after',
      '\nWithout --keep or --cut it only says what each would do.\n\nExamples:\n' +
        '  taskctl log repair ./taskd-data --partition 7/0\n  taskctl log repair ./taskd-data --partition 7/0 --keep',
    )
    .action((folder: string, flags: { partition: string; keep?: true; cut?: true }) =>
      withOffline((offline) => withFolder(offline, folder, (path, quiet) => repair(offline, path, quiet, flags))),
    );
}

interface ExportFlags {
  readonly partition: string;
  readonly out?: string;
  readonly raw?: true;
}

function logName(text: string): string {
  if (/^\d{1,10}\/\d{1,5}$/.test(text)) return text;
  throw new InvalidArgumentError('it is a topic id and a partition, such as 7/0; "taskctl log inspect" lists them.');
}

function withFolder(
  { files }: Offline,
  folder: string,
  use: (path: string, quiet: QuietFolder) => Promise<ExitCode>,
): Promise<ExitCode> {
  const path = resolve(folder);
  return withQuietFolder(files, path, (quiet) => use(path, quiet));
}

async function one(offline: Offline, folder: string, quiet: QuietFolder, partition: string): Promise<ExaminedLog> {
  return (await examineLogs(offline.files, folder, quiet, partition))[0]!;
}

async function inspect(
  offline: Offline,
  folder: string,
  quiet: QuietFolder,
  partition: string | undefined,
): Promise<ExitCode> {
  const { output, sink } = offline;
  const logs = await examineLogs(offline.files, folder, quiet, partition);
  const columns = [
    ['LOG', (log: ExaminedLog) => nameOf(log)],
    ['TOPIC', (log: ExaminedLog) => log.topic],
    ['FROM', (log: ExaminedLog) => log.examination?.state.logStart ?? 0],
    ['TO', (log: ExaminedLog) => log.examination?.end ?? 0],
    ['SEGMENTS', (log: ExaminedLog) => log.examination?.segments.length ?? 0],
    ['RECORDS', (log: ExaminedLog) => recordsOf(log)],
    ['VERDICT', (log: ExaminedLog) => inShort(log)],
  ] as const;
  output.list(logs, columns, asJson, 'no logs');
  const isBad = logs.some((log) => log.verdict === 'damaged' || log.verdict === 'unreadable');
  if (!output.isJson) for (const log of logs) for (const line of details(log, folder)) sink.out(`${line}\n`);
  return isBad ? ExitCode.FAILED : ExitCode.OK;
}

const recordsOf = (log: ExaminedLog): number =>
  (log.examination?.segments ?? []).reduce((sum, segment) => sum + segment.records, 0);

const verdicts: Record<ExaminedLog['verdict'], string> = {
  good: 'good',
  torn: 'good: a torn end, as a crash leaves it; the next start cuts it',
  gaps: 'good, with gaps that were decided on',
  damaged: 'DAMAGED',
  unreadable: 'UNREADABLE',
};

const inShort = (log: ExaminedLog): string => verdicts[log.verdict];

/** True for logs from which taskd builds its own state: a part of it would be taken for the whole. */
const isReplayed = ({ topic }: ExaminedLog): boolean => topic.startsWith('__') || topic.startsWith('taskd.');

const noRepair =
  'taskd builds its own state from this log, and a part would be taken for the whole; restore the whole folder from a ' +
  'copy made while taskd was stopped, or move it away and start anew; "taskctl log export" saves what can be read';

/** What a person must know of a log that is not simply good. */
function details(log: ExaminedLog, folder: string): string[] {
  const { examination, verdict, error } = log;
  if (verdict === 'good') return [];
  const lines = ['', `${nameOf(log)} ${log.topic}: ${inShort(log)}`];
  const problem = examination?.problem ?? error;
  if (problem !== '') lines.push(`  ${problem}`);
  for (const fault of examination?.faults ?? []) lines.push(`  ${faultInWords(fault)}`);
  const torn = examination?.torn;
  if (torn !== undefined) {
    lines.push(
      `  ${torn.bytes} bytes of a write group that was never acknowledged: ${torn.path}, byte ${torn.position}`,
    );
  }
  if (verdict === 'damaged' && isReplayed(log)) {
    lines.push(`  What to do: ${noRepair}.`);
  } else if (verdict === 'damaged') {
    const command = `${folder} --partition ${nameOf(log)}`;
    lines.push(
      '  What to do: copy the whole folder first. With a good copy from before, restore that one. Without:',
      `    save what can be read:       taskctl log export ${command} --out ${log.topicId}-${log.partition}.jsonl`,
      `    see what a repair would do:  taskctl log repair ${command}`,
      `    and decide:                  taskctl log repair ${command} --keep   (or --cut)`,
    );
  }
  return lines;
}

function faultInWords({ gap, path, why, isRecorded, isEnd }: Fault): string {
  const count = gap.to - gap.from;
  const where = `${path}, byte ${gap.position}${gap.resume === undefined ? '' : ` to ${gap.resume}`}`;
  const decided = isRecorded ? ', decided on' : '';
  if (isEnd) return `from offset ${gap.from} on everything is gone, at least ${count} records: ${where}: ${why}`;
  return `records ${gap.from} to ${gap.to - 1} are gone (${count}${decided}): ${where}: ${why}`;
}

function asJson(log: ExaminedLog): unknown {
  const { topicId, partition, topic, folder, verdict, examination, error } = log;
  const identity = { topicId, partition, topic, folder, verdict };
  if (examination === undefined) return { ...identity, error };
  const { state, end, segments, torn, problem } = examination;
  const gaps = examination.faults.map(({ gap, path, why, isRecorded, isEnd }) => ({
    from: gap.from,
    to: gap.to,
    path,
    fromByte: gap.position,
    toByte: gap.resume ?? null,
    why,
    decided: isRecorded,
    endIsGone: isEnd,
  }));
  const { logStart, recoveryPoint, term } = state;
  return { ...identity, logStart, end, recoveryPoint, term, segments, gaps, torn: torn ?? null, error: problem ?? '' };
}

async function exportLog(
  offline: Offline,
  folder: string,
  quiet: QuietFolder,
  { partition, out, raw }: ExportFlags,
): Promise<ExitCode> {
  if (raw && out === undefined) throw new InvalidArgumentError('--raw needs --out: batches are no text');
  const { files, output, sink } = offline;
  const log = await one(offline, folder, quiet, partition);
  const { examination } = log;
  if (examination === undefined) throw new TaskdError(ErrorCode.STORAGE_FAILED, log.error);
  const target = out === undefined ? undefined : openTarget(resolve(out));
  const write = (piece: string | Uint8Array): void => {
    if (target === undefined) sink.out(String(piece));
    else writeSync(target, Buffer.from(piece));
  };
  let count = 0;
  let skipped = 0;
  try {
    if (raw) {
      for await (const { header, bytes } of goodBatches(files, examination.stretches)) {
        write(bytes);
        count += header.recordCount;
      }
    } else {
      const gaps = examination.faults.map((fault) => fault.gap);
      for await (const each of goodRecords(files, examination)) {
        if (each === 'unreadable batch') {
          skipped++;
          continue;
        }
        while (gaps[0] !== undefined && gaps[0].from <= each.record.offset) write(gapLine(gaps.shift()!));
        write(recordLine(each.record, each.timestampMs));
        count++;
      }
      for (const gap of gaps) write(gapLine(gap));
    }
  } finally {
    if (target !== undefined) closeSync(target);
  }
  if (out !== undefined) {
    output.done(`${count} records of ${nameOf(log)} are in ${out}`, { records: count, file: out });
  }
  if (skipped > 0) sink.err(`taskctl: ${skipped} batches are whole, but their bodies are no records: use --raw\n`);
  return ExitCode.OK;
}

function openTarget(path: string): number {
  try {
    return openSync(path, 'wx');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TaskdError(ErrorCode.INVALID, `${path} can't be made (${why}); name a file that is not there yet`);
  }
}

const gapLine = ({ from, to }: { from: number; to: number }): string => `${JSON.stringify({ gap: { from, to } })}\n`;

function recordLine(record: StoredRecord, timestampMs: number): string {
  const { offset, key, value, headers, type } = record;
  const named = headers.map((header) => [header.name, text(header.value)]);
  const fields = { offset, timestampMs, key: text(key), value: text(value), headers: named, type };
  return `${JSON.stringify(fields)}\n`;
}

/** UTF-8 as it is, other bytes as base64, nothing as null. */
function text(bytes: Uint8Array | undefined): unknown {
  if (bytes === undefined) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { base64: Buffer.from(bytes).toString('base64') };
  }
}

async function repair(
  offline: Offline,
  folder: string,
  quiet: QuietFolder,
  flags: { readonly partition: string; readonly keep?: true; readonly cut?: true },
): Promise<ExitCode> {
  const { output, files } = offline;
  const log = await one(offline, folder, quiet, flags.partition);
  const { examination } = log;
  if (examination === undefined) throw new TaskdError(ErrorCode.STORAGE_FAILED, log.error);
  if (isReplayed(log)) throw new TaskdError(ErrorCode.INVALID, `${nameOf(log)} is ${log.topic}: ${noRepair}`);
  const decision: Decision | undefined = flags.keep ? 'keep' : flags.cut ? 'cut' : undefined;
  if (decision === undefined) {
    const keep = planRepair(examination, 'keep');
    const cut = planRepair(examination, 'cut');
    const sentence = `--keep: ${planInWords(keep)}\n--cut: ${planInWords(cut)}\nnothing was changed`;
    if (output.isJson) output.done(sentence, { keep, cut });
    else offline.sink.out(`${sentence}\n`);
    return ExitCode.OK;
  }
  const plan = planRepair(examination, decision);
  await repairLog(files, log.folder, plan);
  output.done(`repaired ${nameOf(log)}: ${planInWords(plan)}`, { log: nameOf(log), decision, ...plan });
  return ExitCode.OK;
}

function planInWords({ gaps, newSegment, leftOut }: RepairPlan): string {
  const gone = gaps.map(({ from, to }) => `${from} to ${to - 1}`).join(', ');
  const next = newSegment === undefined ? '' : `; the next record gets offset ${newSegment}`;
  const files = leftOut.length === 0 ? '' : `; left out and renamed to *.cut: ${leftOut.join(', ')}`;
  return `readers are told DATA_LOSS for records ${gone} and go on behind them${next}${files}`;
}
