/**
 * An assignor says who shall have which partition. It is pure: the same question has the same answer, whatever was asked
 * before. One's own is added in `assignors` of the coordinator's options; members then ask for it by name.
 */
export interface Assignor {
  readonly name: string;
  /** Fills `question.result`. */
  assign(question: AssignQuestion): void;
}

/** Members and partitions as indexes, since there may be many of both. */
export interface AssignQuestion {
  /** In an order that is the same each time, whoever came first. */
  readonly members: readonly AssignMember[];
  /** The topics that anybody subscribes to, by id in ascending order. */
  readonly topics: readonly AssignTopic[];
  /** Partitions of all topics, in the order of `topics`. */
  readonly partitionCount: number;
  /** By partition: the member that was to have it until now, or -1. Always one that subscribes to its topic. */
  readonly former: Int32Array;
  /** By partition: the member that consumes it at this moment, or -1. Giving it there costs no pause. */
  readonly holder: Int32Array;
  /** By partition: how much work it makes, as members say; 0 when nobody said. */
  readonly load: Float64Array;
  /** By partition: the member that shall have it; -1, as it comes, for nobody. */
  readonly result: Int32Array;
}

export interface AssignMember {
  readonly name: string;
  /** Indexes into `topics`, ascending. */
  readonly topics: readonly number[];
}

export interface AssignTopic {
  readonly topicId: number;
  readonly partitions: number;
  /** Index of its partition 0. */
  readonly first: number;
  /** Indexes of the members that subscribe to it, ascending; never empty. */
  readonly members: readonly number[];
}
