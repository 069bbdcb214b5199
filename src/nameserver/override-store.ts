/**
 * The overrides of one name server: in memory, on disk, and on their way to and from the others.
 *
 * Order of effects of what a person says: disk, memory, peers, watchers, the answer. What comes while the file is being
 * written waits and is written as one: a round. A disk that refuses leaves everything as it was.
 *
 * What comes from a peer goes into memory and to the watchers at once, and to disk soon after: its first promise was
 * kept elsewhere. Copies that differ find out by the sums in digests: each side pulls from the other, all of it, as
 * there are few.
 */
import type { Logger } from '../base/logger.js';
import type { taskd } from '../wire/generated/messages.js';
import { type InstanceKey, instanceKey } from './core/instance-key.js';
import { allPeers } from './core/registry-effect.js';
import type { NodeFolder } from './node-folder.js';
import { overrideFrom, overrideMessage } from './override-message.js';
import { type Override, type OverrideChange, Overrides } from './overrides.js';

/** Overrides in one frame to a peer. */
const frameEntriesMax = 500;
/** Between two pulls from one peer, and between two tries of the disk. */
const pullMs = 2_000;
const storeAgainMs = 5_000;

export interface OverrideEvents {
  /** Other overrides hold for this instance than before. */
  changed(target: InstanceKey): void;
  /** To the peer of this node id, or to all. */
  send(to: string, body: taskd.PeerFrame.$Properties): void;
}

interface Saying {
  readonly target: InstanceKey;
  readonly change: OverrideChange;
  readonly wallMs: number;
  readonly done: (override: Override) => void;
  readonly refuse: (error: unknown) => void;
}

export class OverrideStore {
  readonly overrides: Overrides = new Overrides();
  readonly #folder: NodeFolder;
  readonly #logger: Logger;
  readonly #nodeId: string;
  readonly #events: OverrideEvents;
  readonly #pulledMs = new Map<string, number>();
  /** What waits for the next round. */
  #sayings: Saying[] = [];
  #isWriting = false;
  /** Something came from a peer that is not on disk. */
  #isUnstored = false;
  #triedMs = Number.NEGATIVE_INFINITY;

  constructor(folder: NodeFolder, logger: Logger, nodeId: string, events: OverrideEvents) {
    this.#folder = folder;
    this.#logger = logger;
    this.#nodeId = nodeId;
    this.#events = events;
    for (const entry of folder.overrides) this.overrides.put(entry);
  }

  /**
   * Changes what holds for an instance; durable here when it resolves. QUOTA when too many are in force; STORAGE_FULL or
   * STORAGE_FAILED when the disk refuses: nothing has changed then.
   */
  set(target: InstanceKey, change: OverrideChange, wallMs: number): Promise<Override> {
    return new Promise((done, refuse) => {
      this.#sayings.push({ target, change, wallMs, done, refuse });
      if (!this.#isWriting) void this.#write();
    });
  }

  /** The sums of a peer's digest. */
  compare(from: string, sums: readonly [number, number], nowMs: number): void {
    const [a, b] = this.overrides.hash;
    if (sums[0] === a && sums[1] === b) return;
    if (nowMs - (this.#pulledMs.get(from) ?? Number.NEGATIVE_INFINITY) < pullMs) return;
    this.#pulledMs.set(from, nowMs);
    this.#events.send(from, { overridesPull: {} });
  }

  /** A peer asks for all of them. */
  answerPull(from: string): void {
    this.#sendTo(from, this.overrides.all());
  }

  /** Entries of a peer; what is none is dropped. */
  receive(message: taskd.Overrides.$Properties): void {
    const taken: Override[] = [];
    for (const each of message.overrides ?? []) {
      const entry = overrideFrom(each);
      if (entry !== undefined && this.overrides.put(entry)) taken.push(entry);
    }
    if (taken.length === 0) return;
    this.#trim();
    this.#isUnstored = true;
    for (const entry of taken) this.#events.changed(entry);
    if (!this.#isWriting) void this.#write();
  }

  /** Tries the disk again after it refused. To be called now and then. */
  tick(nowMs: number): void {
    if (!this.#isUnstored || this.#isWriting || nowMs - this.#triedMs < storeAgainMs) return;
    this.#triedMs = nowMs;
    void this.#write();
  }

  /** Rounds, until nothing waits or the disk refuses. */
  async #write(): Promise<void> {
    this.#isWriting = true;
    let isRefused = false;
    while (this.#sayings.length > 0 || (this.#isUnstored && !isRefused)) isRefused = !(await this.#round());
    this.#isWriting = false;
  }

  /** Stores what is in memory with what waits on top of it. True when the disk took it. */
  async #round(): Promise<boolean> {
    const draft = this.overrides.copy();
    const said: { readonly entry: Override; readonly done: (override: Override) => void }[] = [];
    const refusals: ((error: unknown) => void)[] = [];
    for (const { target, change, wallMs, done, refuse } of this.#sayings.splice(0)) {
      try {
        const entry = draft.changed(target, change, this.#nodeId, wallMs);
        draft.put(entry);
        said.push({ entry, done });
        refusals.push(refuse);
      } catch (error) {
        refuse(error);
      }
    }
    draft.trim();
    this.#isUnstored = false;
    try {
      await this.#folder.storeOverrides([...draft.all()]);
    } catch (error) {
      this.#isUnstored = true;
      this.#logger.warn({ error: (error as Error).message }, 'overrides can not be written for now');
      for (const refuse of refusals) refuse(error);
      return false;
    }
    this.#publish(said.map(({ entry }) => entry));
    for (const { entry, done } of said) done(entry);
    return true;
  }

  #publish(entries: readonly Override[]): void {
    if (entries.length === 0) return;
    const latest = new Map<string, Override>();
    for (const entry of entries) {
      this.overrides.put(entry);
      latest.set(instanceKey(entry), entry);
    }
    this.#trim();
    this.#sendTo(allPeers, latest.values());
    for (const entry of latest.values()) this.#events.changed(entry);
  }

  #sendTo(to: string, entries: Iterable<Override>): void {
    let overrides: taskd.Override.$Properties[] = [];
    for (const entry of entries) {
      overrides.push(overrideMessage(entry));
      if (overrides.length < frameEntriesMax) continue;
      this.#events.send(to, { overrides: { overrides } });
      overrides = [];
    }
    if (overrides.length > 0) this.#events.send(to, { overrides: { overrides } });
  }

  #trim(): void {
    for (const entry of this.overrides.trim()) {
      this.#logger.warn({ ...entry }, 'an override was dropped: the cluster has too many');
      this.#events.changed(entry);
    }
  }
}
