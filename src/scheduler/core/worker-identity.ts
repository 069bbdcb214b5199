import { ByteInterner } from './byte-interner.js';
import { RunList } from './run-list.js';

/** One start of one worker: what a lease names. */
export interface WorkerIdentity {
  readonly workerId: string;
  readonly bytes: Uint8Array;
  readonly incarnation: number;
  /** Its leases that no session of this owner holds: taken over with the shard, and not yet claimed. */
  readonly unbound: RunList;
}

const fromUtf8 = new TextDecoder();

/** Identities live as long as a run or a session refers to them. */
export function workerIdentities(): ByteInterner<WorkerIdentity> {
  return new ByteInterner((bytes, incarnation) => ({
    workerId: fromUtf8.decode(bytes),
    bytes,
    incarnation,
    unbound: new RunList(),
  }));
}
