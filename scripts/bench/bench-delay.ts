/**
 * Delayed records through one broker: stored, waited for, delivered to a consumer. Broker and client are two processes
 * on loopback. Two loads, one after the other:
 * - paced: `--rate N` (2000) records a second for `--seconds S` (5), each due `--delay MS` (3000) later, on its own
 *   millisecond; how late they are delivered (the append in the topic) and received;
 * - flood: as many as go, `--batch N` (200) a call and `--inflight N` (16) calls at once, for as long; all are due in
 *   the same second; how many are stored a second, and delivered.
 * Other options: `--size B` (100), `--partitions N` (4).
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchArguments, BenchResult } from './bench.js';
import type { DelayFigures } from './delay-client.js';
import { LoadProcess } from './load-process.js';

const here = dirname(fileURLToPath(import.meta.url));

export async function run(args: BenchArguments): Promise<BenchResult> {
  const number = (name: string, fallback: number): number => Number(args[name] ?? fallback);
  const config = {
    seconds: number('seconds', 5),
    rate: number('rate', 2_000),
    delay: number('delay', 3_000),
    batch: number('batch', 200),
    inflight: number('inflight', 16),
    size: number('size', 100),
    partitions: number('partitions', 4),
  };
  const serving = new LoadProcess(join(here, 'produce-server.js'), []);
  try {
    const { port } = await serving.message<{ port: number }>();
    const client = new LoadProcess(join(here, 'delay-client.js'), [JSON.stringify({ port, ...config })]);
    const metrics = { ...(await client.message<DelayFigures>()) };
    return { name: 'delay', metrics, config: { ...config, durability: 'fdatasync before each answer' } };
  } finally {
    serving.stop();
  }
}
