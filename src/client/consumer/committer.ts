/**
 * Commits how far partitions are done: one request at a time, for all that have moved on. A commit that is asked for
 * while a request is under way waits for the one after it, which holds what was done by then.
 */
import { ErrorCode, isTaskdError, type TaskdError } from '../../base/errors.js';
import { fromErrorInfo } from '../../rpc/error-info.js';
import type { taskd } from '../../wire/generated/messages.js';
import { commitOffsets } from '../../wire/methods.js';
import type { LeaderCaller } from './leader-caller.js';
import type { OpenPartition } from './open-partition.js';

/** The next record to consume of a partition. */
export interface Progress {
  readonly partition: OpenPartition;
  readonly offset: number;
}

export interface CommitterEvents {
  /** All partitions that may have something to commit. */
  partitions(): Iterable<OpenPartition>;
  epoch(): number;
  /** The coordinator doesn't know this member. */
  unknown(): void;
  /** This partition is not this member's any more, or not there. */
  refused(partition: OpenPartition, error: TaskdError): void;
}

/** Partitions in one request; a coordinator takes up to 4,096. */
const partitionsMax = 4_000;

export class Committer {
  readonly #leaders: LeaderCaller;
  readonly #group: string;
  readonly #memberId: string;
  readonly #events: CommitterEvents;
  #current: Promise<void> | undefined;
  #following: Promise<void> | undefined;

  constructor(leaders: LeaderCaller, group: string, memberId: string, events: CommitterEvents) {
    this.#leaders = leaders;
    this.#group = group;
    this.#memberId = memberId;
    this.#events = events;
  }

  /**
   * Resolves once all that was done when it was called is committed, durably, or refused for good. Rejects when that
   * did not go within `deadlineMs`.
   */
  commit(deadlineMs: number): Promise<void> {
    if (this.#current === undefined) {
      this.#current = this.#round(deadlineMs).finally(() => {
        this.#current = undefined;
      });
      return this.#current;
    }
    this.#following ??= this.#current
      .catch(() => {})
      .then(() => {
        this.#following = undefined;
        return this.commit(deadlineMs);
      });
    return this.#following;
  }

  /** Commits these offsets instead of what is done; rejects when one of them is refused. */
  async commitExactly(offsets: readonly Progress[], deadlineMs: number): Promise<void> {
    const [refused] = await this.#send(offsets, deadlineMs);
    if (refused !== undefined) throw refused;
  }

  async #round(deadlineMs: number): Promise<void> {
    let moved: Progress[] = [];
    for (const partition of this.#events.partitions()) {
      const offset = partition.work?.doneEnd;
      if (offset === undefined || offset === partition.committedEnd || partition.isOver) continue;
      moved.push({ partition, offset });
      if (moved.length < partitionsMax) continue;
      await this.#send(moved, deadlineMs);
      moved = [];
    }
    if (moved.length > 0) await this.#send(moved, deadlineMs);
  }

  /** Resolves with why some were refused. */
  async #send(moved: readonly Progress[], deadlineMs: number): Promise<TaskdError[]> {
    const offsets = moved.map(({ partition: { topicId, partition }, offset }) => ({ topicId, partition, offset }));
    const memberEpoch = this.#events.epoch();
    const request = { group: this.#group, memberId: this.#memberId, memberEpoch, offsets };
    let answer: taskd.CommitOffsetsResponse;
    try {
      answer = await this.#leaders.askCoordinator(this.#group, commitOffsets, request, deadlineMs);
    } catch (error) {
      // What was meant for an earlier membership says nothing of the one that came after it.
      const isOurs = memberEpoch === this.#events.epoch();
      if (isOurs && isTaskdError(error, ErrorCode.UNKNOWN_MEMBER)) this.#events.unknown();
      throw error;
    }
    const refused = new Map<string, taskd.IErrorInfo>();
    for (const { topicId, partition, error } of answer.results) {
      if (error?.code) refused.set(`${topicId ?? 0}/${partition ?? 0}`, error);
    }
    const problems: TaskdError[] = [];
    for (const { partition, offset } of moved) {
      const problem = refused.get(`${partition.topicId}/${partition.partition}`);
      if (problem === undefined) {
        partition.committedEnd = offset;
        continue;
      }
      const error = fromErrorInfo(problem as taskd.ErrorInfo);
      problems.push(error);
      if (!partition.isOver) this.#events.refused(partition, error);
    }
    return problems;
  }
}
