import type { ControlClient } from '../control-client.js';
import type { ExitCode } from '../exit-codes.js';
import type { Output } from '../output.js';

/** What a command works with. */
export interface Session {
  readonly client: ControlClient;
  readonly output: Output;
  readonly nowMs: number;
  /** Calls back when a person wants the command to end, which then ends in good order. */
  onStop(callback: () => void): void;
}

/** Connects, runs a command, closes; what the command returns is the exit code, 0 when it returns none. */
export type WithSession = (command: (session: Session) => Promise<ExitCode | undefined>) => Promise<void>;

export interface RetryFlags {
  readonly attempts?: number;
  readonly delays?: number[];
}

/** The retry rule that the flags --attempts and --delays ask for; nothing when neither is given. */
export function retryOf(flags: RetryFlags): { retry?: { attemptsMax?: number; delaysMs?: number[] } } {
  if (flags.attempts === undefined && flags.delays === undefined) return {};
  return {
    retry: {
      ...(flags.attempts === undefined ? {} : { attemptsMax: flags.attempts }),
      ...(flags.delays === undefined ? {} : { delaysMs: flags.delays }),
    },
  };
}

/** The bytes of arguments or a result as what they most likely are: JSON, else text, else base64; null for none. */
export function payloadValue(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return null;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  } catch {
    return { base64: Buffer.from(bytes).toString('base64') };
  }
}
