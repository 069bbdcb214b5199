import type { taskd } from '../../wire/generated/messages.js';

/** A worker's connection, as the driver presents it. */
export interface SessionInfo {
  /** Never used before in this process, and higher for a later connection. */
  readonly sessionId: number;
  readonly appId: number;
  readonly workerId: string;
  /** Grows each time the worker's process starts. */
  readonly incarnation: number;
  readonly processors: readonly string[];
  /** Leases it takes at once: slots and prefetch. */
  readonly capacity: number;
  /** Share of the leases beside other workers, 1 to 10,000; 0 means 100. */
  readonly weight: number;
}

/** What a worker says of itself when it connects: complete lists of tokens. */
export interface Claim {
  readonly incarnation: number;
  readonly running: readonly number[];
  readonly unreported: readonly number[];
  /** The highest offset at which one of its reports was acknowledged; undefined: none was. */
  readonly acknowledgedOffset: number | undefined;
}

export type Report = taskd.RunReport | taskd.IRunReport;
