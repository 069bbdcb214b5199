import { type Command, InvalidArgumentError } from 'commander';
import { flushIntervalMsMax, retentionMsMin, type TopicConfig, type TopicSetting } from '../../base/topic-config.js';
import type { PartitionInfo, TopicChange, TopicInfo } from '../../client/topics.js';
import type { Column } from '../output.js';
import { byteSize, duration, orDefault, parseBytes, parseCount, parseDurations, parsePeriod } from '../quantities.js';
import type { WithSession } from './session.js';

interface ConfigFlags {
  readonly retention?: number | 'default';
  readonly retentionBytes?: number | 'default';
  readonly flush?: number | 'default';
  readonly retryDelays?: number[] | 'default';
}

interface CreateFlags extends ConfigFlags {
  readonly partitions: number;
  readonly ifAbsent?: true;
}

interface AlterFlags extends ConfigFlags {
  readonly partitions?: number;
}

const partitionsMax = 1_024;
const settingNames = '(a setting may also be "default")';

/** The commands that make, change, delete and show topics. */
export function addTopics(program: Command, withSession: WithSession): void {
  const topics = program.command('topics').description('topics: named streams of records, split in partitions');

  topics
    .command('ls')
    .description('all topics')
    .addHelpText('after', '\nExample:\n  taskctl topics ls')
    .action(() =>
      withSession(async ({ client, output }) => {
        output.list(await client.topics.list(), columns, topicJson, 'no topics');
        return undefined;
      }),
    );

  withSettings(topics.command('create <topic>'))
    .description('create a topic; it serves when this returns')
    .requiredOption('--partitions <n>', 'how many: at most so many consumers of a group share it', parsePartitions)
    .option('--if-absent', 'a topic of that name with as many partitions is fine')
    .addHelpText(
      'after',
      `
Examples:
  taskctl topics create orders --partitions 8
  taskctl topics create clicks --partitions 4 --retention 1d --retention-bytes 10GiB --flush 100ms`,
    )
    .action((name: string, flags: CreateFlags) =>
      withSession(async ({ client, output }) => {
        const config = Object.fromEntries(Object.entries(changeOf(flags)).filter(([, value]) => value !== null));
        const { partitions, ifAbsent = false } = flags;
        const topic = await client.topics.create(name, { partitions, ifAbsent, ...config });
        const others = otherSettings(topic, config);
        if (others.length > 0) {
          output.note(
            `topic ${name} was there, with another ${others.join(' and ')}: change it with "taskctl topics alter"`,
          );
        }
        output.done(`topic ${topic.name} has ${plural(topic.partitions, 'partition')}`, topicJson(topic));
        return undefined;
      }),
    );

  withSettings(topics.command('alter <topic>'))
    .description(`change the settings of a topic, or add partitions ${settingNames}`)
    .option('--partitions <n>', 'more than before; the same key may find another partition', parsePartitions)
    .addHelpText(
      'after',
      '\nExamples:\n  taskctl topics alter orders --retention 30d\n  taskctl topics alter orders --retention default --partitions 16',
    )
    .action((name: string, flags: AlterFlags, command: Command) => {
      if (Object.keys(flags).length === 0) command.error('error: name at least one setting to change');
      return withSession(async ({ client, output }) => {
        const { partitions } = flags;
        const change = { ...changeOf(flags), ...(partitions === undefined ? {} : { partitions }) };
        const topic = await client.topics.alter(name, change);
        output.one(output.isJson ? topicJson(topic) : topicFields(topic));
        return undefined;
      });
    });

  topics
    .command('rm <topic>')
    .description('delete a topic with all its records; the files leave the disk after a day')
    .addHelpText('after', '\nExample:\n  taskctl topics rm orders')
    .action((name: string) =>
      withSession(async ({ client, output }) => {
        await client.topics.remove(name);
        output.done(`topic ${name} is deleted`, { name });
        return undefined;
      }),
    );

  topics
    .command('describe <topic>')
    .description('the settings of a topic and the state of its partitions')
    .addHelpText('after', '\nExample:\n  taskctl topics describe orders')
    .action((name: string) =>
      withSession(async ({ client, output }) => {
        const { states, ...topic } = await client.topics.describe(name);
        if (output.isJson) output.one({ ...topicJson(topic), states: states.map(stateJson) });
        else {
          output.one(topicFields(topic));
          output.list(states, stateColumns, stateJson, 'no partitions');
        }
        return undefined;
      }),
    );
}

/** How people call the settings that are not as they were asked for, as nothing is changed of a topic that is there. */
function otherSettings({ config }: TopicInfo, wanted: TopicConfig): string[] {
  const names: Record<TopicSetting, string> = {
    retentionMs: 'retention',
    retentionBytes: 'limit of bytes',
    flushIntervalMs: 'flush interval',
    retryDelaysMs: 'retry ladder',
  };
  const settings = Object.keys(wanted) as TopicSetting[];
  return settings.filter((each) => String(wanted[each]) !== String(config[each])).map((each) => names[each]);
}

/** The settings that a topic may be given when it is made and later. */
function withSettings(command: Command): Command {
  return command
    .option('--retention <duration>', 'delete records that are older: 7d by default, or "forever"', parseRetention)
    .option('--retention-bytes <size>', 'delete the oldest above so much a partition, such as 10GiB', parseSize)
    .option('--flush <duration>', 'answer before the sync, and sync within so long; 0ms: sync first', parseFlush)
    .option('--retry-delays <list>', 'waits before each retry of a consumer, such as 1s,10s,1m', parseDelays);
}

const parsePartitions = parseCount(1, partitionsMax);
const parseSize = orDefault((text) => (text === 'none' ? 0 : parseBytes(text)));
const parseRetention = orDefault((text) => (text === 'forever' ? 0 : within(text, retentionMsMin, 'forever')));
const parseFlush = orDefault((text) => (parsePeriod(text) === 0 ? 0 : within(text, 1, '0ms', flushIntervalMsMax)));
const parseDelays = orDefault(parseDurations);

/** A period from `minMs` to `maxMs`; `other` is what else may be said. */
function within(text: string, minMs: number, other: string, maxMs = Number.POSITIVE_INFINITY): number {
  const ms = parsePeriod(text);
  if (ms >= minMs && ms <= maxMs) return ms;
  const most = maxMs === Number.POSITIVE_INFINITY ? 'or more' : `to ${duration(maxMs)}`;
  throw new InvalidArgumentError(`it is ${duration(minMs)} ${most}, or ${other}.`);
}

function changeOf(flags: ConfigFlags): TopicChange {
  const given: [TopicSetting, unknown][] = [
    ['retentionMs', flags.retention],
    ['retentionBytes', flags.retentionBytes],
    ['flushIntervalMs', flags.flush],
    ['retryDelaysMs', flags.retryDelays],
  ];
  const set = given.filter(([, value]) => value !== undefined);
  return Object.fromEntries(set.map(([setting, value]) => [setting, value === 'default' ? null : value]));
}

const columns: Column<TopicInfo>[] = [
  ['NAME', (topic) => topic.name],
  ['ID', (topic) => topic.topicId],
  ['PARTITIONS', (topic) => topic.partitions],
  ['REPLICAS', (topic) => topic.replicas],
  ['KIND', (topic) => (topic.internal ? 'internal' : 'user')],
  ['RETENTION', (topic) => retention(topic)],
];

const stateColumns: Column<PartitionInfo>[] = [
  ['PARTITION', (state) => state.partition],
  ['LEADER', (state) => state.leader ?? '-'],
  ['TERM', (state) => state.term],
  ['START', (state) => state.logStart],
  ['END', (state) => state.highWatermark],
  ['SIZE', (state) => byteSize(state.bytes)],
  ['PROBLEM', (state) => state.problem ?? '-'],
];

function retention({ config: { retentionMs, retentionBytes } }: TopicInfo): string {
  const time = retentionMs === 0 ? 'forever' : duration(retentionMs);
  return retentionBytes === 0 ? time : `${time}, ${byteSize(retentionBytes)}`;
}

function topicJson({ name, topicId, partitions, replicas, internal, config, configured }: TopicInfo) {
  return { name, topicId, partitions, replicas, internal, config, configured };
}

function topicFields(topic: TopicInfo): Record<string, unknown> {
  const { retentionMs, retentionBytes, flushIntervalMs, retryDelaysMs } = topic.config;
  const told = (setting: TopicSetting, text: string): string =>
    topic.configured[setting] === undefined ? `${text} (default)` : text;
  return {
    name: topic.name,
    topicId: topic.topicId,
    partitions: topic.partitions,
    replicas: topic.replicas,
    internal: topic.internal ? 'yes' : '',
    retention: told('retentionMs', retentionMs === 0 ? 'forever' : duration(retentionMs)),
    retentionBytes: told('retentionBytes', retentionBytes === 0 ? 'no limit' : byteSize(retentionBytes)),
    flush: told('flushIntervalMs', flushIntervalMs === 0 ? 'before each answer' : `within ${flushIntervalMs}ms`),
    retryDelays: told('retryDelaysMs', retryDelaysMs.map(duration).join(', ')),
  };
}

function stateJson(state: PartitionInfo): Record<string, unknown> {
  return { ...state, leader: state.leader ?? null, problem: state.problem ?? null };
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
