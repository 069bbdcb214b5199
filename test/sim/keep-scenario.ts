/**
 * The world `keep`: one log that is trimmed and whose producers are snapshotted, under crashes at any operation, with
 * and without loss of power. After each crash, what was acknowledged is there, the log begins where it was told to, and
 * each producer is known up to exactly its last batch in the log.
 */
import { silentLogger } from '../../src/base/logger.js';
import { BatchBuilder } from '../../src/batch/builder.js';
import { BatchClass, headerBytes, readBatch, sequenceBatch } from '../../src/batch/header.js';
import { readRecords } from '../../src/batch/record.js';
import { Partition } from '../../src/broker/partition.js';
import type { ProducedBatch } from '../../src/broker/produced-batches.js';
import { LogStore } from '../../src/log/log-store.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import type { ScenarioOptions, WorldResult } from './world-result.js';

const producers = 3;
const host = { logger: silentLogger, snapshotBytes: 3_000 };
const options = { segmentBytes: 6_000, tailBytesMax: 20_000 };

interface Placed {
  readonly producer: number;
  readonly sequence: number;
}

/** What the outside knows, life after life. */
class Ledger {
  /** What was appended last at each offset; a hole where a partition wrote its own. */
  appended: (Placed | undefined)[] = [];
  acknowledgedEnd = 0;
  trimmedTo = 0;
  isCreated = false;
  trims = 0;

  /** Sequence of the last batch of a producer below `end`, -1 when there is none. */
  last(producer: number, end: number): number {
    for (let offset = Math.min(end, this.appended.length) - 1; offset >= 0; offset--) {
      const placed = this.appended[offset];
      if (placed?.producer === producer) return placed.sequence;
    }
    return -1;
  }
}

function batchOf({ producer, sequence }: Placed): ProducedBatch {
  const builder = new BatchBuilder();
  builder.append({ value: Buffer.from(`${producer}:${sequence}`.padEnd(300 + ((sequence * 97) % 900), '-')) });
  const bytes = builder.finish({ baseTimestamp: 1, batchClass: BatchClass.CLIENT });
  sequenceBatch(bytes, 0, producer + 1, 0, sequence);
  const header = readBatch(bytes, 0);
  if (typeof header === 'string') throw new Error(header);
  return { header, bytes };
}

async function check(partition: Partition, ledger: Ledger): Promise<void> {
  if (partition.logStart < ledger.trimmedTo) {
    throw new Error(`the log begins at ${partition.logStart} again, it was trimmed to ${ledger.trimmedTo}`);
  }
  const end = partition.highWatermark;
  if (end < ledger.acknowledgedEnd)
    throw new Error(`the log ends at ${end}, ${ledger.acknowledgedEnd} was acknowledged`);
  for (let offset = partition.logStart; offset < end; ) {
    for (const chunk of await partition.read(offset, 2_000)) {
      for (let at = 0; at < chunk.length; ) {
        const header = readBatch(chunk, at);
        if (typeof header === 'string') throw new Error(`offset ${offset}: ${header}`);
        readRecords(chunk.subarray(at + headerBytes, at + header.length), header.baseOffset, 1, (record) => {
          const placed = ledger.appended[record.offset];
          const text = Buffer.from(record.value ?? []).toString();
          if (placed !== undefined && !text.startsWith(`${placed.producer}:${placed.sequence}-`)) {
            throw new Error(
              `offset ${record.offset} holds ${text.slice(0, 9)}, not ${placed.producer}:${placed.sequence}`,
            );
          }
        });
        offset = header.baseOffset + header.recordCount;
        at += header.length;
      }
    }
  }
}

async function live(runtime: Runtime, ledger: Ledger, seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  const store = await LogStore.open(runtime, '/var/taskd', options);
  if (ledger.isCreated && store.replicas().length === 0) throw new Error('the replica is no longer known');
  const log = store.replicas().length > 0 ? await store.open(1, 0) : await store.create(1, 0);
  ledger.isCreated = true;
  // What is above was never acknowledged, and is not there any more.
  ledger.appended.length = Math.min(ledger.appended.length, log.logEnd);
  const partition = new Partition(log, false, host);
  await partition.activate();
  if (partition.problem !== undefined) throw new Error(partition.problem);
  await check(partition, ledger);
  const committed = (endOffset: number): Promise<void> =>
    new Promise((resolve, reject) => partition.whenCommitted({ endOffset, committed: resolve, failed: reject }));
  const put = (placed: Placed): boolean => {
    const { baseOffset, duplicate } = partition.append([batchOf(placed)]);
    if (!duplicate) {
      while (ledger.appended.length < baseOffset!) ledger.appended.push(undefined);
      ledger.appended[baseOffset!] = placed;
    }
    return duplicate;
  };
  for (let producer = 0; producer < producers; producer++) {
    const sequence = ledger.last(producer, partition.logEnd);
    if (sequence >= 0 && !put({ producer, sequence })) throw new Error(`${producer}:${sequence} was stored twice`);
  }
  for (let step = 0; step < 12; step++) {
    for (let burst = 1 + random.below(3); burst > 0; burst--) {
      const producer = random.below(producers);
      const sequence = ledger.last(producer, partition.logEnd) + 1;
      if (put({ producer, sequence }))
        throw new Error(`${producer}:${sequence} was never stored and is taken for done`);
    }
    const end = partition.logEnd;
    const commit = committed(end).then(() => {
      ledger.acknowledgedEnd = Math.max(ledger.acknowledgedEnd, end);
    });
    if (random.below(3) > 0) await commit;
    if (random.below(4) > 0) continue;
    const offset = partition.logStart + random.below(partition.highWatermark - partition.logStart + 1);
    await partition.trimBefore(offset);
    ledger.trimmedTo = Math.max(ledger.trimmedTo, offset);
    ledger.trims++;
  }
  await check(partition, ledger);
  partition.stop();
  await partition.saveState();
  await store.close();
}

export async function runKeepSeed(seed: number, { print }: ScenarioOptions = {}): Promise<WorldResult> {
  const world = new SimWorld(seed);
  const broker = world.process('broker');
  const ledger = new Ledger();
  const faults: string[] = [];
  let problem: Error | undefined;
  const lives = 3 + world.random.below(4);
  try {
    for (let life = 1; life <= lives; life++) {
      let isOver = false;
      broker.start(async (runtime) => {
        await live(runtime, ledger, seed * 100 + life);
        isOver = true;
      });
      const powerLoss = world.random.below(2) === 0;
      if (life < lives) {
        const operations = world.random.below(160);
        broker.killAfterOperations(operations, { powerLoss });
        faults.push(`${powerLoss ? 'power' : 'kill'} after ${operations}`);
        print?.(faults.at(-1)!);
      }
      const done = await world.run({ untilMs: world.nowMs + 600_000, until: () => isOver || !broker.isAlive });
      if (!done) throw new Error('a life never came to an end');
      broker.kill({ powerLoss });
    }
  } catch (error) {
    problem = error instanceof Error ? error : new Error(String(error));
  }
  return {
    seed,
    problem,
    counts: { lives, trims: ledger.trims, records: ledger.appended.length },
    events: world.events,
    virtualMs: world.nowMs,
    digest: world.digest,
    faults: faults.join(', '),
    log: [],
  };
}
