import type { Mutant } from './sim-mutant-list.js';

/**
 * Rules of the consumer groups. Not in the list: that a beat with an older epoch lets nothing go. Replay checks it too,
 * and the order of one connection keeps old beats from coming late; the core's own property test shows it.
 */
export const groupMutants: readonly Mutant[] = [
  {
    name: 'partition given out before it was let go',
    world: 'groups',
    file: 'src/broker/groups/core/group.js',
    find: `            seat.revokedEpoch = epoch;
            owner.assigned.delete(place);
            owner.revoking.add(place);`,
    replace: `            owner.assigned.delete(place);
            seat.owner = undefined;
            if (target !== undefined)
                this.#grant(place, seat, target, epoch);`,
    seeds: 40,
  },
  {
    name: 'commit not fenced',
    world: 'groups',
    file: 'src/broker/groups/core/group-shard.js',
    find: `        if (group === undefined || member === undefined) {
            const wasReplaced = group?.wasReplaced(memberId) === true;`,
    replace: `        if (group !== undefined) return applied;
        if (group === undefined || member === undefined) {
            const wasReplaced = group?.wasReplaced(memberId) === true;`,
    seeds: 60,
  },
  {
    name: 'new coordinator gives members no time',
    world: 'groups',
    file: 'src/broker/groups/member-session.js',
    find: `        this.#grantedMs = nowMs;
        this.#dueMs = nowMs + member.sessionTimeoutMs;`,
    replace: `        this.#grantedMs = nowMs;
        this.#dueMs = nowMs;`,
    seeds: 40,
  },
  {
    name: 'members expire after a pause of the coordinator',
    world: 'groups',
    file: 'src/broker/groups/coordinator.js',
    find: `            if (wasLate)
                session.restartTimers(nowMs);`,
    replace: '',
    seeds: 40,
  },
  {
    name: 'process with a taken instance id not told',
    world: 'groups',
    file: 'src/broker/groups/coordinator.js',
    find: `        if (reason === 'replaced')
            session.end(replaced(member.memberId));
        else if`,
    replace: `        if (reason === 'replaced')
            return;
        else if`,
    seeds: 40,
  },
];
