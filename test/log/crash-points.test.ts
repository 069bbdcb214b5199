/**
 * Every operation of a log's life on files, as a place where the power may go: what is then on disk is enumerated, and
 * recovery is compared with what was promised by that time.
 */
import t from 'tap';
import { silentLogger } from '../../src/base/logger.js';
import { LogStore } from '../../src/log/log-store.js';
import type { PartitionLog } from '../../src/log/partition-log.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { type Image, TracedFiles } from '../support/traced-files.js';
import { batchOf, valuesIn } from './batches.js';

/** Subsets of so many sectors, sizes and names are all tried; of more, this many draws. */
const exhaustiveBits = 6;
const draws = 6;
const options = { segmentBytes: 2_000, tailBytesMax: 1 << 20 };

/** A runtime over `files` whose timers fire only when the test says so. */
function runtimeOver(files: TracedFiles): { runtime: Runtime; fireTimers: () => void } {
  let timers: (() => void)[] = [];
  let nowMs = 1_000;
  const clock: Runtime['clock'] = {
    monotonicMs: () => ++nowMs,
    wallMs: () => 1_700_000_000_000 + nowMs,
    timer: (_delayMs, callback) => {
      timers.push(callback);
      return {
        cancel: () => {
          timers = timers.filter((each) => each !== callback);
        },
      };
    },
    defer: (callback) => void setImmediate(callback),
  };
  const process: Runtime['process'] = {
    pid: 1,
    hostName: 'here',
    residentBytes: () => 0,
    onStop: () => {},
    exit: () => {
      throw new Error('the process was ended');
    },
  };
  const net = undefined as unknown as Runtime['net'];
  const random = new SeededRandom(7);
  const fireTimers = (): void => {
    for (const callback of timers.splice(0)) callback();
  };
  return { runtime: { clock, files, random, process, net, logger: silentLogger }, fireTimers };
}

/** What somebody outside knew when so many operations were done. */
interface Promised {
  readonly operations: number;
  /** All values that may be in the log, by offset, and how many of them must be. */
  readonly values: readonly string[];
  readonly end: number;
  readonly start: number;
  /** The log may also end here, with these values only: it is being cut. */
  readonly cutTo: number | undefined;
}

/** One life with a bit of everything; `promised` is told what was promised, when. */
async function live(files: TracedFiles, promise: (now: Omit<Promised, 'operations'>) => void): Promise<void> {
  const { runtime, fireTimers } = runtimeOver(files);
  let values: string[] = [];
  let end = 0;
  let start = 0;
  let cutTo: number | undefined;
  const tell = (): void => promise({ values: [...values], end, start, cutTo });
  const append = async (log: PartitionLog, ...sizes: number[]): Promise<void> => {
    for (const size of sizes) {
      values.push(`${values.length}:`.padEnd(size, String.fromCharCode(97 + (values.length % 26))));
      log.append(batchOf(values.at(-1)!));
    }
    tell();
    await new Promise<void>((resolve) => {
      log.onSynced = (syncedEnd) => {
        end = syncedEnd;
        tell();
        if (syncedEnd === log.logEnd) resolve();
      };
    });
  };
  let store = await LogStore.open(runtime, '/d', options);
  let log = await store.create(1, 0);
  await append(log, 40);
  await append(log, 300, 600, 60);
  fireTimers();
  await append(log, 900, 20, 700);
  await append(log, 500, 500);
  await store.close();
  store = await LogStore.open(runtime, '/d', options);
  log = await store.open(1, 0);
  await log.raiseTerm();
  await append(log, 400, 400);
  await log.saveSnapshot(log.syncedEnd, Buffer.from('what is known'));
  start = 3;
  tell();
  await log.trimTo(3);
  await append(log, 1_200, 30);
  fireTimers();
  await append(log, 30, 900, 1_500, 10);
  cutTo = log.logEnd - 3;
  end = cutTo;
  tell();
  await log.truncateTo(cutTo);
  values = values.slice(0, cutTo);
  cutTo = undefined;
  tell();
  await append(log, 640, 30);
  await store.close();
  tell();
}

async function recovered(image: Image): Promise<{ files: TracedFiles; log: PartitionLog | undefined }> {
  const files = new TracedFiles(image);
  const store = await LogStore.open(runtimeOver(files).runtime, '/d', options);
  if (store.replicas().length === 0) return { files, log: undefined };
  const log = await store.open(1, 0);
  if (log.problem !== undefined) throw new Error(`damaged: ${log.problem}`);
  return { files, log };
}

/** Throws unless the log holds what was promised, and nothing that was never appended. */
async function check(log: PartitionLog | undefined, before: Promised, after: Promised): Promise<void> {
  if (log === undefined) {
    if (before.end > 0) throw new Error('the log is gone');
    return;
  }
  const mustEnd = Math.min(before.end, after.end);
  if (log.syncedEnd < mustEnd) throw new Error(`ends at ${log.syncedEnd}, ${mustEnd} was promised`);
  if (log.logStart > after.start) throw new Error(`begins at ${log.logStart}`);
  for (let offset = log.logStart; offset < log.syncedEnd; ) {
    const { base, values } = valuesIn(await log.read(offset, 1 << 20));
    for (const [i, value] of values.entries()) {
      const known = [before.values[base + i], after.values[base + i]];
      if (!known.includes(value)) throw new Error(`offset ${base + i} holds "${value.slice(0, 20)}"`);
    }
    offset = base + values.length;
  }
}

t.test('a power loss after any operation, with any part of what was not synced', async (t) => {
  const files = new TracedFiles();
  const promises: Promised[] = [{ operations: 0, values: [], end: 0, start: 0, cutTo: undefined }];
  await live(files, (now) => promises.push({ ...now, operations: files.trace.length }));
  const random = new SeededRandom(3);
  const at = (operations: number): Promised => promises.findLast((each) => each.operations <= operations)!;
  let images = 0;
  let nested = 0;
  for (let done = 0; done <= files.trace.length; done++) {
    const [before, after] = [at(done), at(done + 1)];
    for (const image of files.images(done, exhaustiveBits, draws, () => random.unit())) {
      images++;
      try {
        const first = await recovered(image);
        await check(first.log, before, after);
        if (random.below(12) > 0) continue;
        // The power goes again while the next start recovers.
        const again = random.below(first.files.trace.length + 1);
        for (const second of first.files.images(again, 3, 4, () => random.unit())) {
          nested++;
          await check((await recovered(second)).log, before, after);
        }
      } catch (error) {
        const operation = JSON.stringify(files.trace[done], (key, value) => (key === 'bytes' ? '…' : value));
        throw new Error(`image ${images}, ${done} operations done, next ${operation}: ${String(error)}`);
      }
    }
  }
  t.ok(files.trace.length > 60 && images > 400 && nested > 50, `${files.trace.length} ${images} ${nested}`);
  t.comment(`${files.trace.length} operations, ${images} states of the disk, ${nested} after a crash in recovery`);
});
