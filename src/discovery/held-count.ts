/** Time without a register or deregister after which the answer to a beat can be compared. */
const quietMs = 3_000;
/** Between two connections that are given up for it: should we be wrong, it costs little. */
const againMs = 30_000;

/**
 * Whether the name server holds as many of our instances as were confirmed on this connection: pure. A deregistration
 * that was lost on the way, or word of a claim that lost, would otherwise never be noticed on a connection that lives.
 * Numbers are compared only when nothing was written or waited for from well before the beat until its answer.
 */
export class HeldCount {
  #inFlight = 0;
  #wroteMs = Number.NEGATIVE_INFINITY;
  #foundMs = Number.NEGATIVE_INFINITY;

  /** A register or deregister was sent. */
  sent(nowMs: number): void {
    this.#inFlight++;
    this.#wroteMs = nowMs;
  }

  /** It was answered, or failed. */
  answered(nowMs: number): void {
    this.#inFlight--;
    this.#wroteMs = nowMs;
  }

  /** Another connection: nothing waits for an answer any more. */
  restart(): void {
    this.#inFlight = 0;
  }

  /** The answer to a beat says `held`, and `confirmed` is what it should be. True: give the connection up. */
  isWrong(held: number, confirmed: number, beatSentMs: number, nowMs: number): boolean {
    if (held === confirmed || this.#inFlight > 0) return false;
    if (beatSentMs - this.#wroteMs < quietMs || nowMs - this.#foundMs < againMs) return false;
    this.#foundMs = nowMs;
    return true;
  }
}
