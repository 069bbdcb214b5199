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
 * Waits for what `visit` returns. Rejects where a part of the log can't be read.
 */
export async function readTopic(
  network: QueueNetwork,
  topic: string,
  range: ReadRange,
  visit: (record: ConsumerRecord) => unknown,
): Promise<void> {
  const consumer = new Consumer(network, { topics: [topic], stopAtEnd: true, concurrency: 1, ...range });
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
