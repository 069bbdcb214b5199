import { ErrorCode, isTaskdError } from '../base/errors.js';
import type { Clock } from '../runtime/clock.js';
import { type Address, formatAddress } from '../runtime/net.js';
import type { Random } from '../runtime/random.js';
import { Balancer } from './balancer.js';
import type { Instance } from './instance.js';
import { candidatesOf } from './instance-candidate.js';
import { RoundRobinPicker } from './pickers/round-robin-picker.js';

/**
 * Which instance of one of taskd's own services to ask, for questions that any of them answers. Each question begins
 * with another one, in turn by weight, so that not all clients ask the same; those who fail are asked last for a while.
 */
export class AskOrder {
  readonly #balancer: Balancer;
  /** By address, of the latest list. */
  readonly #ids = new Map<string, string>();
  #given: readonly Instance[] | undefined;

  constructor(random: Random, clock: Clock) {
    // Round robin counts no calls in flight: an order may be given up half-way.
    this.#balancer = new Balancer(new RoundRobinPicker(random), clock);
  }

  /** Addresses in the order in which to ask; draining and disabled instances are not among them. */
  of(instances: readonly Instance[]): Address[] {
    if (instances !== this.#given) {
      this.#given = instances;
      this.#ids.clear();
      for (const { instanceId, addresses } of instances) {
        if (addresses[0] !== undefined) this.#ids.set(formatAddress(addresses[0]), instanceId);
      }
    }
    const order = this.#balancer.order(undefined, candidatesOf(instances));
    return order.flatMap(({ instance }) => instance.addresses.slice(0, 1));
  }

  /** An answer came from there, or `error`; only what says that nobody is there speaks against it. */
  told(address: Address, error?: unknown): void {
    const id = this.#ids.get(formatAddress(address));
    if (id === undefined) return;
    const isOk = !isTaskdError(error, ErrorCode.NOT_SENT, ErrorCode.CONNECTION_LOST, ErrorCode.DEADLINE);
    this.#balancer.done(id, { latencyMs: 0, isOk });
  }
}
