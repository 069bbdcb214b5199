import type { TopicConfig, TopicSetting } from '../base/topic-config.js';
import type { taskd } from './generated/messages.js';

/** The names of settings in messages, by their names in programs. */
export const wireSettings: Readonly<Record<TopicSetting, string>> = {
  retentionMs: 'retention_ms',
  retentionBytes: 'retention_bytes',
  flushIntervalMs: 'flush_interval_ms',
  retryDelaysMs: 'retry_delays_ms',
};

/** What a message sets; nothing when it has no configuration. */
export function readTopicConfig(message: taskd.ITopicConfig | null | undefined): TopicConfig {
  if (!message) return {};
  const { retentionMs, retentionBytes, flushIntervalMs, retryDelaysMs } = message;
  return {
    ...(isSet(message, 'retentionMs') ? { retentionMs: retentionMs! } : {}),
    ...(isSet(message, 'retentionBytes') ? { retentionBytes: retentionBytes! } : {}),
    ...(isSet(message, 'flushIntervalMs') ? { flushIntervalMs: flushIntervalMs! } : {}),
    ...(retryDelaysMs && retryDelaysMs.length > 0 ? { retryDelaysMs } : {}),
  };
}

export function writeTopicConfig(config: TopicConfig): taskd.ITopicConfig {
  const { retryDelaysMs, ...others } = config;
  return retryDelaysMs === undefined ? others : { ...others, retryDelaysMs: [...retryDelaysMs] };
}

/** An absent optional field reads as its zero from the prototype, which is not the same as a zero that was sent. */
function isSet(message: taskd.ITopicConfig, field: keyof taskd.ITopicConfig): boolean {
  return Object.hasOwn(message, field) && message[field] != null;
}
