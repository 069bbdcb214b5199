import type { Address } from '../runtime/net.js';
import type { Runtime } from '../runtime/runtime.js';
import type { Method } from '../wire/methods.js';
import type { Peer, ServerCall, ServerStream, ServiceRegistry } from './service.js';

/** Who a server says it is in its answer to a hello. */
export interface NodeIdentity {
  readonly nodeId: string;
  /** Grows at each start of the node. */
  readonly incarnation: number;
  readonly roles: readonly string[];
  readonly clusterId: string;
}

/** The one listener of a process: every role puts its handlers here before `listen`. */
export class RpcServer implements ServiceRegistry {
  constructor(_runtime: Runtime, _identity: NodeIdentity) {}

  onCall<Q, A, QIn, AIn>(_method: Method<Q, A, QIn, AIn>, _handler: (request: Q, call: ServerCall<AIn>) => void): void {
    throw new Error('taskd bug: not built yet');
  }

  onStream<Q, A, QIn, AIn>(
    _method: Method<Q, A, QIn, AIn>,
    _handler: (request: Q, stream: ServerStream<AIn>) => void,
  ): void {
    throw new Error('taskd bug: not built yet');
  }

  onSend<Q, A, QIn, AIn>(
    _method: Method<Q, A, QIn, AIn>,
    _handler: (request: Q, peer: Peer, payload: Uint8Array) => void,
  ): void {
    throw new Error('taskd bug: not built yet');
  }

  /** Listens; resolves with the address, its port chosen by the system when 0 was asked. */
  listen(_address: Address): Promise<Address> {
    throw new Error('taskd bug: not built yet');
  }

  /** Stops accepting, asks every peer to leave, waits until all have left or `drainMs` are over. */
  drain(): Promise<void> {
    throw new Error('taskd bug: not built yet');
  }

  /** Stops at once: every connection is cut. */
  close(): void {}
}
