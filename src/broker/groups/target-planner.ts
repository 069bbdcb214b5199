import type { NewRecord } from '../../batch/record.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { Assignor } from './assign/assignor.js';
import type { Group } from './core/group.js';
import { targetChanged } from './core/group-record.js';
import type { Member } from './core/member.js';
import { planTarget, type TopicLookup } from './core/target-plan.js';

/** What the planner asks of its coordinator. */
export interface PlannerHost {
  /** Resolves when the record was read back. */
  write(record: NewRecord): Promise<unknown>;
  /** What the owner of a place says about its work. */
  loadOf(place: number, owner: Member | undefined): number;
  /** False for a group that was removed, and when nothing is decided here any more. */
  isCurrent(group: Group): boolean;
}

/**
 * Makes a new target for groups whose members, or whose topics, are not those for which the latest one was made. It does
 * so at the end of a turn, and one at a time for each group: what comes while a target is being written goes into the
 * next one, so that a hundred members that come at once cost a few targets.
 */
export class TargetPlanner {
  readonly #runtime: Runtime;
  readonly #assignors: ReadonlyMap<string, Assignor>;
  readonly #lookup: TopicLookup;
  readonly #host: PlannerHost;
  readonly #due = new Set<Group>();
  readonly #writing = new Set<Group>();
  /** By group: the epoch of its members for which its target was made. */
  readonly #planned = new WeakMap<Group, number>();
  #isTurnPlanned = false;
  /** Read by metrics. */
  rebalancesTotal = 0;
  movesTotal = 0;

  constructor(
    runtime: Runtime,
    assignors: ReadonlyMap<string, Assignor>,
    topics: { readonly named: TopicLookup },
    host: PlannerHost,
  ) {
    this.#runtime = runtime;
    this.#assignors = assignors;
    this.#lookup = (name) => topics.named(name);
    this.#host = host;
  }

  /** Records of the group were replayed. */
  looked(group: Group): void {
    if (this.#planned.get(group) !== group.epoch) this.changed(group);
  }

  /** What its target depends on has changed. */
  changed(group: Group): void {
    this.#due.add(group);
    this.planSoon();
  }

  /** At the end of this turn, if there is anything to plan. */
  planSoon(): void {
    if (this.#isTurnPlanned || this.#due.size === 0) return;
    this.#isTurnPlanned = true;
    this.#runtime.clock.defer(() => {
      this.#isTurnPlanned = false;
      for (const group of this.#due) if (!this.#writing.has(group)) this.#plan(group);
    });
  }

  #plan(group: Group): void {
    this.#due.delete(group);
    if (!this.#host.isCurrent(group)) return;
    const moves = this.#moves(group);
    this.#planned.set(group, group.epoch);
    if (moves.length === 0) return;
    this.rebalancesTotal++;
    for (const { partitions } of moves) for (const each of partitions ?? []) this.movesTotal += each.partitions!.length;
    this.#writing.add(group);
    this.#host.write(targetChanged({ group: group.name, moves })).then(
      () => {
        this.#writing.delete(group);
        this.planSoon();
      },
      () => {
        // The next tick tries again.
        this.#writing.delete(group);
        if (this.#host.isCurrent(group)) this.#due.add(group);
      },
    );
  }

  #moves(group: Group): ReturnType<typeof planTarget> {
    const assignor = this.#assignors.get(group.assignor);
    const { logger } = this.#runtime;
    const fields = { group: group.name, assignor: group.assignor };
    if (assignor === undefined) {
      if (group.members.size > 0) logger.error(fields, 'this broker has no such assignor; the group stays as it is');
      return [];
    }
    try {
      return planTarget(group, assignor, this.#lookup, (place) => this.#host.loadOf(place, group.ownerOf(place)));
    } catch (error) {
      logger.error({ ...fields, error }, 'an assignor failed; the group stays as it is');
      return [];
    }
  }
}
