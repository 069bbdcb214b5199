import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { peerProduceBytesMax, produceBytesMax } from '../base/limits.js';
import { BatchClass } from '../batch/header.js';
import type { ServerCall } from '../rpc/service.js';
import type { Clock } from '../runtime/clock.js';
import type { Timers } from '../timer/timers.js';
import type { taskd } from '../wire/generated/messages.js';
import type { ClientQuota } from './client-quota.js';
import { type ClusterShard, clusterTopic } from './cluster-shard.js';
import type { CommitWaiter } from './commit-waiters.js';
import type { DelayLadder } from './delay/ladder.js';
import { LateAnswers } from './late-answers.js';
import type { Appended, Partition } from './partition.js';
import type { Partitions } from './partitions.js';
import { type Destination, readProduced } from './produced-batches.js';
import { isBrokersName } from './topic-name.js';

type ProduceCall = ServerCall<taskd.IProduceResponse>;

const classMax = 2;

/**
 * Answers `produce`: checks, appends, and replies once everything is on disk; where the topic has a flush interval, once
 * it is in the file.
 */
export class ProduceService {
  readonly #partitions: Partitions;
  readonly #topics: Pick<ClusterShard, 'topic' | 'nextProducerId'>;
  readonly #delay: Pick<DelayLadder, 'admission'>;
  readonly #quota: ClientQuota;
  readonly #clock: Clock;
  readonly #late: LateAnswers;
  /** Requests that were refused, for metrics. */
  refused = 0;
  /** Bytes of requests that were appended and not answered yet. */
  waitingBytes = 0;
  /** The same, by connection. */
  readonly #peerBytes = new Map<number, number>();

  constructor(
    partitions: Partitions,
    topics: Pick<ClusterShard, 'topic' | 'nextProducerId'>,
    delay: Pick<DelayLadder, 'admission'>,
    quota: ClientQuota,
    clock: Clock,
    timers: Timers,
  ) {
    this.#partitions = partitions;
    this.#topics = topics;
    this.#delay = delay;
    this.#quota = quota;
    this.#clock = clock;
    this.#late = new LateAnswers(timers);
  }

  /** Answers, late when the client's quota wants it. */
  answer(waiter: ProduceWaiter, answer: () => void): void {
    this.waitingBytes -= waiter.bytes;
    const left = (this.#peerBytes.get(waiter.peerId) ?? 0) - waiter.bytes;
    if (left > 0) this.#peerBytes.set(waiter.peerId, left);
    else this.#peerBytes.delete(waiter.peerId);
    this.#late.after(waiter.dueMs === 0 ? 0 : waiter.dueMs - this.#clock.monotonicMs(), answer);
  }

  /** Sends the answers that are late only for the quota; from now on none is. */
  stop(): void {
    this.#late.stop();
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
    if (topicId === clusterTopic.topicId) throw writtenByBrokers(clusterTopic.name);
    if (batchClass > classMax) throw new TaskdError(ErrorCode.INVALID, `there is no batch class ${batchClass}`);
    const partition = this.#partitions.get(topicId, number);
    partition.assertWritable();
    const bytes = call.payload.length;
    if (this.waitingBytes > 0 && this.waitingBytes + bytes > produceBytesMax) {
      throw busy('all connections', this.waitingBytes, produceBytesMax);
    }
    const { id: peerId, clientId } = call.peer;
    const peerBytes = this.#peerBytes.get(peerId) ?? 0;
    if (peerBytes > 0 && peerBytes + bytes > peerProduceBytesMax) {
      throw busy('this connection', peerBytes, peerProduceBytesMax);
    }
    const nowMs = this.#clock.monotonicMs();
    this.#quota.check(clientId, nowMs);
    const batches = readProduced(call.payload, this.#destination(partition, batchClass as BatchClass));
    // All batches of a request are of one producer.
    const { producerId } = batches[0]!.header;
    if (producerId >= this.#topics.nextProducerId) throw neverGivenOut(producerId);
    const appended = partition.append(batches);
    const isEarly = partition.flushIntervalMs > 0 && !appended.duplicate;
    const lateMs = this.#quota.take(clientId, bytes, nowMs);
    const waiter = new ProduceWaiter(this, call, appended, isEarly, bytes, lateMs === 0 ? 0 : nowMs + lateMs);
    this.waitingBytes += bytes;
    this.#peerBytes.set(peerId, peerBytes + bytes);
    if (isEarly) partition.whenWritten(waiter);
    else partition.whenCommitted(waiter);
  }

  #destination({ topicId, partition, internal }: Partition, batchClass: BatchClass): Destination {
    if (!internal) return { batchClass, internal };
    const admit = this.#delay.admission(topicId, partition);
    if (admit !== undefined) return { batchClass: BatchClass.CLIENT, internal, admit };
    const name = this.#topics.topic(topicId)?.name ?? '';
    if (isBrokersName(name)) throw writtenByBrokers(name);
    return { batchClass, internal };
  }
}

function writtenByBrokers(name: string): TaskdError {
  return new TaskdError(ErrorCode.FORBIDDEN, `${name} is written by brokers only`);
}

/** A partition knows a limited number of producers for a day: whoever invents ids could close it to all others. */
function neverGivenOut(producerId: number): TaskdError {
  const message = `producer id ${producerId} was not given out by this cluster; ask a broker for one (initProducer)`;
  return new TaskdError(ErrorCode.UNKNOWN_PRODUCER, message);
}

/** Tells a mover up to where its records are here already. */
function sequenceOverlap(lastSequence: number): TaskdError {
  const message = `the mover's records are here up to sequence ${lastSequence}; send again what comes after it`;
  return new TaskdError(ErrorCode.SEQUENCE_OVERLAP, message, { hint: String(lastSequence) });
}

function busy(whose: string, bytes: number, most: number): TaskdError {
  const message = `${bytes} bytes of records from ${whose} wait for the disk, at most ${most} may; wait for answers first`;
  return new TaskdError(ErrorCode.BUSY, message, { retry: Retry.AFTER, retryAfterMs: 50 });
}

class ProduceWaiter implements CommitWaiter {
  readonly leavesWhenFull = true;
  /** Of the whole request. */
  readonly bytes: number;
  readonly peerId: number;
  /** Not to be answered before; 0: at once. */
  readonly dueMs: number;
  readonly #service: ProduceService;
  readonly #call: ProduceCall;
  readonly #appended: Appended;
  readonly #flushedLater: boolean;

  constructor(
    service: ProduceService,
    call: ProduceCall,
    appended: Appended,
    flushedLater: boolean,
    bytes: number,
    dueMs: number,
  ) {
    this.#service = service;
    this.bytes = bytes;
    this.peerId = call.peer.id;
    this.dueMs = dueMs;
    this.#call = call;
    this.#appended = appended;
    this.#flushedLater = flushedLater;
  }

  get endOffset(): number {
    return this.#appended.endOffset;
  }

  committed(): void {
    this.#service.answer(this, () => this.#reply());
  }

  failed(error: TaskdError): void {
    this.#service.answer(this, () => this.#call.fail(error));
  }

  #reply(): void {
    const { baseOffset, appendTimestamp, duplicate, overlap } = this.#appended;
    if (overlap !== undefined) {
      this.#call.fail(sequenceOverlap(overlap));
      return;
    }
    const place = baseOffset === undefined ? {} : { baseOffset };
    this.#call.reply({ ...place, appendTimestampMs: appendTimestamp, duplicate, flushedLater: this.#flushedLater });
  }
}
