/**
 * Marks are records among the dead letters of a partition that say what became of others there. A dead letter is
 * ```
 *   WAITING ── replaying ──► (in doubt) ── replayed ──► GONE          WAITING ── purged ──► GONE
 * ```
 * *Replaying* is on disk before the first copy is sent, and says where in the retry topic copies would lie. Whoever finds
 * it without its *replayed* looks there for copies, so that a replay that was cut short is neither lost nor done twice.
 */
import type { ConsumerRecord } from './consumer/consumer-record.js';

export const markHeader = 'taskd.mark';

export interface Replaying {
  readonly kind: 'replaying';
  readonly offsets: readonly number[];
  /** Copies are sent to this partition of the retry topic, from this offset on. */
  readonly partition: number;
  readonly from: number;
}

export type Mark =
  | Replaying
  | { readonly kind: 'replayed'; readonly offsets: readonly number[] }
  | { readonly kind: 'purged'; readonly offsets: readonly number[] };

/** Offsets in one mark. */
export const markOffsetsMax = 1_000;

export function writeMark(mark: Mark): Uint8Array {
  return Buffer.from(JSON.stringify(mark), 'utf8');
}

/** The mark in a record, or undefined, whatever its bytes. */
export function markOf(record: Pick<ConsumerRecord, 'headers'>): Mark | undefined {
  const bytes = record.headers[markHeader];
  if (bytes === undefined) return undefined;
  let fields: Record<string, unknown>;
  try {
    const parsed: unknown = JSON.parse(bytes.toString('utf8'));
    if (typeof parsed !== 'object' || parsed === null) return undefined;
    fields = parsed as Record<string, unknown>;
  } catch {
    return undefined;
  }
  const { kind, offsets, partition, from } = fields;
  if (!Array.isArray(offsets) || offsets.length > markOffsetsMax || !offsets.every(isCount)) return undefined;
  if (kind === 'replayed' || kind === 'purged') return { kind, offsets };
  if (kind !== 'replaying' || !isCount(partition) || !isCount(from)) return undefined;
  return { kind, offsets, partition, from };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** A dead letter of which somebody said that it is being replayed, and nobody that it was. */
export interface OpenReplay {
  /** Where copies of it would lie. */
  readonly partition: number;
  readonly from: number;
  /** The marks that say so, in the order of the log. */
  readonly marks: { readonly offset: number; readonly atMs: number }[];
}

/** Whoever wrote a mark so long ago has ended, or found that the broker takes nothing. */
export const replayMs = 120_000;

/** All marks of one partition. */
export class Marks {
  readonly gone: Set<number> = new Set<number>();
  readonly open: Map<number, OpenReplay> = new Map<number, OpenReplay>();
  /** All before it is in here. */
  readTo = 0;

  /** In the order of the log. */
  apply(record: Pick<ConsumerRecord, 'headers' | 'offset' | 'timestampMs'>): void {
    this.readTo = record.offset + 1;
    const mark = markOf(record);
    if (mark === undefined) return;
    for (const offset of mark.offsets) {
      if (mark.kind !== 'replaying') {
        this.gone.add(offset);
        this.open.delete(offset);
        continue;
      }
      if (this.gone.has(offset)) continue;
      let open = this.open.get(offset);
      if (open === undefined) this.open.set(offset, (open = { partition: mark.partition, from: mark.from, marks: [] }));
      open.marks.push({ offset: record.offset, atMs: record.timestampMs });
    }
  }

  /** The mark whose writer may replay the letter at `nowMs`: the first of those that are not too old. */
  holder(offset: number, nowMs: number): number | undefined {
    return this.open.get(offset)?.marks.find(({ atMs }) => atMs > nowMs - replayMs)?.offset;
  }
}
