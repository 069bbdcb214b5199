import { ErrorCode, TaskdError } from '../base/errors.js';
import { Codec } from '../batch/body.js';

export interface ProducerOptions {
  /** A batch need not wait for company once it has so many bytes; under pressure it grows beyond. Default 64 KiB. */
  readonly batchBytes?: number;
  /** Records wait so long for company while another batch of their partition is unacknowledged: 0 to 5, default 2. */
  readonly lingerMs?: number;
  /** From the call to the outcome at the latest. Default 2 minutes. */
  readonly deliveryTimeoutMs?: number;
  /** Bytes of records without an outcome; 64 MiB more wait for room, and what comes then is BUSY. Default 64 MiB. */
  readonly bufferBytesMax?: number;
  /** How batches are compressed, on their way and on disk. Default 'none'. */
  readonly compression?: 'none' | 'gzip';
}

/** The options with their defaults. */
export interface ProducerSettings {
  readonly batchBytes: number;
  readonly lingerMs: number;
  readonly deliveryTimeoutMs: number;
  readonly bufferBytesMax: number;
  readonly codec: Codec;
}

const kib = 1024;
const mib = 1024 * kib;
const codecs: Readonly<Record<string, Codec>> = { none: Codec.NONE, gzip: Codec.GZIP };

/** Throws INVALID for an option that is none, with what it may be. */
export function producerSettings(options: ProducerOptions): ProducerSettings {
  const compression = options.compression ?? 'none';
  const codec = Object.hasOwn(codecs, compression) ? codecs[compression] : undefined;
  if (codec === undefined) {
    const message = `compression is ${JSON.stringify(compression)}: choose 'none' or 'gzip'`;
    throw new TaskdError(ErrorCode.INVALID, message);
  }
  return {
    batchBytes: within('batchBytes', options.batchBytes ?? 64 * kib, 1, mib),
    lingerMs: within('lingerMs', options.lingerMs ?? 2, 0, 5),
    deliveryTimeoutMs: within('deliveryTimeoutMs', options.deliveryTimeoutMs ?? 120_000, 1, 24 * 3_600_000),
    bufferBytesMax: within('bufferBytesMax', options.bufferBytesMax ?? 64 * mib, kib, Number.MAX_SAFE_INTEGER),
    codec,
  };
}

function within(name: string, value: number, min: number, max: number): number {
  if (typeof value === 'number' && value >= min && value <= max) return value;
  throw new TaskdError(ErrorCode.INVALID, `${name} is ${value}: give a number from ${min} to ${max}`);
}
