import { compareVersions, type Health, type InstanceClaim, type InstanceVersion } from '../instance.js';
import type { InstanceKey } from './instance-key.js';
import { serviceKey } from './instance-key.js';
import type { OwnerLog } from './owner-log.js';
import type { Session } from './sessions.js';
import type { OwnerPosition, ServiceInfo } from './view-state.js';

/** A claim in an owner's log. Immutable: a change is another entry, so a snapshot may hold entries as they were. */
export interface LogEntry {
  readonly log: OwnerLog;
  readonly place: Place;
  readonly claim: InstanceClaim;
  readonly health: Health;
  readonly sequence: number;
  /** When this node learnt of it, in live time. */
  readonly atMs: number;
}

/** Hides every claim up to its version. */
export interface Tombstone {
  readonly version: InstanceVersion;
  /** When this node learnt of it, in live time. */
  readonly atMs: number;
  /** Where it was said first; undefined when that isn't known. */
  readonly origin: OwnerPosition | undefined;
  /** Whose log says so; undefined when that log was replaced since. */
  log: OwnerLog | undefined;
}

/** A claim that no log holds any more, in sight for a while as suspect: its client is on its way to another node. */
export interface Ghost {
  readonly claim: InstanceClaim;
  readonly owner: string;
  /** In live time. */
  readonly untilMs: number;
}

/** What the merged view shows of an instance. */
export interface Shown {
  readonly claim: InstanceClaim;
  readonly health: Health;
  readonly owner: string;
}

export class Service {
  readonly namespace: string;
  readonly group: string;
  readonly name: string;
  readonly places: Map<string, Place> = new Map();
  /** Where the hashes of its places go on from. */
  readonly hashA: number;
  readonly hashB: number;
  /** Of its places: those that are shown, and of these those that are up. */
  shown = 0;
  healthy = 0;
  isProtected = false;
  /** Half of it or more was up when it was last looked at. */
  wasHealthy = false;

  constructor(namespace: string, group: string, name: string) {
    this.namespace = namespace;
    this.group = group;
    this.name = name;
    const key = serviceKey(namespace, group, name);
    this.hashA = hashText(key, 0x811c_9dc5);
    this.hashB = hashText(key, 0x9e37_79b9);
  }

  /** Ids of those of its places that are shown, in no order. */
  shownIds(): string[] {
    const ids: string[] = [];
    for (const { shown, instanceId } of this.places.values()) if (shown !== undefined) ids.push(instanceId);
    return ids;
  }

  info(): ServiceInfo {
    const { namespace, group, name, shown, healthy, isProtected } = this;
    return { namespace, group, service: name, instances: shown, healthy, isProtected };
  }
}

/** All that this node knows of one instance: the owners' claims, its tombstone, its ghost, and what comes of them. */
export class Place implements InstanceKey {
  readonly of: Service;
  readonly instanceId: string;
  readonly hashA: number;
  readonly hashB: number;
  /** At most one a log. */
  readonly entries: LogEntry[] = [];
  tombstone: Tombstone | undefined;
  ghost: Ghost | undefined;
  /** Who holds the entry in this node's own log. */
  session: Session | undefined;
  shown: Shown | undefined;
  isTouched = false;

  constructor(of: Service, instanceId: string) {
    this.of = of;
    this.instanceId = instanceId;
    this.hashA = hashText(instanceId, of.hashA);
    this.hashB = hashText(instanceId, of.hashB);
  }

  get namespace(): string {
    return this.of.namespace;
  }

  get group(): string {
    return this.of.group;
  }

  get service(): string {
    return this.of.name;
  }

  get isEmpty(): boolean {
    return this.entries.length === 0 && this.tombstone === undefined && this.ghost === undefined && !this.isTouched;
  }

  /** The entry that wins: the highest version; among equals the highest owner id. */
  best(): LogEntry | undefined {
    let best = this.entries[0];
    for (let i = 1; i < this.entries.length; i++) {
      const entry = this.entries[i]!;
      const order = compareVersions(entry.claim.version, best!.claim.version);
      if (order > 0 || (order === 0 && entry.log.owner > best!.log.owner)) best = entry;
    }
    return best;
  }

  /** The highest version of a claim, a ghost's included. */
  claimed(): InstanceVersion | undefined {
    const version = this.best()?.claim.version;
    const ghost = this.ghost?.claim.version;
    if (version === undefined || ghost === undefined) return version ?? ghost;
    return compareVersions(ghost, version) > 0 ? ghost : version;
  }

  /** The highest version seen, of a claim or of a tombstone. */
  seen(): InstanceVersion | undefined {
    const claimed = this.claimed();
    const ended = this.tombstone?.version;
    if (claimed === undefined || ended === undefined) return claimed ?? ended;
    return compareVersions(ended, claimed) >= 0 ? ended : claimed;
  }

  entryOf(log: OwnerLog): LogEntry | undefined {
    for (const entry of this.entries) if (entry.log === log) return entry;
    return undefined;
  }

  /** Puts an entry in the place of its log's former one; `undefined` takes that out. */
  setEntry(log: OwnerLog, entry: LogEntry | undefined): void {
    const at = this.entries.findIndex((each) => each.log === log);
    if (entry !== undefined) this.entries[at < 0 ? this.entries.length : at] = entry;
    else if (at >= 0) this.entries.splice(at, 1);
  }
}

/** All places, and which of them have to be looked at again. */
export class Places {
  /** By namespace, group and name: found without gluing the three together for every look-up. */
  readonly #services = new Map<string, Map<string, Map<string, Service>>>();
  #touched: Place[] = [];

  find(key: InstanceKey): Place | undefined {
    return this.service(key.namespace, key.group, key.service)?.places.get(key.instanceId);
  }

  /** The place of this name, made when it isn't there yet. One that stays empty goes when it was looked at. */
  at(key: InstanceKey): Place {
    const { namespace, group, service: name, instanceId } = key;
    const service = this.service(namespace, group, name) ?? this.#add(new Service(namespace, group, name));
    let place = service.places.get(instanceId);
    if (place === undefined) service.places.set(instanceId, (place = new Place(service, instanceId)));
    return place;
  }

  service(namespace: string, group: string, service: string): Service | undefined {
    return this.#services.get(namespace)?.get(group)?.get(service);
  }

  /** The services of one namespace, or of all. */
  *services(namespace?: string): Iterable<Service> {
    const groups = namespace === undefined ? [...this.#services.values()] : [this.#services.get(namespace)];
    for (const group of groups) for (const services of group?.values() ?? []) yield* services.values();
  }

  /** Something about it changed: it is looked at again at the end of this input. */
  touch(place: Place): void {
    if (place.isTouched) return;
    place.isTouched = true;
    this.#touched.push(place);
  }

  /** Those touched since the last call. */
  takeTouched(): readonly Place[] {
    const touched = this.#touched;
    if (touched.length === 0) return touched;
    this.#touched = [];
    for (const place of touched) place.isTouched = false;
    return touched;
  }

  /** Forgets a place of which nothing is known any more. */
  dropIfEmpty(place: Place): void {
    if (!place.isEmpty || place.shown !== undefined) return;
    const { places } = place.of;
    if (places.get(place.instanceId) !== place) return;
    places.delete(place.instanceId);
    if (places.size === 0) this.#drop(place.of);
  }

  #add(service: Service): Service {
    const { namespace, group, name } = service;
    let groups = this.#services.get(namespace);
    if (groups === undefined) this.#services.set(namespace, (groups = new Map()));
    let services = groups.get(group);
    if (services === undefined) groups.set(group, (services = new Map()));
    services.set(name, service);
    return service;
  }

  #drop({ namespace, group, name }: Service): void {
    const groups = this.#services.get(namespace);
    const services = groups?.get(group);
    services?.delete(name);
    if (services?.size === 0) groups?.delete(group);
    if (groups?.size === 0) this.#services.delete(namespace);
  }
}

/** FNV-1a over the characters of a text. */
function hashText(text: string, seed: number): number {
  let hash = seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193);
  return hash >>> 0;
}
