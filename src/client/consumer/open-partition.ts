import type { ConsumerRecord } from './consumer-record.js';
import type { Holding } from './member-core.js';
import type { PartitionReader } from './partition-reader.js';
import type { PartitionWork } from './work-queue.js';

/** A partition of a topic, as a program names it. */
export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** Everything that a consumer has on one partition while it consumes it. */
export class OpenPartition implements TopicPartition {
  /** Its own name, also of a retry topic. */
  readonly topic: string;
  readonly topicId: number;
  readonly partition: number;
  /** Undefined without a group. */
  readonly holding: Holding<OpenPartition> | undefined;
  /** Undefined until it is known where to begin. */
  work: PartitionWork<ConsumerRecord> | undefined;
  reader: PartitionReader | undefined;
  /** What the coordinator has: the next record to consume; -1 for nothing yet. */
  committedEnd = -1;
  /** Nothing is read of it any more, because of this. */
  problem: Error | undefined;
  isPaused = false;
  /** The program heard of it. */
  wasTold = false;
  /** Nobody consumes it here any more. */
  isOver = false;
  /** Called when nothing of it runs any more. */
  idle: (() => void) | undefined;

  constructor(topic: string, topicId: number, partition: number, holding?: Holding<OpenPartition>) {
    this.topic = topic;
    this.topicId = topicId;
    this.partition = partition;
    this.holding = holding;
  }

  get name(): string {
    return `${this.topic}/${this.partition}`;
  }
}
