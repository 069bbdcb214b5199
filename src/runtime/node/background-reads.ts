import { backgroundReadBytesMax, ReadPace } from '../read-pace.js';

interface Waiting {
  readonly bytes: number;
  readonly askedMs: number;
  readonly begin: () => void;
}

/**
 * Lets background reads of a process begin when `ReadPace` says so, in the order in which they came, and tells it of all
 * syncs of the process.
 */
export class BackgroundReads {
  readonly #pace = new ReadPace();
  readonly #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isBeginning = false;
  bytes = 0;
  /** Milliseconds that reads have waited, all together. */
  waitedMs = 0;

  get waiting(): number {
    return this.#waiting.length;
  }

  get bytesPerSecondMax(): number {
    return this.#pace.bytesPerSecond(performance.now()) ?? 0;
  }

  /** Calls `begin` now or later; what it begins is at most `backgroundReadBytesMax` long and ends with `ended`. */
  ask(bytes: number, begin: () => void): void {
    this.#waiting.push({ bytes: Math.min(bytes, backgroundReadBytesMax), askedMs: performance.now(), begin });
    this.#beginSome();
  }

  ended(): void {
    this.#pace.readEnded(performance.now());
    this.#beginSome();
  }

  /** Returns what `syncEnded` must be given. */
  syncBegan(): number {
    this.#pace.syncBegan();
    return performance.now();
  }

  syncEnded(beganMs: number): void {
    this.#pace.syncEnded(beganMs, performance.now());
    if (this.#waiting.length > 0) this.#beginSome();
  }

  readonly #beginSome = (): void => {
    if (this.#isBeginning) return;
    this.#isBeginning = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const nowMs = performance.now();
      const waitMs = this.#pace.waitMs(first.askedMs, nowMs);
      if (waitMs > 0) {
        if (waitMs < Number.POSITIVE_INFINITY) this.#timer = setTimeout(this.#beginSome, Math.ceil(waitMs));
        break;
      }
      this.#waiting.shift();
      this.bytes += first.bytes;
      this.waitedMs += nowMs - first.askedMs;
      this.#pace.readBegan(first.bytes, nowMs);
      first.begin();
    }
    this.#isBeginning = false;
  };
}

/** The disk and the thread pool belong to the process, and so do these. */
export const backgroundReads: BackgroundReads = new BackgroundReads();
