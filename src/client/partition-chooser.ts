/**
 * Which partition a record goes to. Pure.
 *
 * With a key: Kafka's murmur2, so that the same key finds the same partition whatever client wrote it, and whatever is
 * down. Without: the *sticky* way of KIP-794. Records stay with one partition until a batch's worth of bytes went there,
 * then move on to one drawn in proportion to how short its queue is, among those that have a leader which answers. Switching by bytes
 * and not by batches matters: a slow broker closes fewer, larger batches, and would be given more by the other rule.
 */
import { keyPartition } from '../base/murmur2.js';
import type { Random } from '../runtime/random.js';

/** What is known of a topic's partitions at the moment of a choice. */
export interface PartitionLoad {
  /** Batches that wait for this partition. */
  queued(partition: number): number;
  hasLeader(partition: number): boolean;
  /** True when its broker does not answer in time. */
  isSlow(partition: number): boolean;
}

export class PartitionChooser {
  readonly #random: Random;
  readonly #stickyBytes: number;
  readonly #load: PartitionLoad;
  #partitions: number;
  #current: number | undefined;
  #bytes = 0;

  constructor(random: Random, partitions: number, stickyBytes: number, load: PartitionLoad) {
    this.#random = random;
    this.#partitions = partitions;
    this.#stickyBytes = stickyBytes;
    this.#load = load;
  }

  /** The topic has so many partitions now. */
  resize(partitions: number): void {
    this.#partitions = partitions;
  }

  /** The partition of a record of about `bytes` bytes. */
  choose(key: Uint8Array | undefined, bytes: number): number {
    if (key !== undefined) return keyPartition(key, this.#partitions);
    if (this.#mustMove()) {
      this.#current = this.#draw();
      this.#bytes = 0;
    }
    this.#bytes += bytes;
    return this.#current!;
  }

  #mustMove(): boolean {
    if (this.#current === undefined || this.#bytes >= this.#stickyBytes || this.#current >= this.#partitions)
      return true;
    return !this.#load.hasLeader(this.#current);
  }

  #draw(): number {
    const candidates: number[] = [];
    for (let i = 0; i < this.#partitions; i++) {
      if (this.#load.hasLeader(i) && !this.#load.isSlow(i)) candidates.push(i);
    }
    if (candidates.length === 0) return this.#random.below(this.#partitions);
    const queues = candidates.map((partition) => this.#load.queued(partition));
    const longest = Math.max(...queues);
    const sums: number[] = [];
    let sum = 0;
    for (const queue of queues) sums.push((sum += longest + 1 - queue));
    const ticket = this.#random.below(sum);
    return candidates[sums.findIndex((upTo) => ticket < upTo)]!;
  }
}
