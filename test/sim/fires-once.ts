/**
 * Checker: *a planned fire of a job is one run.* However often that run is tried, no second one has the same job and
 * nominal time, wherever clocks step and whoever takes over.
 */
export class FiresOnce {
  readonly #runs = new Map<string, string>();
  readonly #fail: (error: Error) => void;

  constructor(fail: (error: Error) => void) {
    this.#fail = fail;
  }

  /** Fires seen so far. */
  get count(): number {
    return this.#runs.size;
  }

  /** A processor was called for a fire. */
  fired(job: string, dueMs: number, run: string): void {
    const fire = `${job}@${dueMs}`;
    const known = this.#runs.get(fire);
    if (known !== undefined && known !== run)
      this.#fail(new Error(`fire ${fire} became two runs: ${known} and ${run}`));
    this.#runs.set(fire, run);
  }
}
