import { batchBody } from '../../src/batch/body.js';
import { readRecords } from '../../src/batch/record.js';
import { Fetcher } from '../../src/client/fetcher.js';
import type { ClientKit } from './broker-node.js';

/** All values of a partition as texts, up to its end now, and the bytes of their batches. */
export async function readAll(
  client: Pick<ClientKit, 'runtime' | 'connections' | 'topics'>,
  topicId: number,
  partition: number,
): Promise<{ texts: string[]; bytes: number }> {
  const texts: string[] = [];
  let bytes = 0;
  await new Promise<void>((resolve, reject) => {
    const place = { topicId, partition, offset: 0 };
    const fetcher = new Fetcher(client.runtime, client.connections, client.topics, place, {
      batch: (header, batch) => {
        bytes += batch.length;
        readRecords(batchBody(batch, header), header.baseOffset, header.recordCount, ({ value }) => {
          texts.push(Buffer.from(value ?? []).toString());
        });
      },
      caughtUp: () => {
        fetcher.close();
        resolve();
      },
      lost: (_start, error) => reject(error),
    });
  });
  return { texts, bytes };
}
