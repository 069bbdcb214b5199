/** What of a topic can be changed, with its defaults and limits. Client and broker check alike. */

/** What was set; an absent field has the default. */
export interface TopicConfig {
  /** Whole segments whose newest record is older are deleted; 0: never. Default 7 days. */
  readonly retentionMs?: number;
  /** Bytes of one partition above which its oldest segments are deleted; 0: no limit, the default. */
  readonly retentionBytes?: number;
  /**
   * 0, the default: a produce is answered once it is on disk. Else it is answered at once and synced within so long: a
   * power loss may take what came since.
   */
  readonly flushIntervalMs?: number;
  /** Waits before each further try of a record that a consumer could not process. Default 1 s, 10 s, 1 min, 10 min. */
  readonly retryDelaysMs?: readonly number[];
}

export type FullTopicConfig = Required<TopicConfig>;
export type TopicSetting = keyof TopicConfig;

const dayMs = 24 * 3_600_000;
const yearMs = 365 * dayMs;

export const topicConfigDefaults: FullTopicConfig = {
  retentionMs: 7 * dayMs,
  retentionBytes: 0,
  flushIntervalMs: 0,
  retryDelaysMs: [1_000, 10_000, 60_000, 600_000],
};
export const topicSettings: readonly TopicSetting[] = Object.keys(topicConfigDefaults) as TopicSetting[];

export const retentionMsMin = 1_000;
const retentionMsMax = 100 * yearMs;
const retentionBytesMin = 1024 * 1024;
export const flushIntervalMsMax = 60_000;
export const topicRetriesMax = 32;

/** All settings of a topic. Topics of taskd itself lose nothing by time or size: their owners trim them. */
export function fullTopicConfig(config: TopicConfig, internal: boolean): FullTopicConfig {
  const defaults = internal ? { ...topicConfigDefaults, retentionMs: 0 } : topicConfigDefaults;
  return { ...defaults, ...config };
}

/** Says which field is wrong, with its limit; undefined when all are fine. */
export function topicConfigProblem(config: TopicConfig, replicas: number): string | undefined {
  const { retentionMs, retentionBytes, flushIntervalMs, retryDelaysMs } = config;
  if (retentionMs !== undefined && retentionMs !== 0 && !isWithin(retentionMs, retentionMsMin, retentionMsMax)) {
    return `retentionMs is ${retentionMs}: give 0 to keep records for ever, or ${retentionMsMin} to ${retentionMsMax}`;
  }
  if (
    retentionBytes !== undefined &&
    retentionBytes !== 0 &&
    !isWithin(retentionBytes, retentionBytesMin, Number.MAX_SAFE_INTEGER)
  ) {
    return `retentionBytes is ${retentionBytes}: give 0 for no limit, or at least ${retentionBytesMin} for each partition`;
  }
  if (flushIntervalMs !== undefined && !isWithin(flushIntervalMs, 0, flushIntervalMsMax)) {
    return `flushIntervalMs is ${flushIntervalMs}: give 0 to sync before each answer, or up to ${flushIntervalMsMax}`;
  }
  if (flushIntervalMs && replicas > 1) {
    return `flushIntervalMs is ${flushIntervalMs} and the topic has ${replicas} replicas: only one goes with it`;
  }
  if (retryDelaysMs === undefined) return undefined;
  if (retryDelaysMs.length === 0) return 'retryDelaysMs is empty: name at least one wait';
  if (retryDelaysMs.length > topicRetriesMax) {
    return `retryDelaysMs has ${retryDelaysMs.length} entries; at most ${topicRetriesMax} are allowed`;
  }
  const wrong = retryDelaysMs.find((delay) => !isWithin(delay, 1, yearMs));
  return wrong === undefined ? undefined : `retryDelaysMs names ${wrong}: a wait has 1 to ${yearMs} ms`;
}

function isWithin(value: number, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= min && value <= max;
}
