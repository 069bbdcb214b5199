import { BatchClass } from '../batch/header.js';
import type { NewRecord } from '../batch/record.js';
import type { App } from './schedulers.js';

/** What a producer does for a client of jobs: one record, durable when it resolves, in a batch with its neighbours. */
export interface RecordSender {
  send(
    topicId: number,
    partition: number,
    record: NewRecord,
    batchClass: BatchClass,
  ): Promise<{ readonly offset: number; readonly appendTimestampMs: number }>;
}

/** The topic of all jobs and runs; a partition is a shard. */
export const jobsTopicName = 'taskd.jobs';

/** Appends what a client wants to the shard that must decide it. */
export class ShardLog {
  readonly #sender: RecordSender;
  readonly #topicId: (name: string) => Promise<number>;

  constructor(sender: RecordSender, topicId: (name: string) => Promise<number>) {
    this.#sender = sender;
    this.#topicId = topicId;
  }

  /** Resolves with the record's offset once it is on disk. */
  async append(app: App, type: number, value: Uint8Array): Promise<number> {
    const { offset } = await this.#sender.send(app.jobsTopicId, app.shard, { type, value }, BatchClass.CLIENT);
    return offset;
  }

  /** As `append`, for a shard that is known by a run's id. */
  async appendTo(shard: number, type: number, value: Uint8Array): Promise<number> {
    const topicId = await this.#topicId(jobsTopicName);
    const { offset } = await this.#sender.send(topicId, shard, { type, value }, BatchClass.CLIENT);
    return offset;
  }
}
