import { sameBytes } from '../base/bytes.js';
import { type JournalRecord, journalAlignment, readJournalRecord } from './journal-record.js';
import type { ReplicaState } from './replica-state.js';

/** A generation whose snapshot is whole, with the turns after it. */
export interface JournalGeneration {
  readonly generation: number;
  /** The latest state of each replica that is not gone. */
  readonly states: readonly ReplicaState[];
  /** The highest replica id that was ever used. */
  readonly lastReplicaId: number;
  /** Position in its file after the last good record. */
  readonly end: number;
}

/** What two journal files say together. `problem`: a synced record is gone, so nothing here may be believed. */
export interface JournalReading {
  /** Index of the file that holds the newest whole generation. */
  readonly file: number;
  readonly newest: JournalGeneration;
  /** The highest generation seen anywhere, whole or not. */
  readonly highest: number;
}

/**
 * Reads both files of a journal. The newest whole generation counts; a turn that is torn at its end is cut.
 *
 * Torn or damaged: the records of one turn are written and synced together, and the next turn is written only after
 * that sync. So a bad record is torn if nothing after it belongs to a later turn; a record of a later turn proves that
 * the bad one had been on disk. Likewise a generation that can't be read but has a turn after its snapshot had been
 * synced. Returns a sentence then. Below a newer whole generation nothing matters any more: that one has everything,
 * and the one after it may be torn right over an older one.
 */
export function readJournal(files: readonly Uint8Array[], diskId: Uint8Array): JournalReading | string {
  let best: JournalReading | undefined;
  let damage: DamagedGeneration | undefined;
  let highest = 0;
  for (const [file, bytes] of files.entries()) {
    eachRecord(bytes, 0, (record) => {
      highest = Math.max(highest, record.generation);
    });
    const newest = readGeneration(bytes, diskId);
    if (typeof newest === 'string') return `state.${file} ${newest}`;
    if (newest !== undefined && 'sentence' in newest) {
      const { generation, sentence } = newest;
      if (damage === undefined || generation > damage.generation) {
        damage = { generation, sentence: `state.${file} ${sentence}` };
      }
    } else if (newest !== undefined && (best === undefined || newest.generation > best.newest.generation)) {
      best = { file, newest, highest };
    }
  }
  if (damage !== undefined && damage.generation > (best?.newest.generation ?? -1)) return damage.sentence;
  if (best === undefined) return 'neither state.0 nor state.1 holds a whole generation';
  for (const [file, bytes] of files.entries()) {
    let lost = false;
    eachRecord(bytes, 0, (record) => {
      lost ||= record.generation > best.newest.generation && record.turnFirst > 0;
    });
    if (lost) return `state.${file} has turns of a generation whose beginning can't be read`;
  }
  return { ...best, highest };
}

interface DamagedGeneration {
  readonly generation: number;
  readonly sentence: string;
}

function readGeneration(
  bytes: Uint8Array,
  diskId: Uint8Array,
): JournalGeneration | DamagedGeneration | string | undefined {
  const start = readJournalRecord(bytes, 0);
  if (start?.kind !== 'start' || start.number !== 0) return undefined;
  if (!sameBytes(start.diskId, diskId)) return 'belongs to another disk id than meta';
  const states = new Map<number, ReplicaState>();
  let at = start.length;
  let number = 1;
  let { lastReplicaId } = start;
  for (;;) {
    const record = readJournalRecord(bytes, at);
    if (record === undefined || record.kind === 'start') break;
    if (record.generation !== start.generation || record.number !== number) break;
    if (record.kind === 'gone') states.delete(record.replicaId);
    else states.set(record.state.replicaId, record.state);
    lastReplicaId = Math.max(lastReplicaId, record.kind === 'gone' ? record.replicaId : record.state.replicaId);
    at += record.length;
    number++;
  }
  let damaged = false;
  eachRecord(bytes, at, (record) => {
    damaged ||= record.generation === start.generation && record.turnFirst > number;
  });
  if (damaged) {
    const sentence = `is damaged at byte ${at}: record ${number} of generation ${start.generation} is gone`;
    return { generation: start.generation, sentence };
  }
  if (number < start.snapshotRecords) return undefined;
  return { generation: start.generation, states: [...states.values()], lastReplicaId, end: at };
}

function eachRecord(bytes: Uint8Array, from: number, visit: (record: JournalRecord) => void): void {
  for (let at = from; at < bytes.length; at += journalAlignment) {
    const record = readJournalRecord(bytes, at);
    if (record !== undefined) visit(record);
  }
}
