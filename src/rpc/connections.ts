import { type Address, formatAddress } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import { Ticker } from '../transport/ticker.js';
import type { Caller } from './caller.js';
import type { ClientIdentity, DialShare } from './connection.js';
import { LaneCaller } from './lane-caller.js';
import { RpcStats } from './stats.js';

/** `bulk` is for long answers, so that a 16 MiB fetch never delays a heartbeat or a small call. */
export type Lane = 'calls' | 'bulk';

/** The connections of one process: at most one for each address and lane, dialled when first needed. */
export class Connections {
  readonly stats: RpcStats;
  readonly #runtime: Runtime;
  readonly #self: ClientIdentity;
  readonly #share: DialShare;
  readonly #lanes = new Map<string, LaneCaller>();
  #isClosed = false;

  constructor(runtime: Runtime, self: ClientIdentity) {
    this.#runtime = runtime;
    this.#self = self;
    this.#share = { ticker: new Ticker(runtime.clock), stats: new RpcStats() };
    this.stats = this.#share.stats;
  }

  /**
   * A caller for that address, the same object each time. It dials when needed and again, with a growing random wait,
   * when the connection was lost or the server asked to leave. A call that could not be sent rejects with NOT_SENT.
   */
  to(address: Address, lane: Lane = 'calls'): Caller {
    const key = `${lane} ${formatAddress(address)}`;
    let caller = this.#lanes.get(key);
    if (caller === undefined) {
      caller = new LaneCaller(this.#runtime, address, this.#self, this.#share);
      this.#lanes.set(key, caller);
      if (this.#isClosed) caller.close();
    }
    return caller;
  }

  /** Closes all connections; ours is the first FIN. Resolves when all that waited has failed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const lane of this.#lanes.values()) lane.close();
  }
}
