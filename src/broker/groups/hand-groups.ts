/**
 * Who made the groups that exist by commits by hand and resets alone, so that one client does not use up the room for all.
 * Known by the id in its hello, as for quotas. In memory only: after a start the groups that are there are nobody's, and
 * `groupsByHandMax` bounds them all the same. Pure.
 */
import type { TaskdError } from '../../base/errors.js';
import { groupsByHandPerClientMax, tooManyByHand } from './group-rules.js';

export class HandGroups {
  /** By group, the client that made it. No more than the coordinator has groups, and those on their way. */
  readonly #makers = new Map<string, string>();
  readonly #isByHand: (group: string) => boolean;

  /** `isByHand`: the group is there or on its way, and has no members. */
  constructor(isByHand: (group: string) => boolean) {
    this.#isByHand = isByHand;
  }

  /** QUOTA when the client has made as many as one may, of those that are still there. Forgets the others. */
  problem(group: string, clientId: string): TaskdError | undefined {
    let count = 0;
    for (const [made, maker] of this.#makers) {
      if (!this.#isByHand(made)) this.#makers.delete(made);
      else if (maker === clientId && made !== group) count++;
    }
    return count >= groupsByHandPerClientMax ? tooManyByHand(group, clientId) : undefined;
  }

  /** To be called when the record that makes the group is on its way. The first maker counts. */
  made(group: string, clientId: string): void {
    if (!this.#makers.has(group)) this.#makers.set(group, clientId);
  }
}
