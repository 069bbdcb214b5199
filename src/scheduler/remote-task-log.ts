import { ErrorCode, isTaskdError, Retry, TaskdError } from '../base/errors.js';
import { type BatchClass, type BatchHeader, batchClass, headerBytes, readBatch } from '../batch/header.js';
import { type NewRecord, RecordError, readRecords, type StoredRecord } from '../batch/record.js';
import { Fetcher } from '../client/fetcher.js';
import type { Producer } from '../client/producer.js';
import type { CallerSource, TopicDirectory } from '../client/topic-directory.js';
import type { LogReader, LogSubscription, TaskLog } from '../coordinator/task-log.js';
import type { Runtime } from '../runtime/runtime.js';
import { fetch } from '../wire/methods.js';

const recordAtMs = 10_000;
const pauseMs = 50;
/** Asked for at first; an answer holds one whole batch in any case. */
const recordAtBytes = 64 * 1_024;

/** What a remote log needs of a process: connections, topics, and one producer for all its partitions. */
export interface LogClients {
  readonly callers: CallerSource;
  readonly topics: TopicDirectory;
  readonly producer: Producer;
}

/** `TaskLog` over the wire: one partition, wherever its leader is. */
export class RemoteTaskLog implements TaskLog {
  readonly #runtime: Runtime;
  readonly #clients: LogClients;
  readonly #topicId: number;
  readonly #partition: number;

  constructor(runtime: Runtime, clients: LogClients, topicId: number, partition: number) {
    this.#runtime = runtime;
    this.#clients = clients;
    this.#topicId = topicId;
    this.#partition = partition;
  }

  append(records: readonly NewRecord[], batchClass: BatchClass): Promise<readonly number[]> {
    return this.#clients.producer.sendAll(this.#topicId, this.#partition, records, batchClass);
  }

  read(offset: number, reader: LogReader): LogSubscription {
    const place = { topicId: this.#topicId, partition: this.#partition, offset };
    const { callers, topics } = this.#clients;
    const logger = this.#runtime.logger;
    return new Fetcher(this.#runtime, callers, topics, place, {
      batch: (header, bytes) => {
        const records = recordsOf(header, bytes).filter((record) => record.offset >= offset);
        if (records.length === 0) return;
        reader.batch({
          baseOffset: records[0]!.offset,
          appendTimestampMs: header.appendTimestamp,
          batchClass: batchClass(header),
          records,
        });
      },
      caughtUp: (nextOffset, beganMs) => reader.caughtUp(nextOffset, beganMs),
      lost: (logStart, error) => {
        logger.error({ ...place, logStart, reason: error.message }, 'a log can not be read on');
        reader.lost(logStart, error);
      },
      trouble: (error) => {
        logger.debug({ ...place, reason: error.message }, 'reading a log is held up');
        reader.trouble?.(error);
      },
    });
  }

  async recordAt(offset: number): Promise<StoredRecord | undefined> {
    const { clock } = this.#runtime;
    const endMs = clock.monotonicMs() + recordAtMs;
    let problem = new TaskdError(ErrorCode.NOT_READY, `partition ${this.#partition} has no leader now`, {
      retry: Retry.AFTER,
      retryAfterMs: pauseMs,
    });
    for (;;) {
      const leader = this.#clients.topics.leader(this.#topicId, this.#partition);
      if (leader !== undefined) {
        try {
          return await this.#fetchOne(leader, offset);
        } catch (error) {
          if (isTaskdError(error, ErrorCode.OFFSET_OUT_OF_RANGE)) return undefined;
          if (!isTaskdError(error) || !isPassing(error)) throw error;
          problem = error;
          this.#clients.topics.stale(this.#topicId);
        }
      }
      if (clock.monotonicMs() + pauseMs > endMs) throw problem;
      await new Promise<void>((resolve) => clock.timer(pauseMs, resolve));
    }
  }

  async #fetchOne(leader: Parameters<CallerSource['to']>[0], offset: number): Promise<StoredRecord | undefined> {
    const place = { topicId: this.#topicId, partition: this.#partition, offset };
    const request = { partitions: [place], bytesMax: recordAtBytes, bytesMin: 1, waitMs: 0 };
    const { message, payload } = await this.#clients.callers.to(leader, 'bulk').call(fetch, request);
    const error = message.partitions[0]?.error;
    if (error?.code) {
      const retry = (error.retry || Retry.NEVER) as Retry;
      throw new TaskdError(error.code as ErrorCode, error.message ?? '', { retry });
    }
    const header = readBatch(payload, 0);
    if (typeof header === 'string') return undefined;
    return recordsOf(header, payload.subarray(0, header.length)).find((record) => record.offset === offset);
  }
}

/**
 * The records of a batch, over a copy of its bytes, so that they outlive the receive buffer. A body that is no records,
 * which a broker does not accept, has none.
 */
function recordsOf(header: BatchHeader, bytes: Uint8Array): StoredRecord[] {
  const body = new Uint8Array(bytes.subarray(headerBytes, header.length));
  const records: StoredRecord[] = [];
  try {
    readRecords(body, header.baseOffset, header.recordCount, (record) => records.push(record));
  } catch (error) {
    if (!(error instanceof RecordError)) throw error;
    return [];
  }
  return records;
}

function isPassing(error: TaskdError): boolean {
  if (error.retry !== Retry.NEVER) return true;
  return isTaskdError(error, ErrorCode.NOT_SENT, ErrorCode.CONNECTION_LOST, ErrorCode.DEADLINE);
}
