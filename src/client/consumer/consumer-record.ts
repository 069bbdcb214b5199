import { ErrorCode, TaskdError } from '../../base/errors.js';
import type { RecordHeader } from '../../batch/record.js';
import type { Failure } from './failure.js';

export type RecordHeaders = Readonly<Record<string, Buffer>>;

/** A record as a handler gets it. Its bytes are the consumer's own copy: keep them as long as you like, change nothing. */
export class ConsumerRecord {
  /** Where it was first stored; a record that comes from a retry topic has the place of the one that failed. */
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: Buffer | undefined;
  /** Undefined when it was sent without one, which is not the same as an empty one. */
  readonly value: Buffer | undefined;
  /** When the broker stored it, in milliseconds since 1970. */
  readonly timestampMs: number;
  /** 1 at first; one more each time that the record comes back over a retry topic. */
  readonly attempt: number;
  /** What went wrong before; undefined at the first try. */
  readonly failure: Failure | undefined;
  readonly #rawHeaders: readonly RecordHeader[];
  #headers: RecordHeaders | undefined;

  constructor(fields: {
    readonly topic: string;
    readonly partition: number;
    readonly offset: number;
    readonly key: Buffer | undefined;
    readonly value: Buffer | undefined;
    readonly timestampMs: number;
    readonly headers: readonly RecordHeader[];
    readonly failure: Failure | undefined;
  }) {
    const { failure } = fields;
    this.topic = failure?.topic ?? fields.topic;
    this.partition = failure?.partition ?? fields.partition;
    this.offset = failure?.offset ?? fields.offset;
    this.key = fields.key;
    this.value = fields.value;
    this.timestampMs = fields.timestampMs;
    this.attempt = (failure?.attempts ?? 0) + 1;
    this.failure = failure;
    this.#rawHeaders = fields.headers;
  }

  /** By name; of several with one name the last counts. */
  get headers(): RecordHeaders {
    if (this.#headers === undefined) {
      const headers: Record<string, Buffer> = Object.create(null) as Record<string, Buffer>;
      for (const { name, value } of this.#rawHeaders) headers[name] = asBuffer(value);
      this.#headers = headers;
    }
    return this.#headers;
  }

  /** The value as UTF-8; empty without a value. */
  text(): string {
    return this.value === undefined ? '' : this.value.toString('utf8');
  }

  /** The value as JSON, undefined without a value. Throws INVALID when it is none. */
  json<T = unknown>(): T {
    if (this.value === undefined) return undefined as T;
    try {
      return JSON.parse(this.text()) as T;
    } catch {
      const where = `${this.topic}/${this.partition} at ${this.offset}`;
      throw new TaskdError(
        ErrorCode.INVALID,
        `the value of the record in ${where} is not JSON: read it as bytes or text`,
      );
    }
  }
}

/** The same bytes as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
