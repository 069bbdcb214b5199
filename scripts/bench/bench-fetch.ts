/**
 * One consumer reads one partition from the page cache over loopback, in a process of its own, every CRC checked:
 * `--gb N` (0.5) of log with records of `--size B` (1024) in batches of 64 KiB, fetches of `--bytes B` (4 MiB), `--seconds
 * S` (5) each way. In one run and
 * from one broker process: files read and written, then sent by the kernel. `ratio` is the broker's processor time per
 * gigabyte of the first over that of the second. `--cold`: see fetch-cold.ts.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchArguments, BenchResult } from './bench.js';
import { runCold } from './fetch-cold.js';
import { LoadProcess } from './load-process.js';

const here = dirname(fileURLToPath(import.meta.url));

interface Serving {
  readonly topicId: number;
  readonly liveTopicId: number;
  readonly copyingPort: number;
  readonly sendingPort: number;
  /** Why nothing is sent by the kernel here; empty when it is. */
  readonly zeroCopy: string;
}

interface Used {
  readonly cpuSec: number;
  readonly zeroCopyBytes: number;
  readonly copiedBytes: number;
}

interface Read {
  readonly bytes: number;
  readonly seconds: number;
  readonly cpuSec: number;
}

export async function run(args: BenchArguments): Promise<BenchResult> {
  const seconds = Number(args['seconds'] ?? 5);
  const isCold = args['cold'] === true;
  const gigabytes = Number(args['gb'] ?? (isCold ? 10 : 0.5));
  const size = Number(args['size'] ?? 1_024);
  const bytesMax = Number(args['bytes'] ?? 4 * 1024 * 1024);
  process.env['UV_THREADPOOL_SIZE'] ??= '32';
  const folder = mkdtempSync(join(tmpdir(), 'taskd-bench-fetch-'));
  const broker = new LoadProcess(join(here, 'fetch-server.js'), [folder, String(gigabytes), String(size)]);
  try {
    const serving = await broker.message<Serving>();
    if (isCold) {
      const way = args['zero-copy'] === 'off' ? 'copying' : 'sending';
      return await runCold(broker, serving, { here, folder, seconds, gigabytes, bytesMax, way });
    }
    const read = async (way: 'copying' | 'sending') => {
      await broker.ask<Used>(way);
      const port = way === 'copying' ? serving.copyingPort : serving.sendingPort;
      const load = [port, serving.topicId, seconds, bytesMax].map(String);
      const client = new LoadProcess(join(here, 'fetch-client.js'), load);
      await client.message();
      const before = await broker.ask<Used>(way);
      const { bytes, cpuSec, seconds: took } = await client.message<Read>();
      const after = await broker.ask<Used>(way);
      const gb = bytes / 1e9;
      return {
        mbPerSec: bytes / 1e6 / took,
        cpuSecPerGb: (after.cpuSec - before.cpuSec) / gb,
        clientCpuSecPerGb: cpuSec / gb,
        zeroCopyShare: (after.zeroCopyBytes - before.zeroCopyBytes) / bytes,
      };
    };
    const copied = await read('copying');
    const sent = await read('sending');
    const metrics = {
      ...sent,
      fallbackMbPerSec: copied.mbPerSec,
      fallbackCpuSecPerGb: copied.cpuSecPerGb,
      ratio: copied.cpuSecPerGb / sent.cpuSecPerGb,
    };
    const zeroCopy = serving.zeroCopy === '' ? 'sendfile' : `none: ${serving.zeroCopy}`;
    return { name: 'fetch', metrics, config: { gigabytes, size, bytesMax, seconds, zeroCopy } };
  } finally {
    broker.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
