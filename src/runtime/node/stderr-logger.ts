import type { Logger } from '../../base/logger.js';

/** The same line again is not written within this time. */
const repeatMs = 10_000;
/** Different lines that are remembered for that. */
const rememberedMax = 1_000;
const lineLengthMax = 2_000;

interface Told {
  atMs: number;
  /** How often it would have been written since. */
  more: number;
}

/**
 * The log of a program that has given none: warnings and errors, a line each, on standard error. What comes again and
 * again, such as a server that is away, is written once in ten seconds, with how often it came.
 */
export class StderrLogger implements Logger {
  readonly #write: (line: string) => void;
  readonly #nowMs: () => number;
  readonly #bindings: object;
  readonly #told: Map<string, Told>;

  constructor(
    write: (line: string) => void = (line) => void process.stderr.write(line),
    nowMs: () => number = () => performance.now(),
    bindings: object = {},
    told: Map<string, Told> = new Map<string, Told>(),
  ) {
    this.#write = write;
    this.#nowMs = nowMs;
    this.#bindings = bindings;
    this.#told = told;
  }

  debug(): void {}

  info(): void {}

  warn(fields: object, message: string): void {
    this.#tell('warning', fields, message);
  }

  error(fields: object, message: string): void {
    this.#tell('error', fields, message);
  }

  child(bindings: object): Logger {
    return new StderrLogger(this.#write, this.#nowMs, { ...this.#bindings, ...bindings }, this.#told);
  }

  #tell(level: string, fields: object, message: string): void {
    const line = `taskd ${level}: ${message}${textOf({ ...this.#bindings, ...fields })}`.slice(0, lineLengthMax);
    const nowMs = this.#nowMs();
    const before = this.#told.get(line);
    if (before !== undefined && nowMs - before.atMs < repeatMs) {
      before.more++;
      return;
    }
    if (this.#told.size >= rememberedMax) this.#told.clear();
    this.#told.set(line, { atMs: nowMs, more: 0 });
    this.#write(`${line}${before === undefined || before.more === 0 ? '' : ` (and ${before.more} times before)`}\n`);
  }
}

/** Errors by their messages, which JSON would leave out. */
function textOf(fields: object): string {
  const text = JSON.stringify(fields, (_name, value: unknown) => (value instanceof Error ? value.message : value));
  return text === '{}' ? '' : ` ${text}`;
}
