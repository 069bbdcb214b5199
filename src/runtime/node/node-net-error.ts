import { NetError, type NetErrorCode } from '../net.js';

const codes: Readonly<Record<string, NetErrorCode>> = {
  ECONNREFUSED: 'ECONNREFUSED',
  ECONNRESET: 'ECONNRESET',
  EPIPE: 'ECONNRESET',
  ECONNABORTED: 'ECONNRESET',
  ETIMEDOUT: 'ETIMEDOUT',
  EADDRINUSE: 'EADDRINUSE',
  EACCES: 'EACCES',
  EPERM: 'EACCES',
  ENOTFOUND: 'ENOTFOUND',
  EAI_AGAIN: 'ENOTFOUND',
};

/** The system's error as a `NetError`; `EPIPE` is told as a reset, which it is. */
export function toNetError(what: string, cause: unknown): NetError {
  const code = (cause as NodeJS.ErrnoException).code ?? '';
  const detail = code === '' ? String(cause) : code;
  return new NetError(codes[code] ?? 'OTHER', `${what}: ${detail}`, cause);
}
