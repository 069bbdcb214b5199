/** A pending timer; opaque to whoever holds it. */
export interface Timer {
  /** Forgets the timer; its callback will not run. Harmless when it already ran. */
  cancel(): void;
}

/**
 * Time, and the only way to wait for it. `monotonicMs` never goes back and is what every timeout is measured with;
 * `wallMs` is what people and records are told, and may step either way.
 *
 * Contract (see test/conformance/clock.ts):
 * - a timer never fires early: at its callback `monotonicMs()` is at least its due time;
 * - timers due at the same millisecond fire in the order in which they were set;
 * - `defer` runs its callbacks once the current turn's input has been handled, in order, before any later timer.
 */
export interface Clock {
  /** Milliseconds with a fraction, from an arbitrary start. */
  monotonicMs(): number;
  /** Whole milliseconds since the Unix epoch. */
  wallMs(): number;
  /** Calls `callback` once, at least `delayMs` from now (0 or more). */
  timer(delayMs: number, callback: () => void): Timer;
  /** Calls `callback` at the end of this turn of the loop: the place to flush what the turn has gathered. */
  defer(callback: () => void): void;
}
