import { Budget } from '../transport/budget.js';

/** Frames that one name server may send at once, and a second in the long run: many times what it needs. */
const frameBurst = 20_000;
const framesPerSecond = 4_000;
/** Different senders at a time: a few more than there are name servers. Ids may change: one not heard of for long makes room. */
const sendersMax = 64;
const forgottenMs = 600_000;
const senderPattern = /^[\x21-\x7e]{1,128}$/;

/** Who may send frames of the cluster, and how many: what a connection says about its sender is checked against its hello. */
export class PeerGate {
  /** Frames that were not let in. */
  refused = 0;
  readonly #isClustered: boolean;
  readonly #senders = new Map<string, { readonly budget: Budget; heardMs: number; connection: number }>();

  /** Without configured peers nobody may. */
  constructor(isClustered: boolean) {
    this.#isClustered = isClustered;
  }

  /** Why a frame may not come in, for the log and the cut; undefined when it may. `clientId` is from the hello. */
  refusal(sender: string, clientId: string, nowMs: number): string | undefined {
    const reason = this.#check(sender, clientId, nowMs);
    if (reason !== undefined) this.refused++;
    return reason;
  }

  /**
   * `old`: a frame comes over an older connection of its sender than one over which a frame was read; it was sent before,
   * and beats and digests have no other order. `new`: it is the first over a newer one. `connection` grows from
   * connection to connection.
   */
  orderOf(sender: string, connection: number): 'old' | 'same' | 'new' {
    const known = this.#senders.get(sender);
    if (known === undefined || connection === known.connection) return 'same';
    if (connection < known.connection) return 'old';
    known.connection = connection;
    return 'new';
  }

  #check(sender: string, clientId: string, nowMs: number): string | undefined {
    if (!this.#isClustered) return 'this name server has no others: list them in --name-servers';
    if (!senderPattern.test(sender) || sender !== clientId) return `a frame of another sender than ${clientId}`;
    let known = this.#senders.get(sender);
    if (known === undefined) {
      if (this.#senders.size >= sendersMax) this.#forget(nowMs);
      if (this.#senders.size >= sendersMax) return `more than ${sendersMax} different name servers`;
      known = { budget: new Budget(frameBurst, framesPerSecond), heardMs: nowMs, connection: 0 };
      this.#senders.set(sender, known);
    }
    known.heardMs = nowMs;
    return known.budget.take(nowMs) ? undefined : `more than ${framesPerSecond} frames a second of one name server`;
  }

  #forget(nowMs: number): void {
    for (const [sender, { heardMs }] of this.#senders) {
      if (nowMs - heardMs >= forgottenMs) this.#senders.delete(sender);
    }
  }
}
