import { nameLengthMax } from '../base/limits.js';
import { keyPartition } from '../base/murmur2.js';
import { BatchClass } from '../batch/header.js';
import type { NewRecord, StoredRecord } from '../batch/record.js';
import type { Shard } from '../coordinator/shard-runtime.js';
import type { CommittedBatch } from '../coordinator/task-log.js';
import { taskd } from '../wire/generated/messages.js';

/** Where an app lives: its id is the offset of the record that bound its name to a shard. */
export interface BoundApp {
  readonly name: string;
  readonly appId: number;
  readonly shard: number;
}

export const appsMax = 1_000_000;

/**
 * The apps, as the topic taskd.apps says: the first `AppBind` for a name wins, for ever. It is never computed anew, so
 * a change of the number of shards moves no app.
 */
export class AppTable implements Shard<BoundApp | undefined> {
  readonly #shards: number;
  readonly #byName: Map<string, BoundApp> = new Map<string, BoundApp>();
  readonly #names: Map<number, string> = new Map<number, string>();

  constructor(shards: number) {
    this.#shards = shards;
  }

  get size(): number {
    return this.#byName.size;
  }

  /**
   * The verdict on an `AppBind` is the app that has the name, whoever bound it; undefined for what is no binding. Only
   * schedulers write them: one of another class, or with a name that none of them takes, or to a shard
   * that doesn't exist, is void.
   */
  replay(record: StoredRecord, { batchClass }: Pick<CommittedBatch, 'batchClass'>): BoundApp | undefined {
    if (record.type !== taskd.RecordType.APP_BIND || record.value === undefined) return undefined;
    if (batchClass !== BatchClass.OWNER) return undefined;
    let bind: taskd.AppBind;
    try {
      bind = taskd.AppBind.decode(record.value);
    } catch {
      return undefined;
    }
    const known = this.#byName.get(bind.name);
    if (known !== undefined || !isAppName(bind.name) || this.#byName.size >= appsMax) return known;
    if (bind.shard >= this.#shards) return undefined;
    const app = { name: bind.name, appId: record.offset, shard: bind.shard };
    this.#byName.set(app.name, app);
    this.#names.set(app.appId, app.name);
    return app;
  }

  app(name: string): BoundApp | undefined {
    return this.#byName.get(name);
  }

  nameOf(appId: number): string | undefined {
    return this.#names.get(appId);
  }

  all(): BoundApp[] {
    return [...this.#byName.values()];
  }
}

export function isAppName(name: string): boolean {
  const bytes = Buffer.byteLength(name, 'utf8');
  return bytes > 0 && bytes <= nameLengthMax;
}

/** The record that binds `name` to one of `shards`, by Kafka's hash of the name. */
export function appBind(name: string, shards: number): NewRecord {
  const shard = keyPartition(Buffer.from(name, 'utf8'), shards);
  return { type: taskd.RecordType.APP_BIND, value: taskd.AppBind.encode({ name, shard }).finish() };
}
