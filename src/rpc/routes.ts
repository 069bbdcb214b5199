import { assert } from '../base/errors.js';
import type { Method, MethodShape } from '../wire/methods.js';
import type { Peer, ServerCall, ServerStream, ServiceRegistry } from './service.js';

export type CallHandler = (request: unknown, call: ServerCall<unknown>) => void;
export type StreamHandler = (request: unknown, stream: ServerStream<unknown>) => void;
export type SendHandler = (request: unknown, peer: Peer, payload: Uint8Array) => void;

export interface Route {
  readonly method: Method;
  readonly onCall?: CallHandler;
  readonly onStream?: StreamHandler;
  readonly onSend?: SendHandler;
}

/** Who handles which method. */
export class Routes implements ServiceRegistry {
  readonly #routes = new Map<number, Route>();

  onCall<Q, A, QIn, AIn>(method: Method<Q, A, QIn, AIn>, handler: (request: Q, call: ServerCall<AIn>) => void): void {
    this.#add(method as unknown as Method, 'call', { onCall: handler as unknown as CallHandler });
  }

  onStream<Q, A, QIn, AIn>(
    method: Method<Q, A, QIn, AIn>,
    handler: (request: Q, stream: ServerStream<AIn>) => void,
  ): void {
    this.#add(method as unknown as Method, 'stream', { onStream: handler as unknown as StreamHandler });
  }

  onSend<Q, A, QIn, AIn>(
    method: Method<Q, A, QIn, AIn>,
    handler: (request: Q, peer: Peer, payload: Uint8Array) => void,
  ): void {
    this.#add(method as unknown as Method, 'oneway', { onSend: handler as unknown as SendHandler });
  }

  find(method: number): Route | undefined {
    return this.#routes.get(method);
  }

  #add(method: Method, shape: MethodShape, handler: Omit<Route, 'method'>): void {
    assert(method.shape === shape, `${method.name} is a ${method.shape}, not a ${shape}`);
    assert(!this.#routes.has(method.id), `${method.name} has two handlers`);
    this.#routes.set(method.id, { method, ...handler });
  }
}
