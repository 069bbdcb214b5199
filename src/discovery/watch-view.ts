import type { taskd } from '../wire/generated/messages.js';
import { type Instance, instanceFrom, isSameInstance } from './instance.js';

/**
 * One service as its watch tells it, over any number of connections: pure. What was known stays known while nobody
 * answers, and when a whole list comes from a name server that can't be sure yet (just started, or cut off): such a
 * list adds and changes, and only one that is authoritative removes by leaving out. What an event names as removed is
 * always removed.
 */
export class WatchView {
  #instances = new Map<string, Instance>();
  /** The whole list that is coming in parts. */
  #incoming: Map<string, Instance> | undefined;
  /** In the order of ids; undefined until the first list is whole. */
  #list: readonly Instance[] | undefined;

  get list(): readonly Instance[] | undefined {
    return this.#list;
  }

  /** Takes an event in; true when the list is another one than before. */
  apply(event: taskd.WatchEvent.$Properties): boolean {
    if (event.full === true) this.#incoming = new Map();
    if (this.#incoming === undefined) return this.#change(event);
    for (const message of event.changed ?? []) {
      const instance = instanceFrom(message);
      this.#incoming.set(instance.instanceId, instance);
    }
    if (event.more === true) return false;
    const incoming = this.#incoming;
    this.#incoming = undefined;
    return this.#replace(incoming, event.state?.authoritative === true);
  }

  /** The connection is gone: half a list is worth nothing. */
  cut(): void {
    this.#incoming = undefined;
  }

  #change(event: taskd.WatchEvent.$Properties): boolean {
    let isChanged = false;
    for (const message of event.changed ?? []) isChanged = this.#set(instanceFrom(message)) || isChanged;
    for (const { instanceId } of event.removed ?? []) {
      isChanged = this.#instances.delete(instanceId ?? '') || isChanged;
    }
    return this.#publish(isChanged);
  }

  #replace(incoming: Map<string, Instance>, isAuthoritative: boolean): boolean {
    let isChanged = false;
    for (const instance of incoming.values()) isChanged = this.#set(instance) || isChanged;
    if (isAuthoritative) {
      for (const id of this.#instances.keys()) {
        if (!incoming.has(id)) isChanged = this.#instances.delete(id) || isChanged;
      }
    }
    return this.#publish(isChanged || this.#list === undefined);
  }

  #set(instance: Instance): boolean {
    const before = this.#instances.get(instance.instanceId);
    if (before !== undefined && isSameInstance(before, instance)) return false;
    this.#instances.set(instance.instanceId, instance);
    return true;
  }

  #publish(isChanged: boolean): boolean {
    if (!isChanged) return false;
    this.#list = [...this.#instances.values()].sort((a, b) => (a.instanceId < b.instanceId ? -1 : 1));
    return true;
  }
}
