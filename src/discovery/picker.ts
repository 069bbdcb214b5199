/** Someone who could take a call or a run. */
export interface Candidate {
  /** Unique among the candidates; a picker's memory of someone hangs on it. */
  readonly id: string;
  /** Relative share of the load. One whose weight is not above 0 is never chosen. */
  readonly weight: number;
  /** What the weight will be after slow start; left out: it is that already. */
  readonly fullWeight?: number;
  /** Perhaps gone: chosen only when nobody else may be. */
  readonly isSuspect: boolean;
  /** Never chosen: draining, or taken out by a person. What a picker remembers of someone stays while he is listed. */
  readonly isDisabled?: boolean;
  /** Where he is; '' or left out: unknown. */
  readonly zone?: string;
  /** Differs from start to start of the process; a new one is warmed up anew. */
  readonly incarnation?: number;
}

/**
 * A load-balancing strategy, used for one purpose by one process. Lists given to `pick` are immutable: the same array
 * means the same candidates, which is what makes a pick cheap. `checkPicker` says what holds for every picker.
 */
export interface Picker {
  /**
   * Chooses one of the candidates; undefined when none may be chosen: the list is empty, all are disabled, or the one
   * whom the key names isn't there. `key` is for strategies that send equal keys to one place; others ignore it.
   */
  pick<C extends Candidate>(key: string | undefined, candidates: readonly C[]): C | undefined;
  /** All who shall get the call, for strategies that send it to more than one. */
  pickAll?<C extends Candidate>(key: string | undefined, candidates: readonly C[]): readonly C[];
  /**
   * The call to a picked candidate is over. Every pick is followed by at most one; strategies that count calls in
   * flight need exactly one. Unknown ids, and those who left the list, are ignored.
   */
  done?(id: string, outcome: PickOutcome): void;
}

export interface PickOutcome {
  readonly latencyMs: number;
  /** False for what speaks against the candidate: no answer, or one that says that it can't. */
  readonly isOk: boolean;
}

/** False for those who are never chosen, whatever becomes of the others. */
export function isOpen({ weight, isDisabled }: Candidate): boolean {
  return isDisabled !== true && weight > 0 && weight < Number.POSITIVE_INFINITY;
}

/**
 * The candidates to choose from, in the order of the list: nobody who is disabled or without weight; of the others
 * those above suspicion, or all when there are none.
 */
export function usable<C extends Candidate>(candidates: readonly C[]): readonly C[] {
  let open = 0;
  let suspects = 0;
  for (const candidate of candidates) {
    if (!isOpen(candidate)) continue;
    open++;
    if (candidate.isSuspect) suspects++;
  }
  const isWithout = suspects > 0 && suspects < open;
  if (open === candidates.length && !isWithout) return candidates;
  return candidates.filter((candidate) => isOpen(candidate) && !(isWithout && candidate.isSuspect));
}
