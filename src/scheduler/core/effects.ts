/**
 * What the core wants done in the world. The driver drains the queue after each input, in order. Effects come from
 * replay's verdict, never from an append, so a lost append leaves no trace outside.
 */
export type Effect =
  | DispatchEffect
  /** Ask the worker to stop the attempt of this token. */
  | { readonly kind: 'cancel'; readonly sessionId: number; readonly token: number }
  /** The report with this token is on disk, at or below `offset`. */
  | { readonly kind: 'acknowledged'; readonly sessionId: number; readonly token: number; readonly offset: number }
  /** Answer to a session ping. */
  | { readonly kind: 'pong'; readonly sessionId: number; readonly sentMs: number; readonly epoch: number }
  /** Answer to a claim: of the claimed tokens, those that are still this worker's. */
  | { readonly kind: 'claimed'; readonly sessionId: number; readonly epoch: number; readonly kept: readonly number[] }
  /** The session is over: another process owns the shard, or this one does under a new epoch. The core forgot it. */
  | { readonly kind: 'notOwner'; readonly sessionId: number }
  /** Our Acquire was read back and holds. */
  | { readonly kind: 'active'; readonly epoch: number }
  /** Our Acquire was read back and is void: another generation came first. */
  | { readonly kind: 'notAcquired' }
  /** Another process acquired the shard; sessions and pending decisions are gone. */
  | { readonly kind: 'deposed'; readonly owner: string; readonly host: string; readonly port: number }
  /** A run that was watched (`watchRun`) reached a final state, or is not known any more. */
  | { readonly kind: 'ended'; readonly run: number }
  /** A proposal that was watched (`watchProposal`) has its verdict: see `verdict`. */
  | { readonly kind: 'decided'; readonly offset: number };

/** Send this attempt to the worker: its lease is committed. */
export interface DispatchEffect {
  readonly kind: 'dispatch';
  readonly sessionId: number;
  readonly run: number;
  readonly token: number;
  readonly epoch: number;
  /** 1 for the first try. */
  readonly attempt: number;
  readonly processor: string;
  /** The job's name, or empty. */
  readonly job: string;
  readonly dueMs: number;
  /** 0: no limit. */
  readonly timeoutMs: number;
  /**
   * Undefined when the core has them no more: then the driver reads the record at `argumentsAt` from the log, takes
   * `argumentsOf(record)`, and keeps the session's order of dispatches only as far as it likes.
   */
  readonly arguments: Uint8Array | undefined;
  readonly argumentsAt: number;
}

/** Effects in order. `drain` empties it; what is added meanwhile is drained as well. */
export class EffectQueue {
  #effects: Effect[] = [];

  get size(): number {
    return this.#effects.length;
  }

  add(effect: Effect): void {
    this.#effects.push(effect);
  }

  drain(perform: (effect: Effect) => void): void {
    while (this.#effects.length > 0) {
      const effects = this.#effects;
      this.#effects = [];
      for (const effect of effects) perform(effect);
    }
  }
}
