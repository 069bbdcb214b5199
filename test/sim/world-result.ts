/** What one run of a simulated world under one seed came to. */
export interface WorldResult {
  readonly seed: number;
  /** Undefined when all checkers were content. */
  readonly problem: Error | undefined;
  /** What happened, by name, for a person and for sums over seeds. */
  readonly counts: Readonly<Record<string, number>>;
  readonly events: number;
  readonly virtualMs: number;
  readonly digest: number;
  readonly faults: string;
  /** The last lines of the world's log. */
  readonly log: readonly string[];
}

export interface ScenarioOptions {
  /** Gets each line of the world's log as it comes. */
  readonly print?: (line: string) => void;
}
