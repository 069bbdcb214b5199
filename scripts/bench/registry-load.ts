/**
 * The registering side of the registry bench, for taskd and for its peers. A load process has every `parts`-th instance,
 * and does what its parent says:
 *   fill                         registers all of its instances once, answers {}
 *   { saturate, inFlight }       for so many seconds, answers { perSec }
 *   { beginUs, perSec }          by a timetable of all processes together, until it is told something else
 *   stop                         answers { sent, errors, error } once all is answered
 *   mark                         answers the number last acknowledged of each of its instances
 */
import { sleep } from './closed-loop.js';
import { type RegistryShape, sharedUs, type Turn } from './registry-shape.js';

export interface Timetable {
  /** When number 0 is due, as `sharedUs` tells it. */
  readonly beginUs: number;
  readonly perSec: number;
}

export interface TimetableEnd {
  readonly sent: number;
  readonly errors: number;
  readonly error: string;
}

type Command = 'fill' | 'stop' | 'mark' | Timetable | { readonly saturate: number; readonly inFlight: number };

/** Registers one instance; resolves when it is acknowledged. */
export type Put = (turn: Turn) => Promise<unknown>;

export class RegistryLoad {
  readonly #put: Put;
  readonly #own: number[] = [];
  readonly #instances: number;
  /** Number last acknowledged, by instance. */
  readonly #acknowledged: number[];
  readonly #running = new Set<Promise<void>>();
  #isOver = true;
  #loop: Promise<void> = Promise.resolve();
  #sent = 0;
  #errors = 0;
  #error = '';

  constructor({ instances }: RegistryShape, part: number, parts: number, put: Put) {
    this.#put = put;
    this.#instances = instances;
    this.#acknowledged = new Array<number>(instances).fill(-1);
    for (let i = part; i < instances; i += parts) this.#own.push(i);
  }

  /** Does what the parent says, for ever. */
  serve(): void {
    process.on('message', (command: Command) => {
      this.#do(command).then(
        (answer) => process.send!(answer),
        (error) => {
          console.error(error);
          process.exit(1);
        },
      );
    });
    process.on('disconnect', () => process.exit(0));
    process.on('SIGTERM', () => process.exit(0));
    process.send!({});
  }

  async #do(command: Command): Promise<object> {
    if (command === 'fill') return this.#fill();
    if (command === 'mark') return this.#own.map((instance) => [instance, this.#acknowledged[instance]!]);
    if (command === 'stop') return this.#stop();
    if ('saturate' in command) return this.#saturate(command.saturate, command.inFlight);
    this.#isOver = false;
    this.#loop = this.#byTimetable(command);
    return {};
  }

  async #fill(): Promise<object> {
    let at = 0;
    const lane = async (): Promise<void> => {
      while (at < this.#own.length) await this.#put({ instance: this.#own[at++]!, number: -1 });
    };
    await Promise.all(Array.from({ length: 64 }, lane));
    return {};
  }

  async #saturate(seconds: number, inFlight: number): Promise<object> {
    let at = 0;
    let count = 0;
    let isOver = false;
    const lane = async (): Promise<void> => {
      while (!isOver) {
        await this.#put({ instance: this.#own[at++ % this.#own.length]!, number: -1 });
        count++;
      }
    };
    const lanes = Array.from({ length: inFlight }, lane);
    // The first second warms up.
    await sleep(1_000);
    count = 0;
    const fromUs = sharedUs();
    await sleep(seconds * 1_000);
    const perSec = (count * 1e6) / (sharedUs() - fromUs);
    isOver = true;
    await Promise.all(lanes);
    return { perSec };
  }

  /** All numbers in turn are spread over the instances; of these this process sends those of its own. */
  async #byTimetable({ beginUs, perSec }: Timetable): Promise<void> {
    this.#acknowledged.fill(-1);
    this.#sent = this.#errors = 0;
    for (let at = 0; !this.#isOver; ) {
      const due = ((sharedUs() - beginUs) * perSec) / 1e6;
      for (;;) {
        const round = Math.floor(at / this.#own.length);
        const instance = this.#own[at % this.#own.length]!;
        const number = round * this.#instances + instance;
        if (number > due) break;
        at++;
        this.#send({ instance, number });
      }
      await sleep(1);
    }
  }

  #send(turn: Turn): void {
    this.#sent++;
    const sent = this.#put(turn).then(
      () => {
        this.#acknowledged[turn.instance] = turn.number;
      },
      (error: Error) => {
        this.#errors++;
        this.#error = error.message;
      },
    );
    const done = sent.finally(() => this.#running.delete(done));
    this.#running.add(done);
  }

  async #stop(): Promise<TimetableEnd> {
    this.#isOver = true;
    await this.#loop;
    await Promise.all(this.#running);
    return { sent: this.#sent, errors: this.#errors, error: this.#error };
  }
}
