import type { taskd } from '../../../wire/generated/messages.js';

/** One member of a group, as replay knows it. Only the group changes it. */
export class Member {
  /** Its group's name. */
  readonly group: string;
  readonly memberId: string;
  /** Empty for a dynamic member. */
  readonly instanceId: string;
  clientId = '';
  host = '';
  /** Names, in ascending order, each once. */
  topics: readonly string[] = [];
  sessionTimeoutMs = 0;
  releaseTimeoutMs = 0;
  /** Of the latest change of `assigned`. */
  epoch = 0;
  /** Of its latest join. */
  joinEpoch = 0;
  /** What it may consume. */
  readonly assigned: Set<number> = new Set<number>();
  /** What it shall let go and has not yet. */
  readonly revoking: Set<number> = new Set<number>();
  /** What it shall have in the end. */
  readonly target: Set<number> = new Set<number>();

  constructor(group: string, memberId: string, instanceId: string) {
    this.group = group;
    this.memberId = memberId;
    this.instanceId = instanceId;
  }

  /** What decides its place among the members: for a static one the same after a restart. */
  get name(): string {
    return this.instanceId === '' ? this.memberId : this.instanceId;
  }

  /** What it will get once others have let go. */
  standby(): number[] {
    const places: number[] = [];
    for (const place of this.target) if (!this.assigned.has(place)) places.push(place);
    return places;
  }

  /** True when it owns the place, whether it shall keep it or not. */
  owns(place: number): boolean {
    return this.assigned.has(place) || this.revoking.has(place);
  }

  /** Takes over what it says about itself; true when it subscribes to other topics than before. */
  describe(fields: taskd.MemberJoined): boolean {
    const topics = [...new Set(fields.topics)].sort();
    const isOther = topics.length !== this.topics.length || topics.some((topic, i) => topic !== this.topics[i]);
    this.topics = topics;
    this.clientId = fields.clientId;
    this.host = fields.host;
    this.sessionTimeoutMs = fields.sessionTimeoutMs;
    this.releaseTimeoutMs = fields.releaseTimeoutMs;
    return isOther;
  }
}
