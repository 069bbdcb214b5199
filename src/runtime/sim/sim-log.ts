import type { Logger } from '../../base/logger.js';

/** Lines that a world keeps for the report of a failure. */
const linesMax = 5_000;

/** The last lines that the processes of a world logged, with virtual times. */
export class SimLog {
  readonly #lines: string[] = [];
  readonly #nowMs: () => number;
  readonly #print: ((line: string) => void) | undefined;

  constructor(nowMs: () => number, print?: (line: string) => void) {
    this.#nowMs = nowMs;
    this.#print = print;
  }

  get lines(): readonly string[] {
    return this.#lines;
  }

  add(level: string, from: string, fields: object, message: string): void {
    const line = `${this.#nowMs().toFixed(3).padStart(12)} ${level} ${from}: ${message} ${JSON.stringify(fields)}`;
    this.#lines.push(line);
    if (this.#lines.length > linesMax) this.#lines.splice(0, linesMax / 2);
    this.#print?.(line);
  }

  logger(from: string, bindings: object = {}): Logger {
    const at =
      (level: string) =>
      (fields: object, message: string): void =>
        this.add(level, from, { ...bindings, ...fields }, message);
    return {
      debug: at('debug'),
      info: at('info '),
      warn: at('warn '),
      error: at('error'),
      child: (more) => this.logger(from, { ...bindings, ...more }),
    };
  }
}
