/**
 * Long-poll fetch: an answer leaves as soon as enough is there, something went wrong, or the wait is over.
 *
 * Hot data is answered from memory in the turn of the request, or of the sync that made it. What is only on disk is
 * answered with regions of files, which the connection sends; opening files goes through a gate, so that readers far
 * behind can't take the whole thread pool. Only a fetch that asks for `checked` batches has them read and checked here.
 */
import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { placeOf } from '../base/place.js';
import { LogRegion } from '../log/log-region.js';
import type { ServerCall } from '../rpc/service.js';
import type { Clock } from '../runtime/clock.js';
import { bytesOf, type Piece, releasePieces } from '../runtime/file-region.js';
import type { Timers } from '../timer/timers.js';
import type { taskd } from '../wire/generated/messages.js';
import type { ClientQuota } from './client-quota.js';
import { FetchQuota, type Metered } from './fetch-quota.js';
import { LentBytes } from './lent-bytes.js';
import { OwnedBytes } from './owned-bytes.js';
import type { Partition } from './partition.js';
import type { Partitions } from './partitions.js';
import { Purgatory, type PurgatoryLimits, type Waiting } from './purgatory.js';

type FetchCall = ServerCall<taskd.IFetchResponse>;

/** Partitions in one fetch. */
export const fetchPartitionsMax = 1_024;
/** Bytes in one answer; a single batch may be larger. */
export const fetchBytesMax: number = 8 * 1024 * 1024;
/** A fetch that asks for no limit gets this one. */
const fetchBytesDefault: number = 1024 * 1024;
export const fetchWaitMaxMs = 30_000;
/**
 * Fetches that wait at once, and the partitions that they name: each costs some hundred bytes while it waits, and a look
 * when all of them are answered.
 */
const waitingLimits: PurgatoryLimits = { waitingMax: 100_000, keysMax: 262_144, peerKeysMax: 32_768 };
/** Fetches that open or read files at once. */
const coldReadsMax = 8;
/** A peer for which so much waits gets no more data: parts of files cost little, but each holds its segment. */
const peerQueuedBytesMax = 256 * 1024 * 1024;
/** Bytes in an answer of checked batches, which are memory until the reader took them; a single batch may be larger. */
const checkedBytesMax: number = 1024 * 1024;
/** Of such answers, what may be read or wait to leave; of one peer, beyond which nothing more is read for it. */
const ownedBytesMax: number = 64 * 1024 * 1024;
const peerOwnedBytesMax: number = 1024 * 1024;
/** Of the logs' tails in memory, what may wait to leave. */
const lentBytesMax = 32 * 1024 * 1024;
/** The answer leaves so long before the caller gives up. */
const answerEarlyMs = 20;

interface Wanted {
  readonly topicId: number;
  readonly partition: number;
  readonly offset: number;
  readonly bytesMax: number;
  /** What is below is in the fetch's `readyBytes`. */
  counted: number;
}

interface Fetch extends Waiting, Metered {
  readonly call: FetchCall;
  readonly wanted: readonly Wanted[];
  readonly bytesMax: number;
  readonly bytesMin: number;
  readonly isChecked: boolean;
  /** Of all its partitions, as they were when they were looked at. */
  readyBytes: number;
  timer: number;
}

/** What one partition gives to an answer. */
interface Found {
  readonly state: Partition | undefined;
  readonly pieces: readonly Piece[];
  readonly bytes: number;
  /** One past the last record, if that is known. */
  readonly end?: number | undefined;
  readonly error: TaskdError | undefined;
}

export class FetchService {
  readonly #partitions: Partitions;
  readonly #timers: Timers;
  readonly #rates: ClientQuota;
  readonly #quota: FetchQuota<Fetch>;
  readonly #purgatory = new Purgatory<Fetch>(waitingLimits);
  readonly #lent = new LentBytes(lentBytesMax);
  readonly #owned = new OwnedBytes(ownedBytesMax, peerOwnedBytesMax);
  readonly #coldQueue: Fetch[] = [];
  #coldReads = 0;
  /** Bytes given from the log's tail in memory, for metrics. */
  memoryBytes = 0;
  #isStopped = false;

  constructor(partitions: Partitions, timers: Timers, quota: ClientQuota, clock: Clock) {
    this.#partitions = partitions;
    this.#timers = timers;
    this.#rates = quota;
    this.#quota = new FetchQuota(quota, timers, clock, (fetch) => this.#serve(fetch));
    partitions.onCommitted = (partition) => this.#wake(partition);
  }

  /** Fetches that wait for data. */
  get waiting(): number {
    return this.#purgatory.size;
  }

  /** Upper bound of what was read, or is being read, for answers of checked batches. */
  get ownedBytes(): number {
    return this.#owned.bytes;
  }

  /** Upper bound of what answers keep of the logs' tails. */
  get lentBytes(): number {
    return this.#lent.bytes;
  }

  handle(request: taskd.FetchRequest, call: FetchCall): void {
    if (request.partitions.length === 0 || request.partitions.length > fetchPartitionsMax) {
      const message = `a fetch names 1 to ${fetchPartitionsMax} partitions, this one ${request.partitions.length}`;
      call.fail(new TaskdError(ErrorCode.INVALID, message));
      return;
    }
    const wanted = request.partitions.map(({ topicId, partition, offset, bytesMax }) => {
      return {
        topicId: topicId ?? 0,
        partition: partition ?? 0,
        offset: offset ?? 0,
        bytesMax: bytesMax || fetchBytesMax,
        counted: offset ?? 0,
      };
    });
    const keys = wanted.map(({ topicId, partition }) => placeOf(topicId, partition));
    if (new Set(keys).size < keys.length) {
      call.fail(new TaskdError(ErrorCode.INVALID, 'a fetch names each partition once; ask again without the others'));
      return;
    }
    const fetch: Fetch = {
      keys,
      peerId: call.peer.id,
      call,
      wanted,
      bytesMax: Math.min(
        request.bytesMax || fetchBytesDefault,
        request.checked ? checkedBytesMax : fetchBytesMax,
        this.#rates.bytesAtOnce(call.peer.clientId),
      ),
      bytesMin: Math.min(request.bytesMin, fetchBytesMax),
      isChecked: request.checked,
      readyBytes: 0,
      reserved: 0,
      timer: 0,
    };
    const waitMs = Math.min(request.waitMs, fetchWaitMaxMs, call.remainingMs() - answerEarlyMs);
    if (waitMs > 0 && !this.#isStopped && !this.#isReady(fetch) && this.#purgatory.add(fetch))
      this.#park(fetch, waitMs);
    else this.#answer(fetch);
  }

  /** Answers everyone who waits with what is there, and lets nobody wait any more. */
  stop(): void {
    this.#isStopped = true;
    this.#quota.stop();
    for (const fetch of this.#purgatory.drain()) {
      this.#timers.cancel(fetch.timer);
      this.#answer(fetch);
    }
  }

  #park(fetch: Fetch, waitMs: number): void {
    fetch.timer = this.#timers.after(waitMs, () => {
      if (this.#purgatory.remove(fetch)) this.#answer(fetch);
    });
    fetch.call.onCancel(() => {
      if (!this.#purgatory.remove(fetch)) return;
      this.#timers.cancel(fetch.timer);
      fetch.call.reply({});
    });
  }

  #wake(partition: Partition): void {
    for (const fetch of this.#purgatory.wake(partition.key, (each, index) => this.#look(each, index))) {
      this.#timers.cancel(fetch.timer);
      this.#answer(fetch);
    }
  }

  /** True when the answer need not wait: enough bytes, a reason to complain, or bytes that only the file has. */
  #isReady(fetch: Fetch): boolean {
    if (fetch.bytesMin === 0) return true;
    for (let index = 0; index < fetch.wanted.length; index++) if (this.#look(fetch, index)) return true;
    return false;
  }

  /** Counts what one of its partitions has got since the last look. True as with `#isReady`. */
  #look(fetch: Fetch, index: number): boolean {
    const wanted = fetch.wanted[index]!;
    const partition = this.#partitions.find(wanted.topicId, wanted.partition);
    if (partition === undefined || problemOf(partition, wanted.offset) !== undefined) return true;
    const { highWatermark } = partition;
    if (wanted.counted >= highWatermark) return false;
    const bytes = fetch.bytesMin > 1 ? partition.hotBytes(wanted.counted) : undefined;
    if (bytes === undefined) return true;
    wanted.counted = highWatermark;
    fetch.readyBytes += bytes;
    return fetch.readyBytes >= fetch.bytesMin;
  }

  #answer(fetch: Fetch): void {
    this.#quota.admit(fetch);
  }

  #serve(fetch: Fetch): void {
    if (fetch.call.isCancelled) {
      // Nobody listens, but the call counts as running until it is answered.
      this.#quota.settle(fetch, 0);
      fetch.call.reply({});
      return;
    }
    if (fetch.call.peer.queuedBytes > peerQueuedBytesMax) {
      this.#fail(fetch, tooMuchWaits());
      return;
    }
    const answer = new Answer(fetch.bytesMax);
    for (const wanted of fetch.wanted) {
      const found = this.#find(fetch, wanted, answer.left);
      if (found === undefined) {
        answer.drop();
        this.#answerCold(fetch);
        return;
      }
      answer.add(found);
    }
    this.#reply(answer, fetch);
  }

  #reply(answer: Answer, fetch: Fetch): void {
    this.#quota.settle(fetch, answer.bytes);
    answer.reply(fetch);
  }

  #fail(fetch: Fetch, error: TaskdError): void {
    this.#quota.settle(fetch, 0);
    fetch.call.fail(error);
  }

  /** What is in memory; undefined when the file is needed. */
  #find(fetch: Fetch, wanted: Wanted, bytesMax: number): Found | undefined {
    const state = this.#partitions.find(wanted.topicId, wanted.partition);
    if (state === undefined) return { state, pieces: [], bytes: 0, error: notFound(wanted) };
    const error = problemOf(state, wanted.offset);
    if (error !== undefined || wanted.offset >= state.highWatermark || bytesMax === 0) {
      return { state, pieces: [], bytes: 0, error };
    }
    const most = Math.min(wanted.bytesMax, bytesMax);
    const hot = state.readHot(wanted.offset, most);
    const lent = hot === undefined ? undefined : this.#lent.lend(fetch.call.peer, hot);
    if (lent === undefined && fetch.isChecked) return undefined;
    const pieces = lent ?? state.regionsAt(wanted.offset, most);
    if (pieces === undefined) return undefined;
    const bytes = bytesOf(pieces);
    if (lent !== undefined) this.memoryBytes += bytes;
    return { state, pieces, bytes, end: endOf(pieces), error: undefined };
  }

  #answerCold(fetch: Fetch): void {
    if (this.#coldReads >= coldReadsMax) {
      this.#coldQueue.push(fetch);
      return;
    }
    const { peer } = fetch.call;
    const reserved = fetch.isChecked ? fetch.bytesMax : 0;
    if (fetch.isChecked && !this.#owned.begin(peer, reserved)) {
      this.#fail(fetch, tooMuchRead());
      return;
    }
    this.#coldReads++;
    void this.#readCold(fetch).then((answer) => {
      this.#coldReads--;
      if (fetch.isChecked) this.#owned.end(peer, reserved, answer instanceof TaskdError ? 0 : answer.bytes);
      if (answer instanceof TaskdError) this.#fail(fetch, answer);
      else if (fetch.call.peer.queuedBytes > peerQueuedBytesMax) {
        answer.drop();
        this.#fail(fetch, tooMuchWaits());
      } else this.#reply(answer, fetch);
      this.#answerQueued();
    });
  }

  /** Those that were given up, or need the file no more, take no place. */
  #answerQueued(): void {
    while (this.#coldReads < coldReadsMax) {
      const next = this.#coldQueue.shift();
      if (next === undefined) return;
      this.#serve(next);
    }
  }

  async #readCold(fetch: Fetch): Promise<Answer | TaskdError> {
    const answer = new Answer(fetch.bytesMax);
    for (const wanted of fetch.wanted) {
      const found = await this.#findAnywhere(fetch, wanted, answer.left);
      if (found instanceof TaskdError) {
        answer.drop();
        return found;
      }
      answer.add(found);
    }
    return answer;
  }

  async #findAnywhere(fetch: Fetch, wanted: Wanted, bytesMax: number): Promise<Found | TaskdError> {
    try {
      const hot = this.#find(fetch, wanted, bytesMax);
      if (hot !== undefined) return hot;
      const state = this.#partitions.get(wanted.topicId, wanted.partition);
      const most = Math.min(wanted.bytesMax, bytesMax);
      const pieces = await (fetch.isChecked ? state.read(wanted.offset, most) : state.regions(wanted.offset, most));
      return { state, pieces, bytes: bytesOf(pieces), end: endOf(pieces), error: undefined };
    } catch (error) {
      const state = this.#partitions.find(wanted.topicId, wanted.partition);
      if (error instanceof TaskdError) return { state, pieces: [], bytes: 0, error };
      const message = `partition ${wanted.partition} of topic ${wanted.topicId} could not be read`;
      return new TaskdError(ErrorCode.INTERNAL, message, { cause: error, retry: Retry.AFTER, retryAfterMs: 100 });
    }
  }
}

/** Why nothing can be read at `offset`, now or by waiting a little. */
function problemOf(partition: Partition, offset: number): TaskdError | undefined {
  if (!partition.isReadable) {
    try {
      partition.assertServing();
    } catch (error) {
      if (error instanceof TaskdError) return error;
      throw error;
    }
  }
  const { logStart, logEnd } = partition;
  if (offset >= logStart && offset <= logEnd) return undefined;
  const message = `offset ${offset} is outside the log, which has ${logStart} to ${logEnd}`;
  return new TaskdError(ErrorCode.OFFSET_OUT_OF_RANGE, message);
}

function endOf(pieces: readonly Piece[]): number | undefined {
  const last = pieces.at(-1);
  return last instanceof LogRegion ? last.end : undefined;
}

function tooMuchWaits(): TaskdError {
  const message = `more than ${peerQueuedBytesMax} bytes wait for this connection to read them; ask for less at once`;
  return new TaskdError(ErrorCode.BUSY, message, { retry: Retry.AFTER, retryAfterMs: 100 });
}

function tooMuchRead(): TaskdError {
  const message =
    'checked batches that were asked for before wait to be read; read them first, and ask for fewer at once';
  return new TaskdError(ErrorCode.BUSY, message, { retry: Retry.AFTER, retryAfterMs: 100 });
}

function notFound({ topicId, partition }: Wanted): TaskdError {
  const message = `this broker has no partition ${partition} of a topic with id ${topicId}`;
  return new TaskdError(ErrorCode.NOT_FOUND, message);
}

/** Gathers what the partitions give, in order, within the bytes that were asked. */
class Answer {
  left: number;
  readonly #bytesMax: number;
  readonly #found: Found[] = [];

  constructor(bytesMax: number) {
    this.left = bytesMax;
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    let bytes = 0;
    for (const found of this.#found) bytes += found.bytes;
    return bytes;
  }

  /** Only the first partition that has data may go beyond, since a batch is never cut. */
  add(found: Found): void {
    const fits = found.bytes <= this.left || this.left === this.#bytesMax;
    if (fits) {
      this.#found.push(found);
      this.left = Math.max(0, this.left - found.bytes);
    } else {
      releasePieces(found.pieces);
      this.#found.push({ ...found, pieces: [], bytes: 0 });
    }
  }

  /** Nobody will get it. */
  drop(): void {
    for (const { pieces } of this.#found) releasePieces(pieces);
  }

  reply(fetch: Fetch): void {
    const payload: Piece[] = [];
    const partitions = this.#found.map(({ state, pieces, bytes, end, error }, i) => {
      payload.push(...pieces);
      const { topicId, partition } = fetch.wanted[i]!;
      const each: taskd.IFetchedPartition = { topicId, partition, payloadBytes: bytes };
      if (state?.isReadable) {
        each.highWatermark = state.highWatermark;
        each.logStart = state.logStart;
      }
      if (end !== undefined && bytes > 0) each.nextOffset = end;
      if (error !== undefined) each.error = errorInfo(error);
      return each;
    });
    fetch.call.reply({ partitions }, payload);
  }
}

function errorInfo({ code, message, retry, retryAfterMs, hint }: TaskdError): taskd.IErrorInfo {
  return { code, message, retry, retryAfterMs, hint };
}
