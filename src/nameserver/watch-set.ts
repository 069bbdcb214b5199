/**
 * The watchers of one name server. A watcher first gets the whole list, in parts when it is long, then what changed.
 *
 * Nothing is queued for a watcher but names: which instances changed since it was last told. Their state is read when
 * it is sent, so a slow watcher skips what was in between and gets the latest. When more names than `changesMax` wait,
 * they are dropped and the whole list is sent again. So memory per watcher is bounded by the service, not by changes.
 *
 *   LISTING ──whole list sent──▶ LIVE ──too many changes wait, or the cold window ended──▶ LISTING
 */
import type { taskd } from '../wire/generated/messages.js';
import type { RegistryCore } from './core/registry-core.js';
import { instanceMessage } from './instance.js';

/** One part of a list, or one event with changes: about so many bytes, and so many instances. */
const eventBytesAim = 256 * 1_024;
const eventInstancesMax = 2_000;
const changesMaxBase = 1_024;

/** Where a watcher's events go. False: not now; the watcher is asked again by `flush` later. */
export type PushEvent = (event: taskd.WatchEvent.$Properties) => boolean;

export class Watcher {
  readonly namespace: string;
  readonly service: string;
  readonly push: PushEvent;
  /** Ids still to send of the whole list, from the end; undefined when live. */
  listing: string[] | undefined;
  isListStarted = false;
  readonly changed: Set<string> = new Set();

  constructor(namespace: string, service: string, push: PushEvent, ids: string[]) {
    this.namespace = namespace;
    this.service = service;
    this.push = push;
    this.listing = ids;
  }
}

export class WatchSet {
  readonly #core: RegistryCore;
  readonly #viewState: () => taskd.ViewState.$Properties;
  readonly #byService = new Map<string, Set<Watcher>>();
  /** Those that have something to be told. */
  readonly #dirty = new Set<Watcher>();
  #size = 0;

  /** `viewState` describes the registry as of now. */
  constructor(core: RegistryCore, viewState: () => taskd.ViewState.$Properties) {
    this.#core = core;
    this.#viewState = viewState;
  }

  get size(): number {
    return this.#size;
  }

  /** True when `flush` has something to do, unless all who wait can't take it. */
  get isDirty(): boolean {
    return this.#dirty.size > 0;
  }

  add(namespace: string, service: string, push: PushEvent): Watcher {
    const watcher = new Watcher(namespace, service, push, this.#core.ids(namespace, '', service));
    const key = watchKey(namespace, service);
    let watchers = this.#byService.get(key);
    if (watchers === undefined) this.#byService.set(key, (watchers = new Set()));
    watchers.add(watcher);
    this.#dirty.add(watcher);
    this.#size++;
    return watcher;
  }

  remove(watcher: Watcher): void {
    const key = watchKey(watcher.namespace, watcher.service);
    const watchers = this.#byService.get(key);
    if (watchers?.delete(watcher) !== true) return;
    if (watchers.size === 0) this.#byService.delete(key);
    this.#dirty.delete(watcher);
    this.#size--;
  }

  /** An instance was added, changed or removed. */
  changed(namespace: string, service: string, instanceId: string): void {
    const watchers = this.#byService.get(watchKey(namespace, service));
    if (watchers === undefined) return;
    const changesMax = changesMaxBase + this.#core.serviceSize(namespace, '', service);
    for (const watcher of watchers) {
      watcher.changed.add(instanceId);
      if (watcher.changed.size > changesMax) this.#listAgain(watcher);
      this.#dirty.add(watcher);
    }
  }

  /** Sends everyone the whole list again. */
  listAll(): void {
    for (const watchers of this.#byService.values()) {
      for (const watcher of watchers) {
        this.#listAgain(watcher);
        this.#dirty.add(watcher);
      }
    }
  }

  /** Tells a watcher that can take something again. */
  resume(watcher: Watcher): void {
    if (watcher.listing !== undefined || watcher.changed.size > 0) this.#dirty.add(watcher);
  }

  /** Tells everyone what is new. A watcher that can't take it is left alone until `resume` or its next change. */
  flush(): void {
    if (this.#dirty.size === 0) return;
    const state = this.#viewState();
    for (const watcher of this.#dirty) this.#tell(watcher, state);
    this.#dirty.clear();
  }

  #listAgain(watcher: Watcher): void {
    watcher.listing = this.#core.ids(watcher.namespace, '', watcher.service);
    watcher.isListStarted = false;
    watcher.changed.clear();
  }

  #tell(watcher: Watcher, state: taskd.ViewState.$Properties): void {
    while (watcher.listing !== undefined) if (!this.#tellListPart(watcher, watcher.listing, state)) return;
    while (watcher.changed.size > 0) if (!this.#tellChanges(watcher, state)) return;
  }

  #tellListPart(watcher: Watcher, listing: string[], state: taskd.ViewState.$Properties): boolean {
    const changed: taskd.Instance.$Properties[] = [];
    let bytes = 0;
    let rest = listing.length;
    while (rest > 0 && changed.length < eventInstancesMax && bytes < eventBytesAim) {
      bytes += this.#read(watcher, listing[--rest]!, changed);
    }
    if (!watcher.push({ full: !watcher.isListStarted, changed, removed: [], state, more: rest > 0 })) return false;
    watcher.isListStarted = true;
    listing.length = rest;
    if (rest === 0) watcher.listing = undefined;
    return true;
  }

  #tellChanges(watcher: Watcher, state: taskd.ViewState.$Properties): boolean {
    const changed: taskd.Instance.$Properties[] = [];
    const removed: taskd.InstanceKey.$Properties[] = [];
    const ids: string[] = [];
    let bytes = 0;
    for (const id of watcher.changed) {
      if (ids.length === eventInstancesMax || bytes >= eventBytesAim) break;
      ids.push(id);
      const size = this.#read(watcher, id, changed);
      if (size === 0) removed.push({ service: watcher.service, instanceId: id });
      bytes += size;
    }
    if (!watcher.push({ full: false, changed, removed, state, more: false })) return false;
    for (const id of ids) watcher.changed.delete(id);
    return true;
  }

  /** Adds the instance's state of now; about how many bytes that is, 0 when there is no such instance. */
  #read(watcher: Watcher, id: string, into: taskd.Instance.$Properties[]): number {
    const { namespace, service } = watcher;
    const found = this.#core.visible({ namespace, group: '', service, instanceId: id });
    if (found === undefined) return 0;
    into.push(instanceMessage(found.claim, found.health));
    let bytes = 200;
    for (const [key, value] of Object.entries(found.claim.metadata)) bytes += key.length + value.length;
    return bytes;
  }
}

function watchKey(namespace: string, service: string): string {
  return `${namespace}\n${service}`;
}
