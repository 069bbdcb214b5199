import type { Command } from 'commander';
import { defaultNamespace } from '../../discovery/instance.js';
import type { ExitCode } from '../exit-codes.js';
import type { NameServers } from '../name-servers.js';
import type { Output } from '../output.js';

/** The terminal that a live view may draw on. */
export interface Screen {
  readonly rows: number;
  readonly columns: number;
}

/** What a command for name servers works with. */
export interface RegistrySession {
  readonly names: NameServers;
  readonly output: Output;
  readonly nowMs: number;
  /** Absent when the output goes to a file or a program. */
  readonly screen: Screen | undefined;
  /** Calls back when a person wants the command to end. */
  onStop(callback: () => void): void;
}

/** Runs a command with name servers to ask, then closes; what the command returns is the exit code, 0 when it returns none. */
export type WithNameServers = (command: (session: RegistrySession) => Promise<ExitCode | undefined>) => Promise<void>;

export interface ScopeFlags {
  readonly namespace?: string;
  readonly group?: string;
}

/** A command about one service, which has its namespace and group. */
export function inScope(command: Command): Command {
  return command
    .option('--namespace <name>', `the namespace of the service (default: ${defaultNamespace})`)
    .option('--group <name>', 'the group of the service (default: the one without a name)');
}

export function scopeOf({ namespace = defaultNamespace, group = '' }: ScopeFlags): Required<ScopeFlags> {
  return { namespace, group };
}
