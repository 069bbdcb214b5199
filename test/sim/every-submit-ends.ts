/**
 * Checker: *every acknowledged submit reaches an end once faults stop*, the end never changes, and a success carries
 * the result of its own arguments.
 */
import type { Run } from '../../src/client/run.js';

export interface Submitted {
  /** What the processor gives back. */
  readonly key: string;
  /** False for runs that may end otherwise: they fail too often, are cancelled or time out. */
  readonly mustSucceed: boolean;
  readonly atMs: number;
}

const finalStates: ReadonlySet<string> = new Set(['SUCCEEDED', 'CANCELLED', 'TIMED_OUT', 'DEAD', 'REFUSED']);

export class EverySubmitEnds {
  readonly #submitted = new Map<string, Submitted>();
  readonly #ends = new Map<string, string>();
  readonly #fail: (error: Error) => void;

  constructor(fail: (error: Error) => void) {
    this.#fail = fail;
  }

  get acknowledgedCount(): number {
    return this.#submitted.size;
  }

  get endedCount(): number {
    return this.#ends.size;
  }

  endsIn(state: string): number {
    return [...this.#ends.values()].filter((end) => end === state).length;
  }

  /** Ids that were acknowledged. */
  all(): string[] {
    return [...this.#submitted.keys()];
  }

  /** Acknowledged runs that were seen to end so. */
  withEnd(state: string): string[] {
    return this.all().filter((run) => this.#ends.get(run) === state);
  }

  submitted(run: string): Submitted | undefined {
    return this.#submitted.get(run);
  }

  /** Ids that were acknowledged and not yet seen at their end. */
  pending(): string[] {
    return [...this.#submitted.keys()].filter((run) => !this.#ends.has(run));
  }

  /** Some acknowledged run, or undefined while there is none. */
  at(index: number): string | undefined {
    return [...this.#submitted.keys()][index];
  }

  acknowledged(run: string, submitted: Submitted): void {
    if (this.#submitted.has(run)) this.#fail(new Error(`two submits were acknowledged as run ${run}`));
    this.#submitted.set(run, submitted);
  }

  /** A client was told the run's state. Returns true when it is over. */
  saw(run: Run, atMs: number): boolean {
    const submitted = this.#submitted.get(run.id);
    if (submitted === undefined) return finalStates.has(run.state);
    const end = this.#ends.get(run.id);
    if (!finalStates.has(run.state)) {
      if (end !== undefined) this.#fail(new Error(`run ${run.id} was ${end} and is ${run.state} again`));
      return false;
    }
    if (end === run.state) return true;
    if (end !== undefined) this.#fail(new Error(`run ${run.id} was ${end} and became ${run.state}`));
    this.#ends.set(run.id, run.state);
    if (run.state === 'SUCCEEDED') this.#checkResult(run, submitted);
    // More than five lost leases make a run dead, which the faults of one seed may do; a failure may not.
    else if (submitted.mustSucceed && !(run.state === 'DEAD' && run.lost > 5)) {
      const why = `state ${run.state}, attempt ${run.attempt}, lost ${run.lost}, error "${run.error}"`;
      this.#fail(new Error(`run ${run.id} should have succeeded: ${why}, seen at ${atMs.toFixed(1)} ms`));
    }
    return true;
  }

  /** Somebody asked for an acknowledged run and was told that there is none. */
  isMissing(run: string): void {
    const submitted = this.#submitted.get(run);
    if (submitted !== undefined) {
      this.#fail(new Error(`run ${run} was acknowledged at ${submitted.atMs.toFixed(1)} ms and is gone`));
    }
  }

  #checkResult(run: Run, submitted: Submitted): void {
    const result = Buffer.from(run.result).toString();
    if (result !== JSON.stringify({ key: submitted.key })) {
      this.#fail(new Error(`run ${run.id} of "${submitted.key}" succeeded with the result ${result}`));
    }
  }
}
