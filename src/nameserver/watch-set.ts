/**
 * The watchers of one name server, pure. A watcher first gets the whole list, in parts when it is long, then what
 * changed.
 *
 * Nothing is queued for a watcher but names: which instances changed since it was last told. Their state is read when
 * it is sent, so a slow watcher skips what was in between and gets the latest. When more names wait than it was last
 * listed, and some, they are dropped and the whole list is sent again. So memory per watcher is bounded by what it
 * watches, not by changes.
 *
 * A whole list that can't be sure of what it leaves out (cold, frozen, behind) is sent again once that is over. So is
 * one to a watcher that should have been told of something gone while nobody knew that it had ended: what is only out of
 * sight is removed by a whole list that is sure, and otherwise not at all.
 */
import type { taskd } from '../wire/generated/messages.js';
import type { Catalog, ServedInstance } from './catalog.js';
import { type InstanceKey, serviceKey } from './core/instance-key.js';
import type { OwnerPosition, RegistryViewState } from './core/view-state.js';
import { compareVersions, type InstanceVersion } from './instance.js';
import { servedMessage } from './instance-message.js';
import { ToldVersions } from './told-versions.js';
import { type PushEvent, Watcher, type WatchTarget } from './watcher.js';

export { type PushEvent, Watcher, type WatchTarget } from './watcher.js';

/** One part of a list, or one event with changes: about so many bytes, and so many instances. */
const eventBytesAim = 256 * 1_024;
const eventInstancesMax = 2_000;
/** Instances told in one flush; who is left is told in the next, so that lists don't keep the loop. */
const flushInstancesMax = 10_000;

/** What the watchers need of the core. */
export interface WatchedView {
  viewState(): RegistryViewState;
  covers(known: readonly OwnerPosition[]): boolean;
  endedVersion(key: InstanceKey): InstanceVersion | undefined;
  isProtected(namespace: string, group: string, service: string): boolean;
}

interface Read {
  readonly instance: ServedInstance | undefined;
  readonly message: taskd.Instance.$Properties | undefined;
  /** About so many on the wire. */
  readonly bytes: number;
  /** It isn't there, and that is certain. */
  readonly isOver: boolean;
}

export class WatchSet {
  readonly #catalog: Catalog;
  readonly #view: WatchedView;
  /** By service; those of all services under the service ''. */
  readonly #byService = new Map<string, Set<Watcher>>();
  /** Those that have something to be told and can take it. */
  readonly #dirty = new Set<Watcher>();
  /** Those whose client has seen more than they get. */
  readonly #outrun = new Set<Watcher>();
  /** Protected services of each group. */
  readonly #protected = new Map<string, Set<string>>();
  readonly #told = new ToldVersions();
  #wasComplete = false;
  #size = 0;
  /** Of this flush: what was read, and the states. */
  readonly #reads = new Map<string, Read>();
  #state: RegistryViewState;

  constructor(catalog: Catalog, view: WatchedView) {
    this.#catalog = catalog;
    this.#view = view;
    this.#state = view.viewState();
  }

  get size(): number {
    return this.#size;
  }

  /** True when `flush` has something to do. */
  get isDirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** True while some client has seen more than is known here: `catchUp` must be called now and then. */
  get isOutrun(): boolean {
    return this.#outrun.size > 0;
  }

  add(target: WatchTarget, push: PushEvent, nowMs: number): Watcher {
    const watcher = new Watcher(target, push, nowMs);
    const key = keyOf(target);
    let watchers = this.#byService.get(key);
    if (watchers === undefined) this.#byService.set(key, (watchers = new Set()));
    watchers.add(watcher);
    this.#size++;
    if (watcher.isWaiting) {
      this.#outrun.add(watcher);
      this.catchUp(nowMs);
    } else {
      this.#list(watcher);
    }
    return watcher;
  }

  remove(watcher: Watcher): void {
    const key = keyOf(watcher.target);
    const watchers = this.#byService.get(key);
    if (watchers?.delete(watcher) !== true) return;
    if (watchers.size === 0) {
      this.#byService.delete(key);
      this.#told.forgetUnwatched(watcher.target, (service) => this.#byService.has(service));
    }
    this.#dirty.delete(watcher);
    this.#outrun.delete(watcher);
    this.#size--;
  }

  /** An instance was added, changed or removed. */
  changed(namespace: string, group: string, service: string, instanceId: string): void {
    const narrow = this.#byService.get(serviceKey(namespace, group, service));
    if (narrow !== undefined) for (const watcher of narrow) this.#note(watcher, instanceId);
    const wide = this.#byService.get(serviceKey(namespace, group, ''));
    if (wide === undefined) return;
    const place = `${service}\n${instanceId}`;
    for (const watcher of wide) this.#note(watcher, place);
  }

  /** The state of the view is another one: everybody is told, and who has an unsure list gets a sure one, once it is. */
  stateChanged(): void {
    const { isComplete } = this.#view.viewState();
    const isSureNow = isComplete && !this.#wasComplete;
    this.#wasComplete = isComplete;
    if (isSureNow) {
      this.#told.forgetGone(({ namespace, group, service, instanceId }) => {
        return this.#catalog.find(namespace, group, service, instanceId) === undefined;
      });
    }
    for (const watchers of this.#byService.values()) {
      for (const watcher of watchers) {
        if (isSureNow && watcher.isUnsure) this.#list(watcher);
        else this.#owe(watcher);
      }
    }
  }

  /** A service began or ceased to be protected. */
  protectionChanged(namespace: string, group: string, service: string, isProtected: boolean): void {
    const key = serviceKey(namespace, group, '');
    let services = this.#protected.get(key);
    if (services === undefined) this.#protected.set(key, (services = new Set()));
    if (isProtected) services.add(service);
    else services.delete(service);
    if (services.size === 0) this.#protected.delete(key);
    for (const each of [serviceKey(namespace, group, service), key]) {
      for (const watcher of this.#byService.get(each) ?? []) this.#owe(watcher);
    }
  }

  /** Lists to those whose client's vector is covered by now, or has waited long enough. */
  catchUp(nowMs: number): void {
    if (this.#outrun.size === 0) return;
    const { isComplete } = this.#view.viewState();
    const covers = (known: readonly OwnerPosition[]): boolean => this.#view.covers(known);
    for (const watcher of this.#outrun) {
      if (!watcher.catchUp(nowMs, covers, isComplete)) continue;
      if (!watcher.isBehind) this.#outrun.delete(watcher);
      this.#list(watcher);
    }
  }

  /** A watcher can take something again. */
  resume(watcher: Watcher): void {
    watcher.isStuck = false;
    if (watcher.hasWork) this.#dirty.add(watcher);
  }

  /** Tells what is new, to a bound. True: some is left for the next flush, which may follow at once. */
  flush(): boolean {
    if (this.#dirty.size === 0) return false;
    this.#state = this.#view.viewState();
    let budget = flushInstancesMax;
    // Whoever has more to be told goes to the end of the set, which the loop then reaches.
    for (const watcher of this.#dirty) {
      if (budget <= 0) break;
      this.#dirty.delete(watcher);
      const told = this.#tell(watcher);
      if (told < 0) watcher.isStuck = true;
      else if (watcher.hasWork) this.#dirty.add(watcher);
      budget -= Math.max(1, told);
    }
    this.#reads.clear();
    return this.#dirty.size > 0;
  }

  #note(watcher: Watcher, place: string): void {
    if (!watcher.note(place)) this.#list(watcher);
    else if (watcher.hasWork && !watcher.isStuck) this.#dirty.add(watcher);
  }

  #owe(watcher: Watcher): void {
    watcher.isStateDue = true;
    if (watcher.hasWork && !watcher.isStuck) this.#dirty.add(watcher);
  }

  #list(watcher: Watcher): void {
    const { namespace, group, service } = watcher.target;
    if (!watcher.isWide) {
      watcher.list(this.#catalog.ids(namespace, group, service));
    } else {
      const names = this.#catalog.serviceNames(namespace, group);
      watcher.list(names.flatMap((name) => this.#catalog.ids(namespace, group, name).map((id) => `${name}\n${id}`)));
    }
    if (!watcher.isStuck) this.#dirty.add(watcher);
  }

  /** Pushes one event; the number of instances in it, or −1 when it could not be taken. */
  #tell(watcher: Watcher): number {
    if (watcher.listing !== undefined) return this.#tellListPart(watcher, watcher.listing);
    if (watcher.changed.size > 0) return this.#tellChanges(watcher);
    return this.#push(watcher, false, [], [], false) ? 0 : -1;
  }

  #tellListPart(watcher: Watcher, listing: string[]): number {
    const changed: taskd.Instance.$Properties[] = [];
    const shown: string[] = [];
    let bytes = 0;
    let rest = listing.length;
    while (rest > 0 && changed.length < eventInstancesMax && bytes < eventBytesAim) {
      const place = listing[--rest]!;
      const read = this.#read(watcher, place);
      if (watcher.judge(place, read.instance?.claim) !== 'show') continue;
      changed.push(read.message!);
      shown.push(place);
      bytes += read.bytes;
    }
    if (!this.#push(watcher, !watcher.isListStarted, changed, [], rest > 0)) return -1;
    for (const place of shown) watcher.told(place, true);
    watcher.isListStarted = true;
    listing.length = rest;
    // A list is as sure as its least sure part.
    if (!this.#state.isComplete || watcher.isBehind) watcher.isUnsure = true;
    if (rest === 0) watcher.listing = undefined;
    return changed.length;
  }

  #tellChanges(watcher: Watcher): number {
    const changed: taskd.Instance.$Properties[] = [];
    const removed: taskd.InstanceKey.$Properties[] = [];
    const verdicts: [place: string, verdict: 'show' | 'remove' | 'skip'][] = [];
    let bytes = 0;
    for (const place of watcher.changed) {
      if (changed.length + removed.length === eventInstancesMax || bytes >= eventBytesAim) break;
      const read = this.#read(watcher, place);
      let verdict = watcher.judge(place, read.instance?.claim);
      if (verdict === 'remove' && read.instance === undefined && !read.isOver) {
        watcher.isUnsure = true;
        verdict = 'skip';
      }
      verdicts.push([place, verdict]);
      if (verdict === 'skip') continue;
      if (verdict === 'show') changed.push(read.message!);
      else removed.push(keyAt(watcher, place));
      bytes += read.bytes;
    }
    const isWorthIt = changed.length + removed.length > 0 || watcher.isStateDue;
    if (isWorthIt && !this.#push(watcher, false, changed, removed, false)) return -1;
    for (const [place, verdict] of verdicts) {
      watcher.changed.delete(place);
      if (verdict !== 'skip') watcher.told(place, verdict === 'show');
    }
    return verdicts.length;
  }

  #push(
    watcher: Watcher,
    full: boolean,
    changed: taskd.Instance.$Properties[],
    removed: taskd.InstanceKey.$Properties[],
    more: boolean,
  ): boolean {
    const { namespace, group, service } = watcher.target;
    const isProtected = watcher.isWide
      ? this.#protected.has(serviceKey(namespace, group, ''))
      : this.#view.isProtected(namespace, group, service);
    const state = stateMessage(this.#state, watcher.isBehind, isProtected);
    if (!watcher.push({ full, changed, removed, state, more })) return false;
    watcher.isStateDue = false;
    return true;
  }

  /** The instance's state of now; read once a flush, whoever is told of it. */
  #read(watcher: Watcher, place: string): Read {
    const { namespace, group } = watcher.target;
    const { service, instanceId } = keyAt(watcher, place);
    const key = `${serviceKey(namespace, group, service)}\n${instanceId}`;
    let read = this.#reads.get(key);
    if (read === undefined) {
      const instance = this.#catalog.find(namespace, group, service, instanceId);
      if (instance === undefined) {
        const isOver = this.#isOver({ namespace, group, service, instanceId });
        read = { instance, message: undefined, bytes: 60, isOver };
      } else {
        this.#told.note(instance.claim);
        read = { instance, message: servedMessage(instance), bytes: sizeOf(instance), isOver: false };
      }
      this.#reads.set(key, read);
    }
    return read;
  }

  /** True when an instance that isn't in sight has really ended. */
  #isOver(key: InstanceKey): boolean {
    if (!this.#state.isComplete) {
      const ended = this.#view.endedVersion(key);
      const told = this.#told.find(key);
      if (ended === undefined || (told !== undefined && compareVersions(ended, told) < 0)) return false;
    }
    this.#told.forget(key);
    return true;
  }
}

/** The state of an answer as the wire has it. */
export function stateMessage(
  state: RegistryViewState,
  isBehind: boolean,
  isProtected: boolean,
): taskd.ViewState.$Properties {
  return {
    revision: [...state.revision],
    staleMs: state.staleMs,
    cold: state.isCold,
    behind: isBehind,
    protected: isProtected,
    authoritative: state.isComplete && !isBehind,
    frozen: state.isFrozen,
  };
}

function keyAt(watcher: Watcher, place: string): { readonly service: string; readonly instanceId: string } {
  if (!watcher.isWide) return { service: watcher.target.service, instanceId: place };
  const at = place.indexOf('\n');
  return { service: place.slice(0, at), instanceId: place.slice(at + 1) };
}

/** About how many bytes an instance takes on the wire. */
export function sizeOf({ claim }: ServedInstance): number {
  let bytes = 200;
  for (const [key, value] of Object.entries(claim.metadata)) bytes += key.length + value.length;
  for (const tag of claim.tags) bytes += tag.length;
  return bytes;
}

function keyOf({ namespace, group, service }: WatchTarget): string {
  return serviceKey(namespace, group, service);
}
