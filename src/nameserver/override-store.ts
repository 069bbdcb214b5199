/**
 * The overrides of one name server: in memory, on disk, and on their way to and from the others.
 *
 * Order of effects of `set`: memory, so that the next one builds on it; disk; peers; watchers; the answer. Until it is
 * on disk nobody was promised anything, but whoever reads may see it. What comes from a peer goes into memory and to the
 * watchers at once and is stored soon after: its first promise was kept elsewhere.
 *
 * Copies that differ find out by the sums in digests: each side pulls from the other, all of it, as there are few.
 */
import type { Logger } from '../base/logger.js';
import type { taskd } from '../wire/generated/messages.js';
import type { InstanceKey } from './core/instance-key.js';
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

export class OverrideStore {
  readonly overrides: Overrides = new Overrides();
  readonly #folder: NodeFolder;
  readonly #logger: Logger;
  readonly #nodeId: string;
  readonly #allPeers: string;
  readonly #events: OverrideEvents;
  readonly #pulledMs = new Map<string, number>();
  #isStored = true;
  #triedMs = Number.NEGATIVE_INFINITY;

  constructor(folder: NodeFolder, logger: Logger, nodeId: string, allPeers: string, events: OverrideEvents) {
    this.#folder = folder;
    this.#logger = logger;
    this.#nodeId = nodeId;
    this.#allPeers = allPeers;
    this.#events = events;
    for (const entry of folder.overrides) this.overrides.put(entry);
  }

  /**
   * Changes what holds for an instance; durable here when it resolves. QUOTA when too many are in force;
   * STORAGE_FAILED when the disk refuses: it holds then, until this name server starts again.
   */
  async set(target: InstanceKey, change: OverrideChange, wallMs: number): Promise<Override> {
    const entry = this.overrides.changed(target, change, this.#nodeId, wallMs);
    this.overrides.put(entry);
    this.#trim();
    this.#isStored = false;
    await this.#store();
    this.#events.send(this.#allPeers, { overrides: { overrides: [overrideMessage(entry)] } });
    this.#events.changed(target);
    return entry;
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
    let overrides: taskd.Override.$Properties[] = [];
    for (const entry of this.overrides.all()) {
      overrides.push(overrideMessage(entry));
      if (overrides.length < frameEntriesMax) continue;
      this.#events.send(from, { overrides: { overrides } });
      overrides = [];
    }
    if (overrides.length > 0) this.#events.send(from, { overrides: { overrides } });
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
    this.#isStored = false;
    this.#store().catch(() => {});
    for (const entry of taken) this.#events.changed(entry);
  }

  /** Tries the disk again after it refused. To be called now and then. */
  tick(nowMs: number): void {
    if (this.#isStored || nowMs - this.#triedMs < storeAgainMs) return;
    this.#triedMs = nowMs;
    this.#store().catch(() => {});
  }

  async #store(): Promise<void> {
    const { hash } = this.overrides;
    try {
      await this.#folder.storeOverrides([...this.overrides.all()]);
      if (this.overrides.hash.join() === hash.join()) this.#isStored = true;
    } catch (error) {
      this.#logger.error({ error: (error as Error).message }, 'overrides are not on disk; trying again');
      throw error;
    }
  }

  #trim(): void {
    for (const entry of this.overrides.trim()) {
      this.#logger.warn({ ...entry }, 'an override was dropped: the cluster has too many');
      this.#events.changed(entry);
    }
  }
}
