/**
 * Names of topics that were deleted a moment ago, and are not made again only because a client uses them: a producer that
 * goes on would bring its topic back in the instant of its end. A name is free for that again once nobody has asked for
 * it for a while; whoever makes the topic by hand needs not wait. Pure; time is a parameter.
 */
export const deletedNameKeptMs = 30_000;
/** Names that are remembered; the one longest unheard of gives way. */
const namesMax = 1_000;

export class DeletedNames {
  /** When they were last heard of; the longest ago first. */
  readonly #heardMs = new Map<string, number>();

  deleted(name: string, nowMs: number): void {
    this.#heard(name, nowMs);
    if (this.#heardMs.size <= namesMax) return;
    for (const first of this.#heardMs.keys()) {
      this.#heardMs.delete(first);
      return;
    }
  }

  /** The topic is there again. */
  made(name: string): void {
    this.#heardMs.delete(name);
  }

  /** True when a client that uses the name does not make the topic; the time begins anew. */
  isKept(name: string, nowMs: number): boolean {
    const heardMs = this.#heardMs.get(name);
    if (heardMs === undefined) return false;
    if (nowMs - heardMs >= deletedNameKeptMs) this.#heardMs.delete(name);
    else this.#heard(name, nowMs);
    return this.#heardMs.has(name);
  }

  #heard(name: string, nowMs: number): void {
    this.#heardMs.delete(name);
    this.#heardMs.set(name, nowMs);
  }
}
