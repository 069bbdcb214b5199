import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';

/** Whoever takes part: a name server or a client. */
export interface Party {
  readonly key: string;
  isUp: boolean;
  /** Grows at each start. */
  boot: number;
  upMs: number;
  wokeMs: number;
  pause: Pause | undefined;
  on(from: Party, message: unknown): void;
}

/** What a party that stands still will find when it wakes: its timers first, then what lies in its sockets. */
interface Pause {
  readonly timers: (() => void)[];
  readonly inbox: [Party, unknown][];
}

interface Timed {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

type Cut = (from: Party, to: Party) => boolean;

const longAgo = -1e9;

/**
 * Virtual time and a network in it: links keep their order, lose everything while they are cut, in one direction or in
 * both, and are reset now and then. Everything follows from the seed.
 */
export class ClusterWorld {
  readonly random: SeededRandom;
  readonly parties: Party[] = [];
  readonly trace: ((line: string) => void) | undefined;
  readonly failures: string[] = [];
  nowMs = 0;
  #order = 0;
  #connections = 0;
  readonly #heap: Timed[] = [];
  readonly #cuts = new Set<Cut>();
  readonly #lastArrivalMs = new Map<string, number>();
  readonly #resets = new Map<string, number>();
  readonly #lastCutMs = new Map<string, number>();
  /** Since when pairs have been cut in both directions. */
  readonly #severedMs = new Map<string, number>();

  constructor(seed: number, trace: ((line: string) => void) | undefined) {
    this.random = new SeededRandom(seed);
    this.trace = trace;
  }

  int(from: number, to: number): number {
    return from + this.random.below(to - from + 1);
  }

  chance(part: number): boolean {
    return this.random.unit() < part;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.random.below(list.length)]!;
  }

  /** A number for a new connection. */
  connection(): number {
    return ++this.#connections;
  }

  log(...words: unknown[]): void {
    this.trace?.(`${(this.nowMs / 1_000).toFixed(3).padStart(8)} ${words.join(' ')}`);
  }

  fail(check: string, what: string): void {
    if (this.failures.length < 20) this.failures.push(`${check} @${(this.nowMs / 1_000).toFixed(2)} ${what}`);
    this.log('  !!', check, what);
  }

  after(ms: number, run: () => void): void {
    const timed = { atMs: this.nowMs + Math.max(0, ms), order: this.#order++, run };
    const heap = this.#heap;
    let at = heap.push(timed) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(timed, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = timed;
  }

  run(untilMs: number): void {
    while (this.#heap.length > 0 && this.#heap[0]!.atMs <= untilMs && this.failures.length < 20) {
      const { atMs, run } = this.#next();
      this.nowMs = atMs;
      run();
    }
  }

  /** A timer of a party: late when the party stands still, void when it starts anew. */
  timer(party: Party, ms: number, run: () => void): void {
    const { boot } = party;
    this.after(ms, () => {
      if (!party.isUp || party.boot !== boot) return;
      if (party.pause !== undefined) party.pause.timers.push(run);
      else run();
    });
  }

  pause(party: Party, ms: number): void {
    if (!party.isUp || party.pause !== undefined) return;
    this.log(party.key, 'pauses', ms);
    const pause: Pause = { timers: [], inbox: [] };
    party.pause = pause;
    const { boot } = party;
    this.after(ms, () => {
      if (!party.isUp || party.boot !== boot) return;
      party.pause = undefined;
      party.wokeMs = this.nowMs;
      this.log(party.key, 'wakes');
      for (const run of pause.timers) run();
      for (const [from, message] of pause.inbox) if (party.isUp && party.boot === boot) party.on(from, message);
    });
  }

  send(from: Party, to: Party, message: unknown): void {
    if (!to.isUp || this.isCut(from, to)) return;
    const link = `${from.key}>${to.key}`;
    const pair = pairOf(from, to);
    const generation = this.#resets.get(pair) ?? 0;
    const { boot } = to;
    const delayMs = this.chance(0.03) ? this.int(50, 300) : this.int(1, 15);
    const atMs = Math.max(this.nowMs + delayMs, (this.#lastArrivalMs.get(link) ?? 0) + 0.01);
    this.#lastArrivalMs.set(link, atMs);
    this.after(atMs - this.nowMs, () => {
      const isLost = (this.#resets.get(pair) ?? 0) !== generation || !to.isUp || to.boot !== boot;
      if (isLost || this.isCut(from, to)) return;
      if (to.pause !== undefined) to.pause.inbox.push([from, message]);
      else to.on(from, message);
    });
  }

  reset(a: Party, b: Party): void {
    const pair = pairOf(a, b);
    this.#resets.set(pair, (this.#resets.get(pair) ?? 0) + 1);
  }

  cut(cut: Cut, ms: number): void {
    this.#cuts.add(cut);
    this.#noteSevered();
    this.after(ms, () => {
      for (const a of this.parties) {
        for (const b of this.parties) if (a !== b && cut(a, b)) this.#lastCutMs.set(pairOf(a, b), this.nowMs);
      }
      this.#cuts.delete(cut);
      this.#noteSevered();
    });
  }

  healAll(): void {
    this.#cuts.clear();
    this.#noteSevered();
  }

  isCut(from: Party, to: Party): boolean {
    for (const cut of this.#cuts) if (cut(from, to)) return true;
    return false;
  }

  /** No cut between them for so long. */
  isUncut(a: Party, b: Party, ms: number): boolean {
    if (a === b) return true;
    return !this.isCut(a, b) && !this.isCut(b, a) && (this.#lastCutMs.get(pairOf(a, b)) ?? longAgo) < this.nowMs - ms;
  }

  /** Cut in both directions for so long. */
  isSevered(a: Party, b: Party, ms: number): boolean {
    return (this.#severedMs.get(pairOf(a, b)) ?? Number.POSITIVE_INFINITY) <= this.nowMs - ms;
  }

  /** Runs, and neither started nor woke within this time. */
  isCalm(party: Party, ms: number): boolean {
    const sinceMs = this.nowMs - ms;
    return party.isUp && party.pause === undefined && party.wokeMs < sinceMs && party.upMs < sinceMs;
  }

  /** Both have been calm and connected for so long. */
  isFine(a: Party, b: Party, ms: number): boolean {
    return a === b || (this.isUncut(a, b, ms) && this.isCalm(a, ms) && this.isCalm(b, ms));
  }

  #noteSevered(): void {
    for (const a of this.parties) {
      for (const b of this.parties) {
        if (a.key >= b.key) continue;
        const pair = pairOf(a, b);
        if (!this.isCut(a, b) || !this.isCut(b, a)) this.#severedMs.delete(pair);
        else if (!this.#severedMs.has(pair)) this.#severedMs.set(pair, this.nowMs);
      }
    }
  }

  #next(): Timed {
    const heap = this.#heap;
    const top = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

function isBefore(a: Timed, b: Timed): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

function pairOf(a: Party, b: Party): string {
  return a.key < b.key ? `${a.key} ${b.key}` : `${b.key} ${a.key}`;
}
