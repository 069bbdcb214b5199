import type { Health, InstanceClaim, InstanceVersion } from '../instance.js';
import type { InstanceKey } from './instance-key.js';

/** An instance as this node sees it now. */
export interface VisibleInstance {
  readonly claim: InstanceClaim;
  readonly health: Health;
  /** Node id of the name server that holds its session. */
  readonly owner: string;
}

/** A claim that lost against a higher one, or against a tombstone. */
export interface SupersededClaim extends InstanceKey {
  readonly seen: InstanceVersion;
}

/** How far this node has one owner's log. */
export interface OwnerPosition {
  readonly owner: string;
  readonly incarnation: number;
  readonly sequence: number;
}

/** What an answer of now is worth. */
export interface RegistryViewState {
  readonly revision: readonly OwnerPosition[];
  /** How old the answer may be; 0 when it is live. */
  readonly staleMs: number;
  readonly isCold: boolean;
  /** Absence may be believed: an empty list is authoritative, and what a whole list leaves out is gone. */
  readonly isComplete: boolean;
  /** Cut off from most of the cluster: clients do better at another node, if that one isn't. */
  readonly isFrozen: boolean;
  readonly isReady: boolean;
}

/** One name server of the cluster, as this one sees it. */
export interface OwnerInfo extends OwnerPosition {
  /** Since it was last alive, as far as known here. */
  readonly ageMs: number;
  readonly state: 'self' | 'alive' | 'suspect' | 'gone' | 'hidden' | 'left';
  readonly instances: number;
}

export interface ServiceInfo {
  readonly namespace: string;
  readonly group: string;
  readonly service: string;
  readonly instances: number;
  readonly healthy: number;
  readonly isProtected: boolean;
}
