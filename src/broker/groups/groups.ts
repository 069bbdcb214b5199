import type { MetricSet } from '../../base/counters.js';
import type { TaskdError } from '../../base/errors.js';
import { groupPartition } from '../../base/group-partition.js';
import type { Peer, ServerCall, ServiceRegistry } from '../../rpc/service.js';
import type { Timer } from '../../runtime/clock.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { taskd } from '../../wire/generated/messages.js';
import {
  commitOffsets,
  describeGroup as describeMethod,
  fetchOffsets,
  groupBeat,
  joinGroup,
  leaveGroup,
  listGroups,
  type Method,
  removeGroup,
  resetOffsets,
} from '../../wire/methods.js';
import type { Assignor } from './assign/assignor.js';
import { LeastDispatchedAssignor } from './assign/least-dispatched-assignor.js';
import { RangeAssignor } from './assign/range-assignor.js';
import { StickyAssignor } from './assign/sticky-assignor.js';
import type { GroupTopics } from './broker-topics.js';
import { GroupCoordinator } from './coordinator.js';
import { groupRemoved } from './core/group-record.js';
import { noGroup } from './core/group-shard.js';
import type { GroupLogOptions, GroupPartition } from './group-log.js';
import { addGroupMetrics } from './group-metrics.js';
import { describeGroup, groupSummary } from './group-report.js';
import { groupNameProblem, joinProblem, listedGroupsMax, notReady, stopping } from './group-rules.js';
import { OffsetService } from './offset-service.js';

const tickMs = 250;
/** A tick that comes so much later than planned: this process stood still, and members could not be heard. */
const lateMs = 750;
const sweepEveryTicks = 240;

/** The assignors that members can ask for; another one of the user's own is put beside them. */
export const ownAssignors: readonly Assignor[] = [
  new StickyAssignor(),
  new RangeAssignor(),
  new LeastDispatchedAssignor(),
];

/** The consumer groups of one broker: a coordinator for each partition of `__groups` that it leads. */
export class Groups {
  readonly #runtime: Runtime;
  readonly #assignors: ReadonlyMap<string, Assignor>;
  #coordinators: readonly GroupCoordinator[] = [];
  #topics: GroupTopics | undefined;
  #offsets: OffsetService | undefined;
  #timer: Timer | undefined;
  #tickDueMs = 0;
  #ticks = 0;
  #isStopped = false;
  /** Read by metrics. */
  commitsTotal = 0;

  /** Puts the handlers into `services`; all is answered with NOT_READY until `start`. */
  constructor(runtime: Runtime, services: ServiceRegistry, assignors: readonly Assignor[] = ownAssignors) {
    this.#runtime = runtime;
    this.#assignors = new Map(assignors.map((assignor) => [assignor.name, assignor]));
    this.#register(services);
  }

  get coordinators(): readonly GroupCoordinator[] {
    return this.#coordinators;
  }

  /** Begins to replay the logs, one a partition of `__groups`; each coordinator serves once it knows its log's end. */
  start(logs: readonly GroupPartition[], topics: GroupTopics, options: GroupLogOptions = {}): void {
    this.#topics = topics;
    this.#offsets = new OffsetService(this.#runtime, topics);
    this.#coordinators = logs.map((log) => new GroupCoordinator(this.#runtime, log, topics, this.#assignors, options));
    for (const coordinator of this.#coordinators) coordinator.start();
    this.#armTick();
  }

  /** Topics were made, or deleted, or have more partitions. */
  topicsChanged(): void {
    for (const coordinator of this.#coordinators) coordinator.topicsChanged();
  }

  registerMetrics(metrics: MetricSet): void {
    addGroupMetrics(metrics, this, () => this.#topics);
  }

  /** Decides nothing any more; members are told to look for another coordinator. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    for (const coordinator of this.#coordinators) coordinator.close();
  }

  #armTick(): void {
    this.#tickDueMs = this.#runtime.clock.monotonicMs() + tickMs;
    this.#timer = this.#runtime.clock.timer(tickMs, () => {
      if (this.#isStopped) return;
      const nowMs = this.#runtime.clock.monotonicMs();
      const wasLate = nowMs - this.#tickDueMs >= lateMs;
      this.#ticks++;
      for (const coordinator of this.#coordinators) {
        coordinator.tick(nowMs, wasLate);
        if (this.#ticks % sweepEveryTicks === 0) coordinator.sweep();
      }
      this.#armTick();
    });
  }

  #register(services: ServiceRegistry): void {
    services.onStream(joinGroup, (request, stream) => {
      const problem = this.#refusal(request.group) ?? joinProblem(request, this.#assignors);
      if (problem === undefined) this.#of(request.group).join(request, stream);
      else stream.end(problem);
    });
    services.onSend(groupBeat, (beat) => {
      if (this.#refusal(beat.group) === undefined) this.#of(beat.group).beat(beat);
    });
    this.#serve(services, leaveGroup, async (request) => {
      await this.#of(request.group).leave(request);
      return {};
    });
    services.onCall(commitOffsets, (request, call) => {
      const problem = this.#refusal(request.group);
      if (problem !== undefined) {
        call.fail(problem);
        return;
      }
      this.commitsTotal++;
      this.#offsets!.commit(this.#of(request.group), request, call);
    });
    this.#serve(services, fetchOffsets, async (request) => this.#offsets!.fetch(this.#of(request.group), request));
    this.#serve(services, resetOffsets, (request, { clientId }) =>
      this.#offsets!.reset(this.#of(request.group), request, clientId),
    );
    this.#serve(services, describeMethod, async (request) => {
      const { group: name } = request;
      const coordinator = this.#of(name);
      if (coordinator.refusal !== undefined) throw coordinator.refusal;
      const group = coordinator.shard.groups.get(name);
      if (group === undefined) throw noGroup(name);
      return describeGroup(coordinator, group, this.#topics!, this.#runtime.clock.monotonicMs(), request);
    });
    this.#serve(services, removeGroup, async ({ group }) => {
      const coordinator = this.#of(group);
      if (coordinator.refusal !== undefined) throw coordinator.refusal;
      const [verdict] = await coordinator.write([groupRemoved({ group })]);
      if (verdict!.refusal !== undefined) throw verdict!.refusal;
      return {};
    });
    services.onCall(listGroups, (request, call) => {
      if (this.#coordinators.length === 0) call.fail(this.#isStopped ? stopping() : notReady());
      else answer(call, async () => this.#list(request));
    });
  }

  #list({ prefix, after, limit }: taskd.ListGroupsRequest): taskd.ListGroupsResponse.$Properties {
    const names: [string, GroupCoordinator][] = [];
    for (const coordinator of this.#coordinators) {
      if (coordinator.refusal !== undefined) throw coordinator.refusal;
      for (const name of coordinator.shard.groups.keys()) {
        if (name > after && name.startsWith(prefix)) names.push([name, coordinator]);
      }
    }
    names.sort(([a], [b]) => (a < b ? -1 : 1));
    const page = names.slice(0, Math.min(limit || listedGroupsMax, listedGroupsMax));
    return { groups: page.map(([name, { shard }]) => groupSummary(shard.groups.get(name)!)) };
  }

  /** A call about one group. */
  #serve<Q extends { readonly group: string }, A, QIn, AIn>(
    services: ServiceRegistry,
    method: Method<Q, A, QIn, AIn>,
    handler: (request: Q, peer: Peer) => Promise<AIn>,
  ): void {
    services.onCall(method, (request, call) => {
      const problem = this.#refusal(request.group);
      if (problem === undefined) answer(call, () => handler(request, call.peer));
      else call.fail(problem);
    });
  }

  #refusal(group: string): TaskdError | undefined {
    if (this.#isStopped) return stopping();
    if (this.#coordinators.length === 0) return notReady();
    return groupNameProblem(group);
  }

  #of(group: string): GroupCoordinator {
    return this.#coordinators[groupPartition(group, this.#coordinators.length)]!;
  }
}

function answer<A>(call: ServerCall<A>, work: () => Promise<A>): void {
  work().then(
    (message) => call.reply(message),
    (error) => call.fail(error),
  );
}
