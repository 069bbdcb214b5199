import { ErrorCode, isTaskdError } from '../base/errors.js';
import { FileError } from '../runtime/files.js';
import { NetError } from '../runtime/net.js';
import type { DaemonConfig } from './config.js';
import { ExitCode } from './exit-codes.js';

/** Why a start failed, for a person: one line that says what and how to mend it, and the exit code. */
export interface StartFailure {
  readonly line: string;
  readonly exitCode: ExitCode;
}

/** The admin port could not be had; `cause` is the system's error. */
export class AdminPortError extends Error {
  override readonly name = 'AdminPortError';
}

/** `--zero-copy=on`, and it does not work here; the message says why. */
export class ZeroCopyError extends Error {
  override readonly name = 'ZeroCopyError';
}

export function explainStart(error: unknown, config: DaemonConfig): StartFailure {
  const { listen } = config;
  if (error instanceof AdminPortError) {
    return {
      exitCode: ExitCode.ADDRESS,
      line:
        `--admin-port (TASKD_ADMIN_PORT) is ${config.adminPort}: ${systemCode(error.cause)} on 127.0.0.1; ` +
        'choose another one, or 0 for none',
    };
  }
  if (error instanceof ZeroCopyError) {
    const line = `--zero-copy (TASKD_ZERO_COPY) is on, and files can't be sent by the kernel here: ${error.message}; use auto`;
    return { exitCode: ExitCode.USAGE, line };
  }
  if (error instanceof NetError) {
    const why = error.code === 'EADDRINUSE' ? 'is in use by another process' : `can not be listened on (${error.code})`;
    return {
      exitCode: ExitCode.ADDRESS,
      line: `${listen.host}:${listen.port} ${why}: stop that process, or choose another port with --listen or --port`,
    };
  }
  if (error instanceof FileError) {
    return {
      exitCode: ExitCode.DATA,
      line: `${error.path} can not be used (${error.code}): ${error.code === 'ENOSPC' ? 'free some space' : 'mend it'}, or choose another data folder with --data`,
    };
  }
  if (isTaskdError(error)) {
    const isData = isTaskdError(
      error,
      ErrorCode.INVALID,
      ErrorCode.CONFLICT,
      ErrorCode.UNSUPPORTED_VERSION,
      ErrorCode.STORAGE_FAILED,
      ErrorCode.STORAGE_FULL,
      ErrorCode.DATA_LOSS,
    );
    return { exitCode: isData ? ExitCode.DATA : ExitCode.FAILED, line: error.message };
  }
  return { exitCode: ExitCode.FAILED, line: `could not start: ${error instanceof Error ? error.message : error}` };
}

function systemCode(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return code === 'EADDRINUSE' ? 'it is in use by another process' : `the system says ${code ?? error}`;
}
