import { readFileSync } from 'node:fs';
import { Histogram } from './histogram.js';

export interface LoopResult {
  readonly callsPerSec: number;
  readonly p50us: number;
  readonly p99us: number;
  /** Processor time of this process for each call. */
  readonly cpuUsPerCall: number;
  /** The same of the process `serverPid`; 0 without one. */
  readonly serverCpuUsPerCall: number;
}

export interface LoopOptions {
  /** So long and so many calls warm up at least, unless that takes more than 15 s. Default 1.5 s and 20,000. */
  readonly warmUp?: { readonly ms: number; readonly calls: number };
  readonly serverPid?: number;
}

const warmUpMsMax = 15_000;
/** Linux counts processor time in hundredths of a second. */
const ticksPerSec = 100;

/** Keeps `inFlight` calls going for `seconds`, after a warm-up that isn't counted. */
export async function closedLoop(
  inFlight: number,
  seconds: number,
  call: () => Promise<unknown>,
  { warmUp = { ms: 1_500, calls: 20_000 }, serverPid }: LoopOptions = {},
): Promise<LoopResult> {
  const latencies = new Histogram();
  let isCounting = false;
  let isOver = false;
  let calls = 0;
  const loop = async (): Promise<void> => {
    while (!isOver) {
      const began = performance.now();
      await call();
      calls++;
      if (!isCounting) continue;
      latencies.record((performance.now() - began) * 1_000);
    }
  };
  const loops = Array.from({ length: inFlight }, loop);
  const warmUpBegan = performance.now();
  await sleep(warmUp.ms);
  while (calls < warmUp.calls && performance.now() - warmUpBegan < warmUpMsMax) await sleep(100);
  const cpu = process.cpuUsage();
  const serverUs = serverPid === undefined ? 0 : cpuUs(serverPid);
  isCounting = true;
  calls = 0;
  const from = performance.now();
  await sleep(seconds * 1_000);
  isCounting = false;
  const callsPerSec = (calls * 1_000) / (performance.now() - from);
  const used = process.cpuUsage(cpu);
  const cpuUsPerCall = (used.user + used.system) / Math.max(1, calls);
  const serverCpuUsPerCall = serverPid === undefined ? 0 : (cpuUs(serverPid) - serverUs) / Math.max(1, calls);
  isOver = true;
  await Promise.all(loops);
  const p50us = latencies.percentile(50);
  return { callsPerSec, p50us, p99us: latencies.percentile(99), cpuUsPerCall, serverCpuUsPerCall };
}

/** Processor time of another process so far, in microseconds; of this thread group as a whole. */
export function cpuUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) / ticksPerSec) * 1e6;
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
