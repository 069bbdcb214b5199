import { ErrorCode } from '../../base/errors.js';
import type { QueueNetwork } from '../topic-producer.js';
import { Consumer } from './consumer.js';
import type { ConsumerRecord } from './consumer-record.js';
import type { Position } from './positions.js';

/** Which part of a topic is read; default: all of it. */
export interface ReadRange {
  readonly from?: Position;
  readonly partitions?: readonly number[];
}

/**
 * Reads what a topic holds now, each partition in its order; resolves at its end, or once `visit` has returned false.
 * Waits for what `visit` returns. Goes past batches that are no records, and past what a person gave up; rejects where a part of the log is lost.
 */
export async function readTopic(
  network: QueueNetwork,
  topic: string,
  range: ReadRange,
  visit: (record: ConsumerRecord) => unknown,
): Promise<void> {
  const consumer = new Consumer(network, {
    topics: [topic],
    stopAtEnd: true,
    concurrency: 1,
    ...range,
    // What was never records, or was given up, is none of those that are looked for.
    onDataLoss: ({ error, isGivenUp }) => (error.code === ErrorCode.MALFORMED || isGivenUp ? 'skip' : 'stop'),
  });
  let isOver = false;
  await consumer.runBatch(async (records) => {
    for (const record of records) {
      if (isOver) return;
      if ((await visit(record)) !== false) continue;
      isOver = true;
      void consumer.close();
    }
  });
}
