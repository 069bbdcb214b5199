/** Someone who could take a call or a run. */
export interface Candidate {
  /** Unique among the candidates; a picker's memory of someone hangs on it. */
  readonly id: string;
  /** Relative share of the load, above 0. */
  readonly weight: number;
  /** Perhaps gone: chosen only when nobody else is there. */
  readonly isSuspect: boolean;
}

/**
 * A load-balancing strategy, used for one purpose by one process. Lists given to `pick` are immutable: the same array
 * means the same candidates, which is what makes a pick cheap.
 */
export interface Picker {
  /** Chooses one; undefined only when the list is empty. `key` is for strategies that send equal keys to one place. */
  pick<C extends Candidate>(key: string | undefined, candidates: readonly C[]): C | undefined;
  /** The call to a picked candidate is over. Every pick is followed by at most one. */
  done?(id: string, outcome: PickOutcome): void;
}

export interface PickOutcome {
  readonly latencyMs: number;
  readonly isOk: boolean;
}

/** The candidates to choose from: those above suspicion, or all when there are none. */
export function usable<C extends Candidate>(candidates: readonly C[]): readonly C[] {
  let suspects = 0;
  for (const candidate of candidates) if (candidate.isSuspect) suspects++;
  return suspects === 0 || suspects === candidates.length
    ? candidates
    : candidates.filter((candidate) => !candidate.isSuspect);
}
