import { ErrorCode, TaskdError } from '../base/errors.js';
import { BatchClass } from '../batch/header.js';
import type { ServerCall } from '../rpc/service.js';
import type { taskd } from '../wire/generated/messages.js';
import { clusterTopic } from './cluster-shard.js';
import type { CommitWaiter } from './commit-waiters.js';
import type { DelayLadder } from './delay/ladder.js';
import type { Appended, Partition } from './partition.js';
import type { Partitions } from './partitions.js';
import { type Destination, readProduced } from './produced-batches.js';

type ProduceCall = ServerCall<taskd.IProduceResponse>;

const classMax = 2;

/**
 * Answers `produce`: checks, appends, and replies once everything is on disk; where the topic has a flush interval, once
 * it is in the file.
 */
export class ProduceService {
  readonly #partitions: Partitions;
  readonly #delay: Pick<DelayLadder, 'admission'>;
  /** Requests that were refused, for metrics. */
  refused = 0;

  constructor(partitions: Partitions, delay: Pick<DelayLadder, 'admission'>) {
    this.#partitions = partitions;
    this.#delay = delay;
  }

  /** Runs in the turn of the frame: the payload is a view of the receive buffer. */
  handle(request: taskd.ProduceRequest, call: ProduceCall): void {
    try {
      this.#handle(request, call);
    } catch (error) {
      this.refused++;
      call.fail(error);
    }
  }

  #handle(request: taskd.ProduceRequest, call: ProduceCall): void {
    const { topicId, partition: number, batchClass } = request;
    if (topicId === clusterTopic.topicId) {
      throw new TaskdError(ErrorCode.FORBIDDEN, `${clusterTopic.name} is written by brokers only`);
    }
    if (batchClass > classMax) throw new TaskdError(ErrorCode.INVALID, `there is no batch class ${batchClass}`);
    const partition = this.#partitions.get(topicId, number);
    partition.assertWritable();
    const batches = readProduced(call.payload, this.#destination(partition, batchClass as BatchClass));
    const appended = partition.append(batches);
    const isEarly = partition.flushIntervalMs > 0 && !appended.duplicate;
    const waiter = new ProduceWaiter(call, appended, isEarly);
    if (isEarly) partition.whenWritten(waiter);
    else partition.whenCommitted(waiter);
  }

  #destination({ topicId, partition, internal }: Partition, batchClass: BatchClass): Destination {
    const admit = internal ? this.#delay.admission(topicId, partition) : undefined;
    return admit === undefined ? { batchClass, internal } : { batchClass: BatchClass.CLIENT, internal, admit };
  }
}

/** Tells a mover up to where its records are here already. */
function sequenceOverlap(lastSequence: number): TaskdError {
  const message = `the mover's records are here up to sequence ${lastSequence}; send again what comes after it`;
  return new TaskdError(ErrorCode.SEQUENCE_OVERLAP, message, { hint: String(lastSequence) });
}

class ProduceWaiter implements CommitWaiter {
  readonly #call: ProduceCall;
  readonly #appended: Appended;
  readonly #flushedLater: boolean;

  constructor(call: ProduceCall, appended: Appended, flushedLater: boolean) {
    this.#call = call;
    this.#appended = appended;
    this.#flushedLater = flushedLater;
  }

  get endOffset(): number {
    return this.#appended.endOffset;
  }

  committed(): void {
    const { baseOffset, appendTimestamp, duplicate, overlap } = this.#appended;
    if (overlap !== undefined) {
      this.#call.fail(sequenceOverlap(overlap));
      return;
    }
    const place = baseOffset === undefined ? {} : { baseOffset };
    this.#call.reply({ ...place, appendTimestampMs: appendTimestamp, duplicate, flushedLater: this.#flushedLater });
  }

  failed(error: TaskdError): void {
    this.#call.fail(error);
  }
}
