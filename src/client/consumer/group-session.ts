/**
 * Keeps a member's session with its group's coordinator: opens the stream, beats, and comes back after cuts. What it
 * decides stands in `member-core.ts`.
 *
 * Order of effects in a turn: the core's own order (a join, what was lost, what is to be let go, what is new), then the
 * beat, which so never says that something was let go that still runs.
 */
import { ErrorCode, isTaskdError, Retry, TaskdError } from '../../base/errors.js';
import { Backoff } from '../../rpc/backoff.js';
import type { Caller, ClientStream } from '../../rpc/caller.js';
import type { Timer } from '../../runtime/clock.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { taskd } from '../../wire/generated/messages.js';
import { groupBeat, joinGroup, leaveGroup } from '../../wire/methods.js';
import type { LeaderCaller } from './leader-caller.js';
import type { GroupPartition, Holding, MemberCore, MemberEffect } from './member-core.js';
import { byTopic } from './positions.js';

export interface MemberOptions {
  readonly group: string;
  readonly memberId: string;
  readonly instanceId: string;
  readonly topics: readonly string[];
  readonly assignor: string;
  readonly sessionTimeoutMs: number;
  readonly releaseTimeoutMs: number;
}

export interface SessionEvents<W> {
  take(holdings: readonly Holding<W>[]): void;
  /** Each is to be handed to `core.released` once it was let go; then call `perform`. */
  release(holdings: readonly Holding<W>[]): void;
  lose(holdings: readonly Holding<W>[]): void;
  /** New work may begin, after a start or a doubt. */
  mayStart(): void;
  /** It goes on by itself. */
  trouble(error: TaskdError): void;
  /** The group won't have this member. The last call. */
  fatal(error: TaskdError): void;
}

const findMs = 10_000;
const backoffFirstMs = 50;
const backoffMaxMs = 2_000;
const leaveMs = 3_000;
/** Pushes granted to the coordinator; granted anew one by one. */
const pushCredit = 64;

/** Errors that joining again would only repeat. */
const finalCodes: readonly ErrorCode[] = [
  ErrorCode.INVALID,
  ErrorCode.CONFLICT,
  ErrorCode.FORBIDDEN,
  ErrorCode.UNAUTHENTICATED,
  ErrorCode.TOO_LARGE,
  ErrorCode.MALFORMED,
  ErrorCode.UNKNOWN_METHOD,
  ErrorCode.MEMBER_FENCED,
  ErrorCode.QUOTA,
];

export class GroupSession<W> {
  readonly #runtime: Runtime;
  readonly #leaders: LeaderCaller;
  readonly #options: MemberOptions;
  readonly #core: MemberCore<W>;
  readonly #events: SessionEvents<W>;
  readonly #backoff: Backoff;
  #stream: ClientStream | undefined;
  #caller: Caller | undefined;
  /** Counts attempts to join; what belongs to an earlier one is void. */
  #round = 0;
  #retry: Timer | undefined;
  #beat: Timer | undefined;
  #isClosed = false;

  constructor(
    runtime: Runtime,
    leaders: LeaderCaller,
    core: MemberCore<W>,
    events: SessionEvents<W>,
    options: MemberOptions,
  ) {
    this.#runtime = runtime;
    this.#leaders = leaders;
    this.#core = core;
    this.#events = events;
    this.#options = options;
    this.#backoff = new Backoff(runtime.random, backoffFirstMs, backoffMaxMs);
  }

  start(): void {
    this.#core.join();
    this.perform();
  }

  /** A commit says that the coordinator doesn't know this member. */
  unknown(): void {
    if (this.#isClosed) return;
    this.#core.fenced(this.#runtime.clock.monotonicMs());
    this.#core.join();
    this.perform();
  }

  /** Does what the core wants done. */
  perform(): void {
    if (this.#isClosed) return;
    for (let effects = this.#core.take(); effects.length > 0; effects = this.#core.take()) {
      for (const effect of effects) this.#do(effect);
    }
    this.#plan();
  }

  /** Leaves for good; a static member only goes, and keeps its partitions until its session is over. */
  async leave(): Promise<void> {
    const { group, memberId, instanceId } = this.#options;
    this.#end();
    if (instanceId !== '') return;
    try {
      await this.#leaders.askCoordinator(group, leaveGroup, { group, memberId }, leaveMs);
    } catch (error) {
      if (isTaskdError(error)) this.#events.trouble(error);
      else throw error;
    }
  }

  #end(): void {
    this.#isClosed = true;
    this.#core.close();
    this.#round++;
    this.#retry?.cancel();
    this.#beat?.cancel();
    this.#stream?.cancel();
    this.#stream = undefined;
  }

  #do(effect: MemberEffect<W>): void {
    switch (effect.kind) {
      case 'join':
        void this.#join(effect.epoch, effect.owned);
        break;
      case 'lose':
        this.#events.lose(effect.holdings);
        break;
      case 'release':
        this.#events.release(effect.holdings);
        break;
      case 'take':
        this.#events.take(effect.holdings);
        break;
      case 'beat': {
        const { group, memberId } = this.#options;
        const owned = byTopic(effect.owned);
        const { number } = effect;
        this.#caller?.send(groupBeat, { group, memberId, memberEpoch: effect.epoch, owned, number });
        break;
      }
    }
  }

  #plan(): void {
    this.#beat?.cancel();
    const waitMs = this.#core.dueMs - this.#runtime.clock.monotonicMs();
    if (waitMs === Number.POSITIVE_INFINITY) return;
    this.#beat = this.#runtime.clock.timer(Math.max(0, waitMs), () => {
      this.#core.tick(this.#runtime.clock.monotonicMs());
      this.perform();
    });
  }

  async #join(epoch: number, owned: readonly GroupPartition[]): Promise<void> {
    const round = ++this.#round;
    this.#stream?.cancel();
    this.#stream = undefined;
    this.#retry?.cancel();
    const { group, memberId, instanceId, topics, assignor, sessionTimeoutMs, releaseTimeoutMs } = this.#options;
    let caller: Caller;
    try {
      caller = await this.#leaders.coordinator(group, this.#runtime.clock.monotonicMs() + findMs);
    } catch (error) {
      this.#ended(round, error);
      return;
    }
    if (this.#round !== round) return;
    const request = {
      group,
      memberId,
      instanceId,
      topics: [...topics],
      assignor,
      sessionTimeoutMs,
      releaseTimeoutMs,
      memberEpoch: epoch,
      owned: byTopic(owned),
      clientId: memberId,
    };
    this.#caller = caller;
    this.#core.opened(this.#runtime.clock.monotonicMs());
    this.#stream = caller.open(joinGroup, request, pushCredit, {
      push: (push) => this.#pushed(round, push),
      end: (error) => this.#ended(round, error),
    });
  }

  #pushed(round: number, push: taskd.GroupPush): void {
    if (this.#round !== round) return;
    this.#backoff.succeeded();
    this.#stream?.credit(1);
    const nowMs = this.#runtime.clock.monotonicMs();
    const couldStart = this.#core.isIn && this.#core.mayStart(nowMs);
    if (push.unchanged) this.#core.heard(push.heard);
    else {
      const assigned = flat(push.assigned);
      const { memberEpoch, heartbeatMs, sessionTimeoutMs, heard } = push;
      this.#core.pushed({ epoch: memberEpoch, assigned, heartbeatMs, sessionTimeoutMs, heard }, nowMs);
      this.perform();
    }
    if (!couldStart && this.#core.isIn && this.#core.mayStart(nowMs)) this.#events.mayStart();
  }

  #ended(round: number, error: unknown): void {
    if (this.#round !== round || this.#isClosed) return;
    this.#stream = undefined;
    const nowMs = this.#runtime.clock.monotonicMs();
    if (error !== undefined && !isTaskdError(error)) {
      this.#events.fatal(new TaskdError(ErrorCode.INTERNAL, 'the group could not be joined', { cause: error }));
      return;
    }
    if (error?.code === ErrorCode.UNKNOWN_MEMBER) {
      this.#events.trouble(error);
      this.#core.fenced(nowMs);
    } else if (error !== undefined && finalCodes.includes(error.code) && error.retry === Retry.NEVER) {
      this.#core.fenced(nowMs);
      this.perform();
      this.#end();
      this.#events.fatal(error);
      return;
    } else {
      this.#core.cut(nowMs);
      this.#leaders.coordinatorIsStale();
      if (error !== undefined) this.#events.trouble(error);
    }
    this.perform();
    // The first redial is immediate: most cuts are short.
    const failures = this.#backoff.failures;
    const drawnMs = this.#backoff.failed();
    const waitMs = Math.max(failures === 0 ? 0 : drawnMs, error?.retryAfterMs ?? 0);
    this.#retry = this.#runtime.clock.timer(waitMs, () => {
      this.#core.join();
      this.perform();
    });
  }
}

function flat(topics: readonly taskd.ITopicPartitions[]): GroupPartition[] {
  return topics.flatMap(({ topicId, partitions }) =>
    (partitions ?? []).map((partition) => ({ topicId: topicId ?? 0, partition })),
  );
}
