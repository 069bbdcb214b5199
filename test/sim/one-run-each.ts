/**
 * Checker: *one submit is one run.* However often its record was sent, no second run has the same arguments, except
 * those that replays of it made on purpose.
 */
export class OneRunEach {
  readonly #runs = new Map<string, Set<string>>();
  readonly #replays = new Map<string, Set<string>>();
  readonly #fail: (error: Error) => void;

  constructor(fail: (error: Error) => void) {
    this.#fail = fail;
  }

  /** Someone asked that the dead `run` be replayed, which makes one run at most, however often it is asked for. */
  replaying(key: string, run: string): void {
    add(this.#replays, key, run);
  }

  /** A processor was called for a run with the arguments `key`. */
  started(key: string, run: string): void {
    const runs = add(this.#runs, key, run);
    const allowed = 1 + (this.#replays.get(key)?.size ?? 0);
    if (runs.size > allowed) {
      this.#fail(new Error(`submit ${key} became ${runs.size} runs, ${allowed} allowed: ${[...runs].join(', ')}`));
    }
  }
}

function add(sets: Map<string, Set<string>>, key: string, value: string): Set<string> {
  const set = sets.get(key) ?? new Set<string>();
  sets.set(key, set.add(value));
  return set;
}
