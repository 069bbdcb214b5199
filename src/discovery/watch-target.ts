import { defaultNamespace } from './instance.js';

/** Which instances of a service. */
export interface WatchScope {
  /** Default `taskd`. */
  readonly namespace?: string;
  /** Default: the empty group. */
  readonly group?: string;
  /** Only what matches, such as `zone=east,!canary`; see "Selectors" in docs/protocol.md. Default: all. */
  readonly selector?: string;
}

/** A scope with its service; '' is every service of the group. */
export interface WatchTarget {
  readonly namespace: string;
  readonly group: string;
  readonly service: string;
  readonly selector: string;
}

export function targetOf(service: string, scope: WatchScope): WatchTarget {
  const { namespace = defaultNamespace, group = '', selector = '' } = scope;
  return { namespace, group, service, selector };
}

/** A text of its own for each target. */
export function targetKey({ namespace, group, service, selector }: WatchTarget): string {
  return [namespace, group, service, selector].join('\n');
}
