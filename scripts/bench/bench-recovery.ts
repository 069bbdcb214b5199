/**
 * `npm run bench -- recovery [--gb N] [--partitions N] [--record-bytes N] [--folder DIR]`
 *
 * How long a broker takes to serve again: `kill -9` of `taskd` while producers write, then the time from the start of
 * the next process to the first record of every partition, read where the last acknowledged one lies. Afterwards the
 * whole topic is read, and every record that was acknowledged must be where its answer said.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { silentLogger } from '../../src/base/logger.js';
import { batchBody } from '../../src/batch/body.js';
import { readRecords } from '../../src/batch/record.js';
import { TaskdClient } from '../../src/client/client.js';
import { Fetcher } from '../../src/client/fetcher.js';
import { fixedBrokers, TopicDirectory } from '../../src/client/topic-directory.js';
import { Connections } from '../../src/rpc/connections.js';
import { parseAddress } from '../../src/runtime/net.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { fetch } from '../../src/wire/methods.js';
import { startTaskd } from '../programs.js';
import type { BenchArguments, BenchResult } from './bench.js';

const gib = 1024 ** 3;
const inFlightEach = 32;
const topic = 'recovery';

/** What the broker acknowledged of one partition: the number in the record by the record's offset. */
type Acknowledged = Map<number, number>;

interface Fill {
  readonly topicId: number;
  readonly acknowledged: readonly Acknowledged[];
  /** Begins no further record; resolves when those on their way are acknowledged or given up. */
  stop(): Promise<void>;
}

export async function run(args: BenchArguments): Promise<BenchResult> {
  const gb = Number(args['gb'] ?? 1);
  const partitions = Number(args['partitions'] ?? 16);
  const recordBytes = Number(args['record-bytes'] ?? 16_384);
  const given = args['folder'];
  const folder = mkdtempSync(join(typeof given === 'string' ? given : tmpdir(), 'taskd-recovery-'));
  const argv = ['standalone', '--data', join(folder, 'data'), '--admin-port', '0', '--log-format', 'json'];
  let server = await startTaskd([...argv, '--shards', '1', '--listen', '127.0.0.1:0']);
  const { listen } = server;
  try {
    const begunMs = performance.now();
    const { topicId, acknowledged, stop } = await fill(listen, gb * gib, partitions, recordBytes);
    const fillSeconds = (performance.now() - begunMs) / 1_000;
    await server.program.stop('SIGKILL');
    // What was on its way may still be acknowledged, by the next process.
    const stopped = stop();
    const killedMs = performance.now();
    const starting = startTaskd([...argv, '--shards', '1', '--listen', listen]);
    const firstSeconds = await firstFetches(listen, topicId, acknowledged).then((ms) => (ms - killedMs) / 1_000);
    server = await starting;
    const readySeconds = (performance.now() - killedMs) / 1_000;
    await stopped;
    const lost = await verify(listen, topicId, acknowledged);
    await server.program.stop();
    let records = 0;
    for (const each of acknowledged) records += each.size;
    if (lost > 0) throw new Error(`${lost} of ${records} acknowledged records are not where the broker said`);
    const metrics = {
      gb,
      seconds: firstSeconds,
      ready_seconds: readySeconds,
      fill_seconds: fillSeconds,
      records,
      lost,
    };
    return { name: 'recovery', metrics, config: { partitions, recordBytes } };
  } finally {
    if (server.program.isRunning) server.program.process.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Resolves when so many bytes were written; goes on until it is stopped. */
async function fill(listen: string, bytes: number, partitions: number, recordBytes: number): Promise<Fill> {
  const client = new TaskdClient({ servers: [listen] });
  const { topicId } = await client.topics.create(topic, { partitions, retentionMs: 0 });
  const producer = client.producer({ deliveryTimeoutMs: 10_000 });
  const acknowledged: Acknowledged[] = Array.from({ length: partitions }, () => new Map());
  let left = bytes;
  let isOver = false;
  let full: () => void = () => {};
  let failed: (error: unknown) => void = () => {};
  const isFull = new Promise<void>((resolve, reject) => {
    full = resolve;
    failed = reject;
  });
  const write = async (partition: number, lane: number): Promise<void> => {
    const value = Buffer.alloc(recordBytes, lane);
    for (let number = lane; !isOver; number += inFlightEach) {
      value.writeUInt32BE(number, 0);
      try {
        const { offset } = await producer.send(topic, { value: Buffer.from(value), partition });
        if (offset !== undefined) acknowledged[partition]!.set(offset, number);
      } catch (error) {
        failed(error);
        return;
      }
      left -= recordBytes;
      if (left <= 0) full();
    }
  };
  // The first one finds the topic.
  await producer.send(topic, { value: Buffer.alloc(4, 255), partition: 0 });
  const lanes = acknowledged.flatMap((_, partition) =>
    Array.from({ length: inFlightEach }, (_, lane) => write(partition, lane)),
  );
  const stop = async (): Promise<void> => {
    isOver = true;
    await Promise.all(lanes);
    await client.close();
  };
  await isFull;
  return { topicId, acknowledged, stop };
}

/** When every partition has given the record that was acknowledged last. */
async function firstFetches(listen: string, topicId: number, acknowledged: readonly Acknowledged[]): Promise<number> {
  const address = parseAddress(listen)!;
  const connections = new Connections(nodeRuntime(silentLogger), { clientId: 'bench', kind: 'client' });
  await Promise.all(
    acknowledged.map(async (offsets, partition) => {
      let offset = 0;
      for (const each of offsets.keys()) offset = Math.max(offset, each);
      for (;;) {
        try {
          const request = { partitions: [{ topicId, partition, offset, bytesMax: 1 }], waitMs: 0 };
          const { message } = await connections.to(address).call(fetch, request, { deadlineMs: 1_000 });
          if ((message.partitions[0]?.payloadBytes ?? 0) > 0) return;
        } catch {
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      }
    }),
  );
  const atMs = performance.now();
  await connections.close();
  return atMs;
}

/** Reads everything; resolves with the number of acknowledged records that are not there. */
async function verify(listen: string, topicId: number, acknowledged: readonly Acknowledged[]): Promise<number> {
  const runtime = nodeRuntime(silentLogger);
  const connections = new Connections(runtime, { clientId: 'bench', kind: 'client' });
  const topics = new TopicDirectory(runtime, connections, fixedBrokers(parseAddress(listen)!));
  await topics.named(topic);
  let lost = 0;
  for (const [partition, offsets] of acknowledged.entries()) {
    const missing = new Map(offsets);
    await new Promise<void>((resolve, reject) => {
      const fetcher = new Fetcher(
        runtime,
        connections,
        topics,
        { topicId, partition, offset: 0 },
        {
          batch: (header, batch) => {
            readRecords(batchBody(batch, header), header.baseOffset, header.recordCount, ({ offset, value }) => {
              if (value !== undefined && Buffer.from(value).readUInt32BE(0) === missing.get(offset))
                missing.delete(offset);
            });
          },
          caughtUp: () => {
            fetcher.close();
            resolve();
          },
          lost: (_start, error) => reject(error),
        },
      );
    });
    lost += missing.size;
  }
  await connections.close();
  return lost;
}
