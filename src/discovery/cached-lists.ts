/**
 * The lists of watched services as they go to disk: u32 CRC-32 of what follows, u32 magic "TKD1", one message
 * `CachedLists`. Pure.
 */
import { readU32, writeU32 } from '../base/bytes.js';
import { crc32 } from '../base/crc32.js';
import { taskd } from '../wire/generated/messages.js';
import { type Instance, instanceFrom, messageOf } from './instance.js';
import { targetKey, type WatchTarget } from './watch-target.js';

const magic = 0x544b_4431;
const headBytes = 8;
/** Services of which the last list is kept; the one that changed least recently goes first. */
export const cachedListsMax = 1_000;

interface CachedList {
  readonly target: WatchTarget;
  readonly instances: readonly Instance[];
}

export class CachedLists {
  /** By target; what changed last is at the end. */
  readonly #lists = new Map<string, CachedList>();

  find(target: WatchTarget): readonly Instance[] | undefined {
    return this.#lists.get(targetKey(target))?.instances;
  }

  put(target: WatchTarget, instances: readonly Instance[]): void {
    const key = targetKey(target);
    this.#lists.delete(key);
    this.#lists.set(key, { target, instances });
    for (const oldest of this.#lists.keys()) {
      if (this.#lists.size <= cachedListsMax) break;
      this.#lists.delete(oldest);
    }
  }

  /** Takes in what was known before: whatever is here is newer. */
  addOlder(older: CachedLists): void {
    const newer = [...this.#lists.values()];
    this.#lists.clear();
    for (const { target, instances } of [...older.#lists.values(), ...newer]) this.put(target, instances);
  }

  encode(): Uint8Array {
    const lists = [...this.#lists.values()].map(({ target, instances }) => {
      return { ...target, instances: instances.map(messageOf) };
    });
    const message = taskd.CachedLists.encode({ lists }).finish();
    const bytes = new Uint8Array(headBytes + message.length);
    bytes.set(message, headBytes);
    writeU32(bytes, 4, magic);
    writeU32(bytes, 0, crc32(bytes.subarray(4)));
    return bytes;
  }

  /** Undefined when these are not the bytes that were written. Never throws. */
  static decode(bytes: Uint8Array): CachedLists | undefined {
    if (bytes.length < headBytes || readU32(bytes, 4) !== magic) return undefined;
    if (readU32(bytes, 0) !== crc32(bytes.subarray(4))) return undefined;
    try {
      const cached = new CachedLists();
      for (const { namespace, group, service, selector, instances } of taskd.CachedLists.decode(
        bytes.subarray(headBytes),
      ).lists) {
        const target = {
          namespace: namespace ?? '',
          group: group ?? '',
          service: service ?? '',
          selector: selector ?? '',
        };
        cached.put(target, (instances ?? []).map(instanceFrom));
      }
      return cached;
    } catch {
      return undefined;
    }
  }
}
