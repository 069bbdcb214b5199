import type { Random } from '../../src/runtime/random.js';
import type { SimDisk } from '../../src/runtime/sim/sim-disk.js';
import type { SimWorld } from '../../src/runtime/sim/sim-world.js';

/** When the next fault comes, and of which kind: at random times, each kind by its weight. All weights 0: none comes. */
export class FaultPlan<K extends string> {
  readonly #world: SimWorld;
  readonly #random: Random;
  readonly #everyMs: number;
  readonly #weights: readonly (readonly [kind: K, weight: number])[];
  readonly #counts = new Map<K, number>();
  #isOn = false;

  /** `everyMs` is the mean time between two faults. */
  constructor(
    world: SimWorld,
    random: Random,
    everyMs: number,
    weights: readonly (readonly [kind: K, weight: number])[],
  ) {
    this.#world = world;
    this.#random = random;
    this.#everyMs = everyMs;
    this.#weights = weights;
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** How often each was done, as text. */
  summary(): string {
    return [...this.#counts].map(([kind, count]) => `${count} ${kind}`).join(', ');
  }

  /** Calls `strike` for each fault until `stop`. */
  start(strike: (kind: K) => void): void {
    this.#isOn = true;
    this.#next(strike);
  }

  stop(): void {
    this.#isOn = false;
  }

  #next(strike: (kind: K) => void): void {
    this.#world.after(-Math.log(1 - this.#random.unit()) * this.#everyMs, () => {
      if (!this.#isOn) return;
      const kind = this.#pick();
      if (kind !== undefined) {
        this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
        strike(kind);
      }
      this.#next(strike);
    });
  }

  #pick(): K | undefined {
    const total = this.#weights.reduce((sum, [, weight]) => sum + weight, 0);
    if (total === 0) return undefined;
    let at = this.#random.below(total);
    for (const [kind, weight] of this.#weights) {
      if (at < weight) return kind;
      at -= weight;
    }
    return undefined;
  }
}

/** Leaves so many bytes free on the disk, for so long. */
export function fillDisk(world: SimWorld, disk: SimDisk, bytesLeft: number, forMs: number): void {
  const { freeBytes, totalBytes } = disk.space();
  disk.limitBytes = totalBytes - freeBytes + bytesLeft;
  world.after(forMs, () => {
    disk.limitBytes = Number.POSITIVE_INFINITY;
  });
}

/** The disk is as good as new. */
export function mendDisk(disk: SimDisk): void {
  disk.failingSyncs = 0;
  disk.limitBytes = Number.POSITIVE_INFINITY;
  disk.syncExtraMs = 0;
}
