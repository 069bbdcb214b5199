import type { BatchClass } from '../../../src/batch/header.js';
import type { NewRecord } from '../../../src/batch/record.js';
import type { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';
import type { EventQueue, SimProcess } from './event-queue.js';

/** The log and the laws of a simulated world, as those who append see them. */
export interface LogWorld {
  readonly random: SeededRandom;
  readonly events: EventQueue;
  /** Faults are over. */
  readonly isCalm: boolean;
  delay(): number;
  /** A record has its place in the log; `process`: whose it is, in which life. */
  land(record: NewRecord, batchClass: BatchClass, process: SimProcess | undefined, incarnation: number): number;
}

/** A log's client: appends land in order, late, and perhaps after the death of whoever appended. */
export class Producer {
  readonly #world: LogWorld;
  readonly #process: SimProcess | undefined;
  readonly #incarnation: number;
  #queue: { record: NewRecord; batchClass: BatchClass; landed: ((offset: number) => void) | undefined }[] = [];
  #isBusy = false;
  #isCut = false;
  /** Nothing lands before: what was sent hangs somewhere on the way. */
  heldUntilMs = 0;

  constructor(world: LogWorld, process?: SimProcess) {
    this.#world = world;
    this.#process = process;
    this.#incarnation = process?.incarnation ?? 0;
  }

  append(record: NewRecord, batchClass: BatchClass, landed?: (offset: number) => void): void {
    this.#queue.push({ record, batchClass, landed });
    if (this.#isBusy) return;
    this.#isBusy = true;
    this.#world.events.at(this.#world.delay(), () => this.#pump());
  }

  #pump(): void {
    const { events, random } = this.#world;
    const process = this.#process;
    if (this.heldUntilMs > events.nowMs && !this.#world.isCalm) {
      events.at(this.heldUntilMs - events.nowMs, () => this.#pump());
      return;
    }
    if (process !== undefined) {
      if (process.cutUntilMs > events.nowMs && !this.#world.isCalm) {
        events.at(process.cutUntilMs - events.nowMs + 1, () => this.#pump());
        return;
      }
      if (process.incarnation !== this.#incarnation || !process.isUp) {
        if (this.#isCut || random.unit() < 0.4) {
          this.#isCut = true;
          this.#queue = [];
          return;
        }
      } else if (process.pausedUntilMs > events.nowMs && random.unit() < 0.5) {
        events.at(process.pausedUntilMs - events.nowMs + 1, () => this.#pump());
        return;
      }
    }
    const count = random.unit() < 0.8 ? this.#queue.length : 1 + random.below(this.#queue.length);
    for (const { record, batchClass, landed } of this.#queue.splice(0, count)) {
      const offset = this.#world.land(record, batchClass, process, this.#incarnation);
      if (landed !== undefined) events.at(this.#world.delay(), () => landed(offset), process, this.#incarnation);
    }
    if (this.#queue.length > 0) events.at(this.#world.delay(), () => this.#pump());
    else this.#isBusy = false;
  }
}
