/**
 * The watching side of the registry bench, for taskd and for its peers: what was seen of the load, and when. The process
 * does what its parent says:
 *   { count }            notes when each of so many numbers was seen by the last watcher; answers {}
 *   stop                 waits up to 10 s for what is missing, answers { seenUs, missing }
 *   { expected }         answers { atUs } once all watchers see each of these numbers, or a later one, of its instance
 */
import { sleep } from './closed-loop.js';
import { sharedUs } from './registry-shape.js';

/** When each number was seen by all watchers of the process, and how many sightings are missing. */
export interface Sightings {
  readonly seenUs: readonly number[];
  readonly missing: number;
}

type Command =
  | 'stop'
  | { readonly count: number }
  | { readonly expected: readonly (readonly [instance: number, number: number])[] };

const lateMs = 10_000;

export class RegistryWatch {
  readonly #instances: number;
  /** Number last seen, by watcher and instance; −1: none of the timetable. */
  readonly #last: Int32Array[];
  readonly #isUp: Uint8Array[];
  #seenUs = new Float64Array(0);
  #missing = 0;
  #expected: Int32Array | undefined;
  #unmet = 0;
  #met: (atUs: number) => void = () => {};

  constructor(instances: number, watchers: number) {
    this.#instances = instances;
    this.#last = Array.from({ length: watchers }, () => new Int32Array(instances).fill(-1));
    this.#isUp = Array.from({ length: watchers }, () => new Uint8Array(instances));
  }

  /** A watcher sees the instance as it was registered with this number. What it skipped counts as seen now. */
  saw(watcher: number, instance: number, number: number, isUp: boolean, nowUs: number): void {
    const last = this.#last[watcher]!;
    const before = last[instance]!;
    if (this.#expected !== undefined) this.#look(watcher, instance, number, isUp, nowUs);
    this.#isUp[watcher]![instance] = Number(isUp);
    if (number <= before) return;
    last[instance] = number;
    const first = before < 0 ? instance : before + this.#instances;
    for (let each = first; each <= number && each < this.#seenUs.length; each += this.#instances) {
      this.#seenUs[each] = nowUs;
      this.#missing--;
    }
  }

  /** A watcher doesn't see the instance any more. */
  missed(watcher: number, instance: number, nowUs: number): void {
    if (this.#expected !== undefined) this.#look(watcher, instance, this.#last[watcher]![instance]!, false, nowUs);
    this.#isUp[watcher]![instance] = 0;
  }

  /** Does what the parent says, for ever. */
  serve(): void {
    process.on('message', (command: Command) => void this.#do(command).then((answer) => process.send!(answer)));
    process.on('disconnect', () => process.exit(0));
    process.on('SIGTERM', () => process.exit(0));
    process.send!({});
  }

  async #do(command: Command): Promise<object> {
    if (command === 'stop') {
      for (const endUs = sharedUs() + lateMs * 1e3; this.#missing > 0 && sharedUs() < endUs; ) await sleep(20);
      return { seenUs: [...this.#seenUs], missing: this.#missing };
    }
    if ('count' in command) {
      for (const last of this.#last) last.fill(-1);
      this.#seenUs = new Float64Array(command.count);
      this.#missing = command.count * this.#last.length;
      return {};
    }
    return { atUs: await this.#meet(command.expected) };
  }

  #meet(expected: readonly (readonly [number, number])[]): Promise<number> {
    const wanted = new Int32Array(this.#instances).fill(-1);
    for (const [instance, number] of expected) wanted[instance] = number;
    this.#unmet = 0;
    for (const [watcher, last] of this.#last.entries()) {
      const isUp = this.#isUp[watcher]!;
      for (let i = 0; i < wanted.length; i++) if (last[i]! < wanted[i]! || isUp[i] === 0) this.#unmet++;
    }
    if (this.#unmet === 0) return Promise.resolve(sharedUs());
    this.#expected = wanted;
    return new Promise((resolve) => {
      this.#met = resolve;
    });
  }

  #look(watcher: number, instance: number, number: number, isUp: boolean, nowUs: number): void {
    const wanted = this.#expected![instance]!;
    const last = this.#last[watcher]![instance]!;
    const wasMet = last >= wanted && this.#isUp[watcher]![instance] === 1;
    const isMet = Math.max(last, number) >= wanted && isUp;
    this.#unmet += Number(wasMet) - Number(isMet);
    if (this.#unmet > 0) return;
    this.#expected = undefined;
    this.#met(nowUs);
  }
}
