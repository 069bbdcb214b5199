import type { Device } from './device.js';
import type { DiskSpace } from './disk-space.js';
import type { ReadHandles } from './read-handles.js';
import type { StateJournal } from './state-journal.js';
import type { TailBudget } from './tail.js';

/** What all logs of a store share. */
export interface LogHost {
  readonly journal: StateJournal;
  readonly tails: TailBudget;
  readonly handles: ReadHandles;
  readonly device: Device;
  readonly space: DiskSpace;
  readonly segmentBytes: number;
  /** Asks that recovery points be stored: within a second, or at once. */
  pointMoved(now: boolean): void;
}
