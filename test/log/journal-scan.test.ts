import fc from 'fast-check';
import t from 'tap';
import { writeU32 } from '../../src/base/bytes.js';
import { crc32 } from '../../src/base/crc32.js';
import {
  readJournalRecord,
  replicaRecordBytes,
  startRecordBytes,
  writeReplicaRecord,
  writeStartRecord,
} from '../../src/log/journal-record.js';
import { type JournalReading, readJournal } from '../../src/log/journal-scan.js';
import type { ReplicaState } from '../../src/log/replica-state.js';

const diskId = new Uint8Array(16).fill(7);

function state(replicaId: number, term = 0, rest: Partial<ReplicaState> = {}): ReplicaState {
  const none = {
    logStart: 0,
    recoveryPoint: 0,
    clean: undefined,
    point: undefined,
    snapshotEnd: undefined,
    cutTo: undefined,
  };
  return { topicId: 5, partition: replicaId, replicaId, salt: 99, term, ...none, ...rest };
}

/** The bytes of a generation: its snapshot, then turns. */
function generation(number: number, snapshot: readonly ReplicaState[], turns: readonly ReplicaState[][]): Buffer {
  const count = snapshot.length + turns.flat().length;
  const bytes = Buffer.alloc(startRecordBytes + count * replicaRecordBytes);
  writeStartRecord(bytes, 0, number, snapshot.length + 1, diskId, 0);
  let at = startRecordBytes;
  let next = 1;
  const put = (each: ReplicaState, turnFirst: number): void => {
    writeReplicaRecord(bytes, at, { generation: number, number: next++, turnFirst }, each);
    at += replicaRecordBytes;
  };
  for (const each of snapshot) put(each, 0);
  for (const turn of turns) {
    const turnFirst = next;
    for (const each of turn) put(each, turnFirst);
  }
  return bytes;
}

function read(...files: Uint8Array[]): JournalReading {
  const reading = readJournal(files, diskId);
  if (typeof reading === 'string') throw new Error(reading);
  return reading;
}

const terms = (reading: JournalReading): number[] => reading.newest.states.map((each) => each.term);

const safe = fc.maxSafeNat();
const u32 = fc.nat(0xffff_ffff);
const anyState = fc.record({
  topicId: safe,
  partition: u32,
  replicaId: safe,
  salt: u32,
  term: u32,
  logStart: safe,
  recoveryPoint: safe,
  clean: fc.option(
    fc.record({ end: safe, segmentBase: safe, segmentBytes: u32, lastPosition: u32, lastHeaderCrc: u32 }),
    { nil: undefined },
  ),
  point: fc.option(fc.record({ segmentBase: safe, position: u32 }), { nil: undefined }),
  snapshotEnd: fc.option(safe, { nil: undefined }),
  cutTo: fc.option(safe, { nil: undefined }),
});

t.test('a state comes back as it went in', (t) => {
  fc.assert(
    fc.property(anyState, u32, u32, u32, (put, generation, number, turnFirst) => {
      const bytes = new Uint8Array(replicaRecordBytes);
      writeReplicaRecord(bytes, 0, { generation, number, turnFirst }, put);
      const got = readJournalRecord(bytes, 0);
      t.same(got, { kind: 'replica', length: replicaRecordBytes, generation, number, turnFirst, state: put });
    }),
    { numRuns: 100 },
  );
  t.end();
});

t.test('a record of the first version, 128 bytes, is still read', (t) => {
  const clean = { end: 9, segmentBase: 4, segmentBytes: 800, lastPosition: 700, lastHeaderCrc: 5 };
  const put = state(3, 7, { logStart: 4, recoveryPoint: 9, clean });
  const bytes = new Uint8Array(replicaRecordBytes);
  writeReplicaRecord(bytes, 0, { generation: 1, number: 1, turnFirst: 0 }, put);
  const old = bytes.slice(0, 128);
  writeU32(old, 8, 128);
  writeU32(old, 0, crc32(old.subarray(4)));
  t.match(readJournalRecord(old, 0), { kind: 'replica', length: 128, state: put });
  t.end();
});

t.test('the newest whole generation counts, with the turns after its snapshot', (t) => {
  const old = generation(8, [state(1, 1), state(2, 1)], [[state(1, 2)]]);
  const fresh = generation(9, [state(1, 3), state(2, 3)], [[state(2, 4)], [state(1, 5), state(3, 6)]]);
  t.same(terms(read(old, fresh)), [5, 4, 6]);
  t.equal(read(old, fresh).file, 1);
  t.equal(read(fresh, old).file, 0);
  t.same(terms(read(old, Buffer.alloc(4_096))), [2, 1], 'a file of zeros');
  t.same(terms(read(old, Buffer.alloc(0))), [2, 1], 'an empty file');
  t.equal(read(old, Buffer.alloc(0)).highest, 8);
  t.end();
});

t.test('a snapshot that is not whole does not count, and its number is not used again', (t) => {
  const old = generation(8, [state(1, 1), state(2, 1)], []);
  const fresh = generation(9, [state(1, 3), state(2, 3)], []);
  for (let length = 0; length < fresh.length; length += 32) {
    const reading = read(old, fresh.subarray(0, length));
    t.equal(reading.newest.generation, 8, `cut at ${length}`);
    t.equal(reading.highest, length < startRecordBytes ? 8 : 9);
  }
  t.end();
});

t.test('a torn last turn is cut, whichever of its records is missing', (t) => {
  const bytes = generation(1, [state(1, 1)], [[state(1, 2)], [state(1, 3), state(2, 3), state(3, 3)]]);
  const lastTurn = startRecordBytes + 2 * replicaRecordBytes;
  for (const torn of [0, 1, 2]) {
    const changed = Buffer.from(bytes);
    changed[lastTurn + torn * replicaRecordBytes + 50]! ^= 1;
    t.equal(read(changed, Buffer.alloc(0)).newest.end, lastTurn + torn * replicaRecordBytes, `record ${torn}`);
  }
  t.end();
});

t.test('a bad record before a later turn is damage, never a cut', (t) => {
  const bytes = generation(1, [state(1, 1)], [[state(1, 2), state(2, 2)], [state(1, 3)]]);
  for (let at = 0; at < bytes.length - replicaRecordBytes; at += 8) {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 0x10;
    t.equal(typeof readJournal([changed, generation(0, [], [])], diskId), 'string', `byte ${at}`);
  }
  t.end();
});

t.test('records of an older generation that lie behind do not count', (t) => {
  const stale = generation(1, [state(1, 1), state(2, 1)], [[state(1, 2)], [state(2, 9)]]);
  generation(3, [state(1, 5)], []).copy(stale);
  t.same(terms(read(stale, generation(2, [], []))), [5]);
  t.end();
});

t.test('a new generation that is torn right over an older one does no harm to the one between them', (t) => {
  const before = generation(1, [state(1, 1), state(2, 1), state(3, 1), state(4, 1)], [[state(1, 2)], [state(2, 2)]]);
  const between = generation(2, [state(1, 5), state(2, 5), state(3, 5), state(4, 5)], []);
  const next = generation(3, [state(1, 7), state(2, 7), state(3, 7), state(4, 7)], []);
  const units = Math.ceil(next.length / 64);
  for (let written = 0; written < 2 ** units - 1; written += 1 + (written % 7)) {
    const torn = Buffer.from(before);
    for (let unit = 0; unit < units; unit++) {
      if ((written >> unit) & 1) next.copy(torn, unit * 64, unit * 64, Math.min(next.length, (unit + 1) * 64));
    }
    t.ok(read(torn, between).newest.generation >= 2, `units ${written.toString(2)}`);
  }
  t.end();
});

t.test("another disk's journal is refused", (t) => {
  t.match(readJournal([generation(1, [], []), Buffer.alloc(0)], new Uint8Array(16)), /another disk id/);
  t.end();
});

t.test('random bytes, and random changes to a good journal, are a reading or a sentence', (t) => {
  const good = generation(4, [state(1, 1), state(2, 1)], [[state(1, 2)], [state(2, 2)]]);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 700 }), fc.nat(good.length - 1), (bytes, at) => {
      readJournal([bytes, bytes], diskId);
      const changed = Buffer.from(good);
      changed.set(bytes.subarray(0, changed.length - at), at);
      const reading = readJournal([changed, generation(3, [state(1, 1)], [])], diskId);
      return typeof reading === 'string' || reading.newest.states.length > 0;
    }),
    { numRuns: 2_000 },
  );
  t.end();
});
