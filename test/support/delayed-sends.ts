import { delayLevelFor } from '../../src/base/delay-level.js';
import type { NewRecord } from '../../src/batch/record.js';
import { cancelDelivery, openLevel, sendDelayed } from '../../src/client/delayed.js';
import type { Delivered, Producer } from '../../src/client/producer.js';
import type { TopicPlace } from '../../src/client/topic-directory.js';
import type { QueueNetwork } from '../../src/client/topic-producer.js';

const openMs = 15_000;

/** Sends delayed records to targets by ids, over a producer of one's own. */
export class DelayedSends {
  readonly #network: QueueNetwork;
  /** By level; asked for once. */
  readonly #levels = new Map<number, Promise<TopicPlace>>();

  constructor(network: QueueNetwork) {
    this.#network = network;
  }

  async send(
    producer: Producer,
    topicId: number,
    partition: number,
    record: NewRecord,
    deliverAtMs: number,
  ): Promise<Delivered> {
    const { clock } = this.#network.runtime;
    const sinceMs = clock.monotonicMs();
    const level = delayLevelFor(deliverAtMs - clock.wallMs());
    const place = await this.#level(level);
    return sendDelayed(producer, place, level, { topicId, partition }, record, deliverAtMs, sinceMs);
  }

  cancel(id: string): Promise<boolean> {
    return cancelDelivery(this.#network.topics, id);
  }

  #level(level: number): Promise<TopicPlace> {
    let place = this.#levels.get(level);
    if (place === undefined) {
      place = openLevel(this.#network.topics, level, openMs);
      this.#levels.set(level, place);
      place.catch(() => this.#levels.delete(level));
    }
    return place;
  }
}
