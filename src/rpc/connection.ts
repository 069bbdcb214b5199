import type { Address } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import type { Method } from '../wire/methods.js';
import type { Answer, Caller, CallOptions, ClientStream, StreamEvents } from './caller.js';

/** Who a client says it is in its hello. */
export interface ClientIdentity {
  readonly clientId: string;
  /** `client`, `worker`, `broker`, `scheduler`, `nameserver` or a name of the user's own. */
  readonly kind: string;
}

/** What the server answered to the hello. */
export interface ServerInfo {
  readonly nodeId: string;
  readonly incarnation: number;
  readonly roles: readonly string[];
  readonly clusterId: string;
  readonly heartbeatMs: number;
  readonly inFlightMax: number;
  readonly software: string;
}

/** One connection to one server, past its hello. */
export class RpcConnection implements Caller {
  readonly server: ServerInfo;

  constructor(server: ServerInfo) {
    this.server = server;
  }

  get isOpen(): boolean {
    return false;
  }

  /** The server asked us to leave: calls in flight go on, new ones are refused with DRAINING. */
  get isDraining(): boolean {
    return false;
  }

  /** Calls back once when the connection is over, with the error that ended it; at once if it already is. */
  onClose(_callback: (error: Error | undefined) => void): void {}

  call<Q, A, QIn, AIn>(_method: Method<Q, A, QIn, AIn>, _request: QIn, _options?: CallOptions): Promise<Answer<A>> {
    throw new Error('taskd bug: not built yet');
  }

  send<Q, A, QIn, AIn>(_method: Method<Q, A, QIn, AIn>, _request: QIn, _payload?: readonly Uint8Array[]): void {}

  open<Q, A, QIn, AIn>(
    _method: Method<Q, A, QIn, AIn>,
    _request: QIn,
    _credit: number,
    _events: StreamEvents<A>,
  ): ClientStream {
    throw new Error('taskd bug: not built yet');
  }

  /** Says goodbye: what waits for an answer fails with CONNECTION_LOST, and our FIN is the first. */
  close(): void {}
}

/** Connects and says hello within `timeoutMs` (5 s). Rejects with NOT_SENT when the server can't be reached. */
export function dial(
  _runtime: Runtime,
  _address: Address,
  _self: ClientIdentity,
  _timeoutMs = 5_000,
): Promise<RpcConnection> {
  throw new Error('taskd bug: not built yet');
}
