import type { taskd } from '../wire/generated/messages.js';

/** A job as its owner saw it when it answered. */
export interface Job {
  readonly app: string;
  readonly name: string;
  readonly shard: number;
  /** The offset of the record that created it, and of the one in force. */
  readonly generation: number;
  readonly version: number;
  readonly processor: string;
  readonly arguments: Uint8Array;
  readonly cron: string;
  readonly zone: string;
  readonly attemptsMax: number;
  readonly delaysMs: readonly number[];
  readonly timeoutMs: number;
  readonly priority: number;
  readonly paused: boolean;
  /** Wall clock; absent when it has no next time. */
  readonly nextFireMs?: number;
  readonly fires: number;
  readonly skipped: number;
  /** Why the latest refused change was refused, if it is newer than `version`. */
  readonly refusal: string;
}

export function jobOf(view: taskd.JobView): Job {
  return {
    app: view.app,
    name: view.name,
    shard: view.shard,
    generation: view.generation,
    version: view.version,
    processor: view.processor,
    arguments: new Uint8Array(view.arguments),
    cron: view.cron,
    zone: view.zone,
    attemptsMax: view.retry?.attemptsMax ?? 0,
    delaysMs: view.retry?.delaysMs ?? [],
    timeoutMs: view.timeoutMs,
    priority: view.priority,
    paused: view.paused,
    fires: view.fires,
    skipped: view.skipped,
    refusal: view.refusal,
    ...(view.nextFireMs == null ? {} : { nextFireMs: view.nextFireMs }),
  };
}
