/**
 * Arguments and results of runs are bytes in the log. One rule makes values of them, on both sides: bytes go as they
 * are, `undefined` is no bytes, and everything else is its JSON text in UTF-8.
 */
import { ErrorCode, TaskdError } from '../base/errors.js';
import { runArgumentsBytesMax } from '../base/limits.js';

/** What may be given as arguments or returned as a result: bytes, or whatever `JSON.stringify` takes. */
export type Payload = unknown;

const noBytes = new Uint8Array(0);

/**
 * The bytes of `value`. `what` names it in errors: INVALID when it has no JSON text (a function, a cycle, a bigint),
 * TOO_LARGE above 64 KiB.
 */
export function encodePayload(value: Payload, what: string): Uint8Array {
  if (value === undefined) return noBytes;
  const bytes = value instanceof Uint8Array ? value : encodeJson(value, what);
  if (bytes.length > runArgumentsBytesMax) {
    const limit = `${what} have ${bytes.length} bytes; at most ${runArgumentsBytesMax} are allowed`;
    throw new TaskdError(ErrorCode.TOO_LARGE, `${limit}: store the data elsewhere and pass its address`);
  }
  return bytes;
}

function encodeJson(value: unknown, what: string): Uint8Array {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    // The engine draws a cycle over several lines.
    const [why] = (error instanceof Error ? error.message : String(error)).split('\n', 1);
    throw new TaskdError(ErrorCode.INVALID, `${what} have no JSON text (${why}): pass plain data or bytes`);
  }
  if (text === undefined) {
    throw new TaskdError(
      ErrorCode.INVALID,
      `${what} have no JSON text (JSON.stringify gives undefined for this ${typeof value}): pass plain data or bytes`,
    );
  }
  return Buffer.from(text, 'utf8');
}

/** The value of JSON bytes; `undefined` for no bytes. Throws INVALID when they aren't JSON. */
export function decodePayload(bytes: Uint8Array, what: string): unknown {
  return parsePayload(payloadText(bytes), what);
}

/** The bytes as text, for `parsePayload`. What was received is a Buffer already, which saves a view. */
export function payloadText(bytes: Uint8Array): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return buffer.toString('utf8');
}

/** `decodePayload` for bytes that were made a string already. */
export function parsePayload(text: string, what: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new TaskdError(ErrorCode.INVALID, `${what} are not JSON: take them as bytes`);
  }
}
