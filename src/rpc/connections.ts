import type { Address } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import type { Caller } from './caller.js';
import type { ClientIdentity } from './connection.js';

/** `bulk` is for long answers, so that a 16 MiB fetch never delays a heartbeat or a small call. */
export type Lane = 'calls' | 'bulk';

/** The connections of one process: at most one for each address and lane, dialled when first needed. */
export class Connections {
  constructor(_runtime: Runtime, _self: ClientIdentity) {}

  /**
   * A caller for that address, the same object each time. It dials when needed and again, with a growing random wait,
   * when the connection was lost or the server asked to leave. A call that could not be sent rejects with NOT_SENT.
   */
  to(_address: Address, _lane: Lane = 'calls'): Caller {
    throw new Error('taskd bug: not built yet');
  }

  /** Closes all connections; ours is the first FIN. */
  async close(): Promise<void> {}
}
