/**
 * Reads one partition and goes on reading: one long poll after another, a connection of its own kind (bulk), so that a
 * large answer holds up nothing else. Batches are told while an answer comes, and the next one is asked for as soon as
 * it is known where that begins: at once if the broker says it, else when the last batch has begun.
 *
 * A broker sends what its disk gives back, so a batch may be damaged. It is never told: the same offset is asked for
 * once more, now with the broker's own check, which answers DATA_LOSS if it is the disk and not the way.
 *
 * ```
 *  idle ──leader known──▶ asking ──batches──▶ asking …      (hold() makes it wait before it asks)
 *                           │ retriable error, bad bytes      ▲
 *                           ▼                                 │
 *                         pausing ────── backoff over ────────┘
 *                           │ offset outside the log, data lost, no such topic
 *                           ▼
 *                          lost (ended)              close() ends it from anywhere
 * ```
 */
import { ErrorCode, isTaskdError, Retry, TaskdError } from '../base/errors.js';
import { type BatchHeader, isControl } from '../batch/header.js';
import type { Address } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import { taskd } from '../wire/generated/messages.js';
import { fetch, listOffsets } from '../wire/methods.js';
import { FetchAnswer } from './fetch-answer.js';
import type { CallerSource, TopicDirectory } from './topic-directory.js';

/** Called in the loop's own turn, in log order. */
export interface FetchEvents {
  /**
   * One whole batch, CRCs checked; control batches are left out. `bytes` is a view that is valid until it returns. The
   * first batch may begin before the offset that was asked for.
   */
  batch(header: BatchHeader, bytes: Uint8Array): void;
  /** A look at the end that began at `beganMs` was answered, and everything committed by then was told. */
  caughtUp?(nextOffset: number, beganMs: number): void;
  /**
   * Reading can't go on from here; the log begins at `logStart` now. With DATA_LOSS the error's hint is `from-to`, the
   * offsets that are gone, where the broker knows them. The last call.
   */
  lost?(logStart: number, error: TaskdError): void;
  /** Brokers say that there is no such topic or partition any more. The last call; without it this is trouble. */
  gone?(error: TaskdError): void;
  /** An attempt failed; it goes on by itself. */
  trouble?(error: TaskdError): void;
}

export interface FetcherOptions {
  /** Bytes in one answer. Default 1 MiB. */
  readonly bytesMax?: number;
  /** How long the broker holds an answer back while there is nothing. Default 500 ms. */
  readonly waitMs?: number;
}

interface Look {
  readonly end: number;
  readonly beganMs: number;
}

/** A fetch that was sent; the promise is that of its call. */
interface Asked {
  readonly answer: FetchAnswer;
  readonly over: Promise<unknown>;
}

const answerMarginMs = 5_000;
const pauseFirstMs = 10;
const pauseMaxMs = 1_000;

export class Fetcher {
  readonly #runtime: Runtime;
  readonly #callers: CallerSource;
  readonly #topics: TopicDirectory;
  readonly #topicId: number;
  readonly #partition: number;
  readonly #events: FetchEvents;
  readonly #bytesMax: number;
  readonly #waitMs: number;
  #offset: number;
  #logStart = 0;
  #pauseMs = pauseFirstMs;
  #isClosed = false;
  #isHeld = false;
  /** Asked for before the answer before it was handled. */
  #next: Asked | undefined;
  /** Of the answers that may be told, the latest. */
  #latest: FetchAnswer | undefined;
  /** A batch came damaged: the broker shall look at it. */
  #mustCheck = false;
  #goOn: (() => void) | undefined;
  /** A look at the end that waits until reading has come so far, and the latest one after it. */
  #look: Look | undefined;
  #laterLook: Look | undefined;
  #isLooking = false;
  #mustLookAgain = false;

  constructor(
    runtime: Runtime,
    callers: CallerSource,
    topics: TopicDirectory,
    place: { readonly topicId: number; readonly partition: number; readonly offset: number },
    events: FetchEvents,
    options: FetcherOptions = {},
  ) {
    this.#runtime = runtime;
    this.#callers = callers;
    this.#topics = topics;
    this.#topicId = place.topicId;
    this.#partition = place.partition;
    this.#offset = place.offset;
    this.#events = events;
    this.#bytesMax = options.bytesMax ?? 1024 * 1024;
    this.#waitMs = options.waitMs ?? 500;
    runtime.clock.defer(() => void this.#run());
  }

  /** The offset of the next record to come. */
  get nextOffset(): number {
    return this.#offset;
  }

  /** Looks at the end now, instead of when the long poll comes back. */
  poke(): void {
    if (this.#isClosed) return;
    if (this.#isLooking) this.#mustLookAgain = true;
    else void this.#lookAtEnd();
  }

  /** Asks for no more until `resume`; the rest of an answer that is there, or on its way, is still told. */
  hold(): void {
    this.#isHeld = true;
  }

  resume(): void {
    this.#isHeld = false;
    this.#goOn?.();
  }

  /** Nothing is told after it. */
  close(): void {
    this.#isClosed = true;
    this.#goOn?.();
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      if (this.#isHeld) {
        await new Promise<void>((resolve) => {
          this.#goOn = resolve;
        });
        this.#goOn = undefined;
        continue;
      }
      const leader = this.#topics.locate(this.#topicId, this.#partition);
      if (leader instanceof TaskdError) {
        if (this.#events.gone !== undefined) {
          this.#isClosed = true;
          this.#events.gone(leader);
          return;
        }
        this.#events.trouble?.(leader);
        await this.#pause();
        continue;
      }
      if (leader === undefined) {
        await this.#leaderChange();
        continue;
      }
      const asked = this.#next ?? this.#ask(leader, this.#offset);
      this.#next = undefined;
      try {
        await asked.over;
        if (this.#isClosed) return;
        const { failure, isDamaged } = asked.answer;
        this.#mustCheck = isDamaged;
        if (failure !== undefined) throw failure;
        this.#pauseMs = pauseFirstMs;
      } catch (error) {
        this.#next = undefined;
        if (this.#isClosed || !(await this.#survives(error))) return;
      }
    }
  }

  #ask(leader: Address, offset: number): Asked {
    const beganMs = this.#runtime.clock.monotonicMs();
    let isNextAsked = false;
    const askNext = (nextOffset: number): void => {
      if (this.#isHeld || isNextAsked || nextOffset <= offset) return;
      isNextAsked = true;
      this.#next = this.#ask(leader, nextOffset);
    };
    const answer: FetchAnswer = new FetchAnswer(offset, beganMs, {
      begins: (found) => {
        // Its turn comes when all before it was told, unless that failed: then it is asked for anew.
        if (this.#isClosed || this.#latest !== answer || this.#offset !== offset) return false;
        this.#logStart = found.logStart ?? 0;
        askNext(found.nextOffset ?? 0);
        return true;
      },
      batch: (header, bytes) => this.#batch(header, bytes),
      ending: askNext,
      complete: ({ highWatermark }) => {
        if (this.#isClosed) return;
        if (this.#offset >= (highWatermark ?? 0)) this.#events.caughtUp?.(this.#offset, beganMs);
        this.#finishLook();
      },
    });
    this.#latest = answer;
    const place = { topicId: this.#topicId, partition: this.#partition, offset };
    const limits = { bytesMax: this.#bytesMax, bytesMin: 1, waitMs: this.#waitMs };
    const request = { partitions: [place], ...limits, checked: this.#mustCheck };
    const options = { deadlineMs: this.#waitMs + answerMarginMs, sink: answer };
    const over = this.#callers.to(leader, 'bulk').call(fetch, request, options);
    over.catch(() => {}); // It may be of no use any more when it fails.
    return { answer, over };
  }

  #batch(header: BatchHeader, bytes: Uint8Array): boolean {
    if (this.#isClosed) return false;
    this.#offset = header.baseOffset + header.recordCount;
    if (!isControl(header)) this.#events.batch(header, bytes);
    return !this.#isClosed;
  }

  /** Decides what an error means; false when it is the end. */
  async #survives(error: unknown): Promise<boolean> {
    if (!isTaskdError(error)) {
      // A bug in what handles the batches: going on would leave some out.
      this.#isClosed = true;
      this.#runtime.clock.defer(() => {
        throw error;
      });
      return false;
    }
    const { code, retry, retryAfterMs } = error;
    if (code === ErrorCode.OFFSET_OUT_OF_RANGE || code === ErrorCode.DATA_LOSS) {
      this.#isClosed = true;
      this.#events.lost?.(this.#logStart, error);
      return false;
    }
    this.#topics.stale(this.#topicId);
    this.#events.trouble?.(error);
    await this.#pause(retry === Retry.AFTER ? retryAfterMs : 0);
    return true;
  }

  /** Until something was learnt of topics; the directory asks at its own pace. */
  #leaderChange(): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.#topics.onChange(done);
      const timer = this.#runtime.clock.timer(pauseMaxMs, done);
      function done(): void {
        stop();
        timer.cancel();
        resolve();
      }
    });
  }

  async #pause(leastMs = 0): Promise<void> {
    const pauseMs = Math.max(leastMs, this.#pauseMs * (0.5 + this.#runtime.random.unit() / 2));
    this.#pauseMs = Math.min(this.#pauseMs * 2, pauseMaxMs);
    await new Promise<void>((resolve) => this.#runtime.clock.timer(pauseMs, resolve));
  }

  async #lookAtEnd(): Promise<void> {
    const leader = this.#topics.leader(this.#topicId, this.#partition);
    if (leader === undefined) return;
    this.#isLooking = true;
    const beganMs = this.#runtime.clock.monotonicMs();
    const spec = taskd.OffsetSpec.OFFSET_SPEC_END;
    try {
      const request = { topicId: this.#topicId, partition: this.#partition, spec };
      const { message } = await this.#callers.to(leader).call(listOffsets, request);
      const look = { end: message.offset, beganMs };
      // It must not replace one that waits, or a reader that lags would answer none as long as new ones come.
      if (this.#look === undefined) this.#look = look;
      else this.#laterLook = look;
    } catch (error) {
      // The long poll meets the same trouble and deals with it.
      this.#runtime.logger.debug({ error }, 'a look at the end of a log failed');
    }
    this.#isLooking = false;
    if (this.#isClosed) return;
    this.#finishLook();
    if (this.#mustLookAgain) {
      this.#mustLookAgain = false;
      void this.#lookAtEnd();
    }
  }

  #finishLook(): void {
    while (this.#look !== undefined && this.#look.end <= this.#offset && !this.#isClosed) {
      const { beganMs } = this.#look;
      this.#look = this.#laterLook;
      this.#laterLook = undefined;
      this.#events.caughtUp?.(this.#offset, beganMs);
    }
  }
}
