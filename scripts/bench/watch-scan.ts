/**
 * What the watchers of the registry bench read of an event: which instance, its number, whether it is up. They share
 * the processors with the servers, so the rest is skipped, not decoded. Field numbers are those of proto/registry.proto.
 */
import type { Reader } from 'protobufjs/minimal.js';
import type { taskd } from '../../src/wire/generated/messages.js';
import { type Method, watchInstances } from '../../src/wire/methods.js';
import protobuf from '../../src/wire/protobuf.js';
import type { RegistryWatch } from './registry-watch.js';

const field = { changed: 2, removed: 3, instanceId: 3, metadata: 8, health: 10, removedId: 2, key: 1, value: 2 };
const healthUp = 1;

/** An event, not read yet. It is a view of the receive buffer, valid during the push. */
export interface RawEvent {
  readonly reader: Reader;
}

/** `registry.watch`, with its events as they came. */
export const watchRaw: Method<taskd.WatchRequest, RawEvent, taskd.WatchRequest.$Properties, RawEvent> = {
  ...watchInstances,
  answer: {
    encode: () => {
      throw new Error('only read here');
    },
    decode: (bytes, length) => {
      const reader = bytes instanceof Uint8Array ? protobuf.Reader.create(bytes) : bytes;
      const start = reader.pos;
      const end = length === undefined ? reader.len : start + length;
      const part = protobuf.Reader.create(reader.buf.subarray(start, end));
      reader.pos = end;
      return { reader: part };
    },
  },
};

/** Tells `seen` of all that an event says. */
export function scan({ reader }: RawEvent, watcher: number, seen: RegistryWatch, nowUs: number): void {
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const id = tag >>> 3;
    if (id !== field.changed && id !== field.removed) {
      reader.skipType(tag & 7);
      continue;
    }
    const end = reader.uint32() + reader.pos;
    if (id === field.changed) scanChanged(reader, end, watcher, seen, nowUs);
    else seen.missed(watcher, Number(textOf(reader, end, field.removedId)), nowUs);
  }
}

function scanChanged(reader: Reader, end: number, watcher: number, seen: RegistryWatch, nowUs: number): void {
  let instance = 0;
  let number = -1;
  let isUp = false;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag >>> 3) {
      case field.instanceId:
        instance = digits(reader);
        break;
      case field.metadata: {
        const entryEnd = reader.uint32() + reader.pos;
        number = numberOf(reader, entryEnd, number);
        break;
      }
      case field.health:
        isUp = reader.uint32() === healthUp;
        break;
      default:
        reader.skipType(tag & 7);
    }
  }
  seen.saw(watcher, instance, number, isUp, nowUs);
}

/** The entry's value when its key is `n`. */
function numberOf(reader: Reader, end: number, otherwise: number): number {
  let isNumber = false;
  let number = otherwise;
  while (reader.pos < end) {
    const tag = reader.uint32();
    const at = reader.pos;
    if (tag >>> 3 === field.key) {
      isNumber = reader.buf[at] === 1 && reader.buf[at + 1] === 110;
      reader.skipType(tag & 7);
    } else if (tag >>> 3 === field.value && isNumber) number = digits(reader);
    else reader.skipType(tag & 7);
  }
  return number;
}

/** A text of digits, after a minus or not. */
function digits(reader: Reader): number {
  const end = reader.uint32() + reader.pos;
  const isMinus = reader.buf[reader.pos] === 45;
  let value = 0;
  for (let at = reader.pos + Number(isMinus); at < end; at++) value = value * 10 + reader.buf[at]! - 48;
  reader.pos = end;
  return isMinus ? -value : value;
}

function textOf(reader: Reader, end: number, wanted: number): string {
  let text = '';
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag >>> 3 === wanted) text = reader.string();
    else reader.skipType(tag & 7);
  }
  return text;
}
