import type { taskd } from '../../wire/generated/messages.js';
import type { Lane } from './lane.js';
import { RunList } from './run-list.js';

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

/**
 * One session as its owner sees it.
 *
 * ```
 * attached ─claim handled─▶ ready ─draining─▶ drains
 *    └───────────┴─ a newer session of the worker ─▶ superseded ─┐
 *    └───────────┴─ a lease of it expired ─▶ dead ───────────────┼─▶ gone, once closed and without leases
 *    └───────────┴─ detach ─▶ closed ────────────────────────────┘
 * ```
 *
 * Only a ready, current, live one whose ping was answered lately gets leases.
 */
export class Session {
  readonly index: number;
  readonly info: SessionInfo;
  /** Index of the worker's identity. */
  readonly worker: number;
  readonly lanes: readonly Lane[];
  /** A bit for each lane in whose heap it is. */
  readonly isOffered: Uint8Array;
  readonly leases: RunList = new RunList();
  isReady = false;
  isDraining = false;
  isClosed = false;
  isSuperseded = false;
  /** One of its leases expired: it is never answered again. */
  isDead = false;
  /** When its last ping was answered; monotonic. */
  answeredMs: number = Number.NEGATIVE_INFINITY;
  /** The last answer to any session that held one of its leases: what expiry counts from. */
  basisMs: number = Number.NEGATIVE_INFINITY;
  /** Leases, those on their way included, whose attempts haven't ended. */
  inUse = 0;
  /** Least-dispatched: grows by 1/weight with each lease. */
  key = 0;
  /** Handle of the timer that looks for expired leases, 0: none. */
  timer = 0;

  constructor(index: number, info: SessionInfo, worker: number, lanes: readonly Lane[]) {
    this.index = index;
    this.info = info;
    this.worker = worker;
    this.lanes = lanes;
    this.isOffered = new Uint8Array(lanes.length);
  }

  /** May dispatches, cancels and answers still go to it? */
  get isCurrent(): boolean {
    return this.isReady && !this.isClosed && !this.isSuperseded && !this.isDead;
  }
}
