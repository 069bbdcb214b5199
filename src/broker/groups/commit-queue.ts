/**
 * Gathers commits, so that many members that commit every few milliseconds cost one write at a time: the first goes at
 * once, those that come while it is being written, or within the linger after it, go together. Of one member only the
 * latest offset of a partition is written, and all who asked are answered when that one is durable.
 */
import { placeOf } from '../../base/place.js';
import type { NewRecord } from '../../batch/record.js';
import type { ServerCall } from '../../rpc/service.js';
import type { Timer } from '../../runtime/clock.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { taskd } from '../../wire/generated/messages.js';
import { offsetsCommitted } from './core/group-record.js';
import type { GroupVerdict } from './core/group-shard.js';

/** Time between the end of one write of commits and the begin of the next. */
const lingerMs = 5;
/** Offsets in all commits that wait. */
export const offsetsWaitingMax = 200_000;
/** Bytes of one record above which the next commit of the same member gets one of its own. */
const recordBytesWanted = 1024 * 1024;
/** Of an offset besides its metadata. */
const offsetBytes = 32;

export type CommitCall = ServerCall<taskd.CommitOffsetsResponse.$Properties>;

interface Waiter {
  readonly call: CommitCall;
  readonly places: readonly number[];
  /** What was refused before anything was written. */
  readonly results: taskd.CommitResult.$Properties[];
}

/** What one member commits in the next write. */
interface Entry {
  readonly group: string;
  readonly memberId: string;
  readonly memberEpoch: number;
  readonly offsets: Map<number, taskd.CommittedOffset.$Properties>;
  readonly waiters: Waiter[];
  bytes: number;
}

/** Makes the answer of one partition that was refused by replay. */
export type FencedResult = (place: number) => taskd.CommitResult.$Properties;
type Write = (records: readonly NewRecord[]) => Promise<readonly GroupVerdict[]>;

export class CommitQueue {
  readonly #runtime: Runtime;
  readonly #write: Write;
  readonly #fenced: FencedResult;
  #entries: Entry[] = [];
  readonly #latest = new Map<string, Entry>();
  /** By group: commits that are not durable yet. */
  readonly #pending = new Map<string, number>();
  /** Of these, the groups that were not there. */
  readonly #new = new Set<string>();
  #waiting = 0;
  #writing = 0;
  #timer: Timer | undefined;
  #isLingering = false;
  /** Read by metrics. */
  recordsTotal = 0;

  constructor(runtime: Runtime, write: Write, fenced: FencedResult) {
    this.#runtime = runtime;
    this.#write = write;
    this.#fenced = fenced;
  }

  /** Offsets in commits that have no answer yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** True while a commit of the group is on its way: what is stored may not be what is committed next. */
  hasPending(group: string): boolean {
    return this.#pending.has(group);
  }

  /** Groups that are made by commits on their way. */
  get newGroups(): number {
    return this.#new.size;
  }

  /** `isNew`: there is no such group yet. */
  add(
    request: taskd.CommitOffsetsRequest,
    offsets: readonly taskd.CommittedOffset.$Properties[],
    call: CommitCall,
    results: taskd.CommitResult.$Properties[],
    isNew: boolean,
  ): void {
    const { group, memberId, memberEpoch } = request;
    if (isNew) this.#new.add(group);
    const key = `${group}\n${memberId}`;
    let entry = this.#latest.get(key);
    if (entry === undefined || entry.memberEpoch !== memberEpoch || entry.bytes > recordBytesWanted) {
      entry = { group, memberId, memberEpoch, offsets: new Map(), waiters: [], bytes: 0 };
      this.#entries.push(entry);
      this.#latest.set(key, entry);
      this.#pending.set(group, (this.#pending.get(group) ?? 0) + 1);
    }
    const places: number[] = [];
    for (const offset of offsets) {
      const place = placeOf(offset.topicId ?? 0, offset.partition ?? 0);
      entry.offsets.set(place, offset);
      places.push(place);
      entry.bytes += offsetBytes + 3 * (offset.metadata?.length ?? 0);
    }
    entry.waiters.push({ call, places, results });
    this.#waiting += offsets.length;
    if (this.#writing === 0 && !this.#isLingering) this.flush();
  }

  /** Writes what has gathered now: before a record that would change who may commit. */
  flush(): void {
    const entries = this.#entries;
    if (entries.length === 0) return;
    this.#entries = [];
    this.#latest.clear();
    const records = entries.map(({ group, memberId, memberEpoch, offsets }) =>
      offsetsCommitted({ group, memberId, memberEpoch, offsets: [...offsets.values()] }),
    );
    this.#writing++;
    this.recordsTotal += records.length;
    this.#write(records).then(
      (verdicts) => {
        for (const [i, entry] of entries.entries()) this.#answer(entry, verdicts[i]!);
        this.#wrote();
      },
      (error: unknown) => {
        for (const entry of entries) this.#fail(entry, error);
        this.#wrote();
      },
    );
  }

  /** Fails what was not written yet. */
  close(error: unknown): void {
    this.#timer?.cancel();
    const entries = this.#entries;
    this.#entries = [];
    this.#latest.clear();
    for (const entry of entries) this.#fail(entry, error);
  }

  #wrote(): void {
    this.#writing--;
    if (this.#isLingering) return;
    this.#isLingering = true;
    this.#timer = this.#runtime.clock.timer(lingerMs, () => {
      this.#isLingering = false;
      if (this.#writing === 0) this.flush();
    });
  }

  #answer(entry: Entry, { refusal, fenced }: GroupVerdict): void {
    if (refusal !== undefined) {
      this.#fail(entry, refusal);
      return;
    }
    this.#settled(entry);
    for (const { call, places, results } of entry.waiters) {
      for (const place of places) results.push(fenced.has(place) ? this.#fenced(place) : resultOf(entry, place));
      call.reply({ results });
    }
  }

  #fail(entry: Entry, error: unknown): void {
    this.#settled(entry);
    for (const { call } of entry.waiters) call.fail(error);
  }

  #settled({ group, waiters }: Entry): void {
    for (const { places } of waiters) this.#waiting -= places.length;
    const left = this.#pending.get(group)! - 1;
    if (left === 0) {
      this.#pending.delete(group);
      this.#new.delete(group);
    } else this.#pending.set(group, left);
  }
}

function resultOf(entry: Entry, place: number): taskd.CommitResult.$Properties {
  const { topicId, partition } = entry.offsets.get(place)!;
  return { topicId: topicId ?? 0, partition: partition ?? 0 };
}
