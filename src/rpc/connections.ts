import { ErrorCode, Retry, TaskdError } from '../base/errors.js';
import { type Address, formatAddress } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import { Ticker } from '../transport/ticker.js';
import type { Caller, OwnConnection } from './caller.js';
import { type ClientIdentity, type DialShare, dial } from './connection.js';
import { LaneCaller } from './lane-caller.js';
import { RpcStats } from './stats.js';

/** `bulk` is for long answers, so that a 16 MiB fetch never delays a heartbeat or a small call. */
export type Lane = 'calls' | 'bulk';

/** The connections of one process: one for each address and lane, dialled when first needed, and those of `dial`. */
export class Connections {
  readonly stats: RpcStats;
  readonly #runtime: Runtime;
  readonly #self: ClientIdentity;
  readonly #share: DialShare;
  readonly #lanes = new Map<string, LaneCaller>();
  readonly #own = new Set<OwnConnection>();
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

  /**
   * A connection that nobody else's calls share; it isn't made again when it is lost. Rejects with NOT_SENT when the
   * server can't be reached or doesn't say hello within `timeoutMs`, and with its own error when it refuses us.
   */
  async dial(address: Address, timeoutMs: number): Promise<OwnConnection> {
    const connection = await dial(this.#runtime, address, this.#self, timeoutMs, this.#share);
    if (this.#isClosed) {
      connection.close();
      const text = `no connection to ${formatAddress(address)}: closed by this side`;
      throw new TaskdError(ErrorCode.NOT_SENT, text, { retry: Retry.OTHER });
    }
    this.#own.add(connection);
    connection.onClose(() => this.#own.delete(connection));
    return connection;
  }

  /** Closes all connections; ours is the first FIN. Resolves when all that waited has failed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const lane of this.#lanes.values()) lane.close();
    for (const connection of [...this.#own]) connection.close();
  }
}
