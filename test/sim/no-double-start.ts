/**
 * Checker: *no start of a run while another live lease on it exists, and none after it succeeded.*
 *
 * It watches from outside, through what processors see, and knows only what the protocol promises:
 * - a lease is started at most once, whatever was sent again;
 * - a start under an older lease never follows one under a newer lease: the older was over when the newer was given;
 * - a worker starts only within 6 s of its last answered ping, and a lease outlives that answer by 10 s, so within the
 *   4 s after a start no other worker may start while the first still runs, whatever is cut or paused;
 * - once somebody was told that a run succeeded, or is otherwise over, it never starts again.
 */

/** Time for which a lease certainly outlives its start. */
const leaseSureMs = 4_000;

export interface Start {
  readonly run: string;
  /** Grows with each lease of a run. */
  readonly leaseToken: number;
  readonly worker: string;
  readonly atMs: number;
  /** True while the processor has not returned and its process lives. */
  readonly isRunning: () => boolean;
}

export class NoDoubleStart {
  readonly #starts = new Map<string, Start[]>();
  readonly #over = new Map<string, string>();
  readonly #fail: (error: Error) => void;
  #count = 0;

  constructor(fail: (error: Error) => void) {
    this.#fail = fail;
  }

  /** Starts seen so far. */
  get count(): number {
    return this.#count;
  }

  /** What is known of a run, for the report of a failure. */
  history(run: string): string {
    const starts = (this.#starts.get(run) ?? []).map(
      (start) => `lease ${start.leaseToken} started by ${start.worker} at ${start.atMs.toFixed(1)} ms`,
    );
    const end = this.#over.get(run);
    return [...starts, ...(end === undefined ? [] : [end])].join('; ') || 'never started';
  }

  hasStarted(run: string): boolean {
    return this.#starts.has(run);
  }

  started(start: Start): void {
    const { run } = start;
    this.#count++;
    const before = this.#starts.get(run) ?? [];
    this.#starts.set(run, [...before, start]);
    if (this.#over.has(run)) this.#violation(run, 'started after it was over');
    for (const other of before) {
      if (other.leaseToken === start.leaseToken) this.#violation(run, 'one lease was started twice');
      if (other.leaseToken > start.leaseToken) this.#violation(run, 'started under a lease that was over');
      if (other.isRunning() && start.atMs - other.atMs < leaseSureMs) {
        this.#violation(run, 'started while another lease is alive');
      }
    }
  }

  /** Somebody was told by the scheduler that the run is over. */
  isOver(run: string, state: string, atMs: number): void {
    if (!this.#over.has(run)) this.#over.set(run, `seen ${state} at ${atMs.toFixed(1)} ms`);
  }

  #violation(run: string, what: string): void {
    this.#fail(new Error(`run ${run}: ${what} (${this.history(run)})`));
  }
}
