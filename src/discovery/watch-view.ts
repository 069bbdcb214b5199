import type { taskd } from '../wire/generated/messages.js';
import { type Instance, instanceFrom, isSameInstance } from './instance.js';
import { type OwnerPosition, Revision } from './revision.js';

interface Entry {
  readonly instance: Instance;
  readonly counter: number;
}

/**
 * What one watch tells, over any number of connections and name servers: pure.
 *
 * What was known stays known while nobody answers. A whole list from a name server that can't be sure (just started, cut
 * off, behind what we have seen) adds and changes; only one that is authoritative in all its parts removes by leaving
 * out. What an event names as removed is removed, unless it is behind: then it may tell of what was before. For the same
 * reason nothing goes back to a lower version while a name server is behind.
 */
export class WatchView {
  readonly #entries = new Map<string, Entry>();
  readonly #revision = new Revision();
  /** The whole list that is coming in parts. */
  #incoming: { readonly entries: Map<string, Entry>; isSure: boolean } | undefined;
  /** Keys whose instances differ from those in the list. */
  readonly #changed = new Set<string>();
  #list: readonly Instance[] | undefined;
  /** The keys of the list, in its order. */
  #order: readonly string[] = [];

  /** By service, then instance id; undefined until the first list is whole. */
  get list(): readonly Instance[] | undefined {
    return this.#list;
  }

  /** What the next name server is told that we have seen. */
  get known(): OwnerPosition[] {
    return this.#revision.positions;
  }

  /** Takes what was known in an earlier life; false when something newer is known already. */
  seed(instances: readonly Instance[]): boolean {
    if (this.#list !== undefined) return false;
    for (const instance of instances) this.#set({ instance, counter: 0 }, false);
    return this.#publish();
  }

  /** Takes an event in; true when the list is another one than before. */
  apply(event: taskd.WatchEvent.$Properties): boolean {
    const { state } = event;
    const isBehind = state?.behind === true;
    const isSure = state?.authoritative === true && !isBehind;
    const positions = (state?.revision ?? []).map(positionFrom);
    if (event.full === true) this.#incoming = { entries: new Map(), isSure: true };
    const incoming = this.#incoming;
    if (incoming === undefined) {
      this.#revision.merge(positions, isBehind);
      return this.#change(event, isBehind);
    }
    incoming.isSure &&= isSure;
    for (const message of event.changed ?? []) {
      const entry = entryFrom(message);
      incoming.entries.set(keyOf(entry.instance), entry);
    }
    if (event.more === true) return false;
    this.#incoming = undefined;
    if (incoming.isSure) this.#revision.replace(positions);
    else this.#revision.merge(positions, isBehind);
    return this.#take(incoming.entries, incoming.isSure, isBehind);
  }

  /** The connection is gone: half a list is worth nothing. */
  cut(): void {
    this.#incoming = undefined;
  }

  #change(event: taskd.WatchEvent.$Properties, isBehind: boolean): boolean {
    for (const message of event.changed ?? []) this.#set(entryFrom(message), isBehind);
    if (!isBehind) {
      for (const { service, instanceId } of event.removed ?? []) {
        this.#remove(keyOf({ service: service ?? '', instanceId: instanceId ?? '' }));
      }
    }
    return this.#list !== undefined && this.#publish();
  }

  #take(entries: ReadonlyMap<string, Entry>, isSure: boolean, isBehind: boolean): boolean {
    for (const entry of entries.values()) this.#set(entry, isBehind);
    if (isSure) for (const key of this.#entries.keys()) if (!entries.has(key)) this.#remove(key);
    return this.#publish();
  }

  #set(entry: Entry, isBehind: boolean): void {
    const key = keyOf(entry.instance);
    const before = this.#entries.get(key);
    if (before !== undefined && isBehind && isBelow(entry, before)) return;
    const isSame = before !== undefined && isSameInstance(before.instance, entry.instance);
    this.#entries.set(key, isSame ? { instance: before.instance, counter: entry.counter } : entry);
    if (!isSame) this.#changed.add(key);
  }

  #remove(key: string): void {
    if (this.#entries.delete(key)) this.#changed.add(key);
  }

  /** Makes the next list of the last one and what changed, in order; what is long and hardly changes isn't sorted again. */
  #publish(): boolean {
    if (this.#list !== undefined && this.#changed.size === 0) return false;
    const fresh = [...this.#changed].filter((key) => this.#entries.has(key)).sort();
    const list: Instance[] = [];
    const order: string[] = [];
    let at = 0;
    const put = (key: string, instance: Instance): void => {
      order.push(key);
      list.push(instance);
    };
    for (const [i, key] of this.#order.entries()) {
      if (this.#changed.has(key)) continue;
      for (; at < fresh.length && fresh[at]! < key; at++) put(fresh[at]!, this.#entries.get(fresh[at]!)!.instance);
      put(key, this.#list![i]!);
    }
    for (; at < fresh.length; at++) put(fresh[at]!, this.#entries.get(fresh[at]!)!.instance);
    this.#list = list;
    this.#order = order;
    this.#changed.clear();
    return true;
  }
}

function keyOf({ service, instanceId }: { readonly service: string; readonly instanceId: string }): string {
  return `${service}\n${instanceId}`;
}

function entryFrom(message: taskd.Instance.$Properties): Entry {
  return { instance: instanceFrom(message), counter: message.version?.counter ?? 0 };
}

function isBelow(a: Entry, b: Entry): boolean {
  return (a.instance.incarnation - b.instance.incarnation || a.counter - b.counter) < 0;
}

function positionFrom({ owner, incarnation, sequence }: taskd.OwnerPosition.$Properties): OwnerPosition {
  return { owner: owner ?? '', incarnation: incarnation ?? 0, sequence: sequence ?? 0 };
}
