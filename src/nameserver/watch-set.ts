/**
 * The watchers of one name server, pure. A watcher first gets the whole list, in parts when it is long, then what
 * changed.
 *
 * Nothing is queued but names: which instances changed, once for all who watch a service, and how far each of them has
 * been told. Their state is read when it is sent, so a slow watcher skips what was in between and gets the latest. One
 * that more changes wait for than it was last listed, and some, gets the whole list again. So memory is bounded by what
 * is watched, not by changes. Watchers that are equally far are told the same event, made once.
 *
 * A whole list that can't be sure of what it leaves out (cold, frozen, behind) is sent again once that is over. So is
 * one to a watcher that should have been told of something gone while nobody knew that it had ended: what is only out of
 * sight is removed by a whole list that is sure, and otherwise not at all.
 */
import type { taskd } from '../wire/generated/messages.js';
import type { Catalog, ServedInstance } from './catalog.js';
import { ChangeJournal } from './change-journal.js';
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
/**
 * Instances told in one flush, or looked at for a selector; who is left is told in the next, so that lists don't keep the
 * loop. No part of a list takes more looks than a flush.
 */
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

/** Those who watch one service, or all of a group, and what changes there. */
interface Audience {
  readonly watchers: Set<Watcher>;
  readonly journal: ChangeJournal;
}

/** What was read of a journal, from one position to another, as one event. */
interface Chunk {
  readonly from: number;
  readonly to: number;
  readonly event: taskd.WatchEvent.$Properties;
  readonly verdicts: readonly (readonly [place: string, isShown: boolean])[];
  /** Something is out of sight that may not have ended. */
  readonly isUnsure: boolean;
}

export class WatchSet {
  readonly #catalog: Catalog;
  readonly #view: WatchedView;
  /** By service; those of all services under the service ''. */
  readonly #audiences = new Map<string, Audience>();
  /** Those whose journal grew since the last flush. */
  readonly #moved = new Set<Audience>();
  /** Those whose journal isn't empty. */
  readonly #kept = new Set<Audience>();
  /** Those that have something to be told and can take it. */
  readonly #dirty = new Set<Watcher>();
  /** Those whose client has seen more than they get. */
  readonly #outrun = new Set<Watcher>();
  /** Protected services of each group. */
  readonly #protected = new Map<string, Set<string>>();
  readonly #told = new ToldVersions();
  #wasComplete = false;
  #size = 0;
  /** Of this flush: what was read, what whole audiences are told, and the state. */
  readonly #reads = new Map<string, Read>();
  readonly #chunks = new Map<ChangeJournal, Chunk>();
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
    return this.#dirty.size > 0 || this.#moved.size > 0;
  }

  /** True while some client has seen more than is known here: `catchUp` must be called now and then. */
  get isOutrun(): boolean {
    return this.#outrun.size > 0;
  }

  add(target: WatchTarget, push: PushEvent, nowMs: number): Watcher {
    const key = keyOf(target);
    let audience = this.#audiences.get(key);
    if (audience === undefined) {
      audience = { watchers: new Set(), journal: new ChangeJournal() };
      this.#audiences.set(key, audience);
    }
    const watcher = new Watcher(target, audience.journal, push, nowMs);
    audience.watchers.add(watcher);
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
    const audience = this.#audiences.get(key);
    if (audience?.watchers.delete(watcher) !== true) return;
    if (audience.watchers.size === 0) {
      this.#audiences.delete(key);
      this.#moved.delete(audience);
      this.#kept.delete(audience);
      this.#told.forgetUnwatched(watcher.target, (service) => this.#audiences.has(service));
    }
    this.#dirty.delete(watcher);
    this.#outrun.delete(watcher);
    this.#size--;
  }

  /** An instance was added, changed or removed. */
  changed(namespace: string, group: string, service: string, instanceId: string): void {
    this.#note(serviceKey(namespace, group, service), instanceId);
    const wide = serviceKey(namespace, group, '');
    if (this.#audiences.has(wide)) this.#note(wide, `${service}\n${instanceId}`);
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
    for (const { watchers } of this.#audiences.values()) {
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
      for (const watcher of this.#audiences.get(each)?.watchers ?? []) this.#owe(watcher);
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
    for (const audience of this.#moved) this.#rouse(audience);
    this.#moved.clear();
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
    this.#chunks.clear();
    for (const audience of this.#kept) this.#trim(audience);
    return this.#dirty.size > 0;
  }

  #note(key: string, place: string): void {
    const audience = this.#audiences.get(key);
    if (audience === undefined) return;
    audience.journal.note(place);
    this.#moved.add(audience);
    this.#kept.add(audience);
  }

  /** Whoever can take it is told in this flush. Who missed too much gets the whole list instead. */
  #rouse({ watchers }: Audience): void {
    for (const watcher of watchers) {
      if (watcher.isLapped) this.#list(watcher);
      else if (watcher.hasWork && !watcher.isStuck) this.#dirty.add(watcher);
    }
  }

  /** Forgets what everybody was told. */
  #trim(audience: Audience): void {
    const { journal, watchers } = audience;
    let position = journal.end;
    for (const watcher of watchers) if (!watcher.isWaiting) position = Math.min(position, watcher.position);
    journal.trim(position);
    if (position === journal.end) this.#kept.delete(audience);
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

  /** Pushes one event; the number of instances that it took a look at, or −1 when it could not be taken. */
  #tell(watcher: Watcher): number {
    if (watcher.listing !== undefined) return this.#tellListPart(watcher, watcher.listing);
    if (watcher.changes > 0) return this.#tellChanges(watcher);
    return this.#push(watcher, this.#event(watcher, false, [], [], false)) ? 0 : -1;
  }

  #tellListPart(watcher: Watcher, listing: string[]): number {
    const changed: taskd.Instance.$Properties[] = [];
    const shown: string[] = [];
    let bytes = 0;
    let rest = listing.length;
    const least = rest - flushInstancesMax;
    while (rest > 0 && rest > least && changed.length < eventInstancesMax && bytes < eventBytesAim) {
      const place = listing[--rest]!;
      const read = this.#read(watcher, place);
      if (watcher.judge(place, read.instance?.claim) !== 'show') continue;
      changed.push(read.message!);
      shown.push(place);
      bytes += read.bytes;
    }
    if (!this.#push(watcher, this.#event(watcher, !watcher.isListStarted, changed, [], rest > 0))) return -1;
    for (const place of shown) watcher.told(place, true);
    watcher.isListStarted = true;
    const looks = listing.length - rest;
    listing.length = rest;
    // A list is as sure as its least sure part.
    if (!this.#state.isComplete || watcher.isBehind) watcher.isUnsure = true;
    if (rest === 0) watcher.listing = undefined;
    return looks;
  }

  #tellChanges(watcher: Watcher): number {
    const chunk = this.#chunkFor(watcher);
    const { event, verdicts } = chunk;
    if (chunk.isUnsure) watcher.isUnsure = true;
    const isWorthIt = verdicts.length > 0 || watcher.isStateDue;
    if (isWorthIt && !this.#push(watcher, event)) return -1;
    watcher.position = chunk.to;
    for (const [place, isShown] of verdicts) watcher.told(place, isShown);
    return chunk.to - chunk.from;
  }

  /** One without a selector that isn't behind is told what all others of its kind are told: that is read once. */
  #chunkFor(watcher: Watcher): Chunk {
    if (watcher.target.selector !== undefined || watcher.isBehind) return this.#chunk(watcher);
    let chunk = this.#chunks.get(watcher.journal);
    if (chunk?.from !== watcher.position) this.#chunks.set(watcher.journal, (chunk = this.#chunk(watcher)));
    return chunk;
  }

  #chunk(watcher: Watcher): Chunk {
    const { journal, position: from } = watcher;
    const changed: taskd.Instance.$Properties[] = [];
    const removed: taskd.InstanceKey.$Properties[] = [];
    const verdicts: [place: string, isShown: boolean][] = [];
    const places = new Set<string>();
    let isUnsure = false;
    let bytes = 0;
    let to = from;
    const end = Math.min(journal.end, from + flushInstancesMax);
    for (; to < end && verdicts.length < eventInstancesMax && bytes < eventBytesAim; to++) {
      const place = journal.at(to);
      if (places.has(place)) continue;
      places.add(place);
      const read = this.#read(watcher, place);
      const verdict = watcher.judge(place, read.instance?.claim);
      const isUncertain = verdict === 'remove' && read.instance === undefined && !read.isOver;
      if (isUncertain) isUnsure = true;
      if (verdict === 'skip' || isUncertain) continue;
      verdicts.push([place, verdict === 'show']);
      if (verdict === 'show') changed.push(read.message!);
      else removed.push(keyAt(watcher, place));
      bytes += read.bytes;
    }
    return { from, to, event: this.#event(watcher, false, changed, removed, false), verdicts, isUnsure };
  }

  #event(
    watcher: Watcher,
    full: boolean,
    changed: taskd.Instance.$Properties[],
    removed: taskd.InstanceKey.$Properties[],
    more: boolean,
  ): taskd.WatchEvent.$Properties {
    const { namespace, group, service } = watcher.target;
    const isProtected = watcher.isWide
      ? this.#protected.has(serviceKey(namespace, group, ''))
      : this.#view.isProtected(namespace, group, service);
    return { full, changed, removed, state: stateMessage(this.#state, watcher.isBehind, isProtected), more };
  }

  #push(watcher: Watcher, event: taskd.WatchEvent.$Properties): boolean {
    if (!watcher.push(event)) return false;
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
