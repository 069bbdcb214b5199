import pino from 'pino';
import { build as pretty } from 'pino-pretty';
import type { LogFormat, LogLevel } from './config.js';

/**
 * The log of a daemon, on standard output: JSON lines for programs, colours for a person at a terminal. Written
 * synchronously, so that the last line before an end is not the one that is missing.
 */
export function openLog(level: LogLevel, format: LogFormat, isTerminal: boolean): pino.Logger {
  const options: pino.LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { error: pino.stdSerializers.err },
  };
  if (format === 'pretty' || (format === 'auto' && isTerminal)) {
    return pino(options, pretty({ sync: true, colorize: isTerminal, translateTime: 'SYS:HH:MM:ss.l' }));
  }
  const stream = pino.destination({ fd: 1, sync: true });
  // Whoever read our lines has gone; that is no reason to stop working.
  stream.on('error', () => {});
  return pino(options, stream);
}
