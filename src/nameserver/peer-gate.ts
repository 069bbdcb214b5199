import { Budget } from '../transport/budget.js';

/** Frames that one name server may send at once, and a second in the long run: many times what it needs. */
const frameBurst = 20_000;
const framesPerSecond = 4_000;
/** Different senders in the life of this process: a few more than there are name servers, as ids may change. */
const sendersMax = 64;
const senderPattern = /^[\x21-\x7e]{1,128}$/;

/** Who may send frames of the cluster, and how many: what a connection says about its sender is checked against its hello. */
export class PeerGate {
  /** Frames that were not let in. */
  refused = 0;
  readonly #isClustered: boolean;
  readonly #budgets = new Map<string, Budget>();

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

  #check(sender: string, clientId: string, nowMs: number): string | undefined {
    if (!this.#isClustered) return 'this name server has no others: list them in --name-servers';
    if (!senderPattern.test(sender) || sender !== clientId) return `a frame of another sender than ${clientId}`;
    let budget = this.#budgets.get(sender);
    if (budget === undefined) {
      if (this.#budgets.size >= sendersMax) return `more than ${sendersMax} different name servers`;
      this.#budgets.set(sender, (budget = new Budget(frameBurst, framesPerSecond)));
    }
    return budget.take(nowMs) ? undefined : `more than ${framesPerSecond} frames a second of one name server`;
  }
}
