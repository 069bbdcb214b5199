import { Histogram } from './histogram.js';

export interface LoopResult {
  readonly callsPerSec: number;
  readonly p50us: number;
  readonly p99us: number;
  /** Processor time of this process for each call. */
  readonly cpuUsPerCall: number;
}

/** So long and so many calls warm up at least, unless that takes too long. */
const warmUpMs = 1_500;
const warmUpCalls = 20_000;
const warmUpMsMax = 15_000;

/** Keeps `inFlight` calls going for `seconds`, after a warm-up that isn't counted. */
export async function closedLoop(inFlight: number, seconds: number, call: () => Promise<unknown>): Promise<LoopResult> {
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
  await sleep(warmUpMs);
  while (calls < warmUpCalls && performance.now() - warmUpBegan < warmUpMsMax) await sleep(100);
  isCounting = true;
  calls = 0;
  const cpu = process.cpuUsage();
  const from = performance.now();
  await sleep(seconds * 1_000);
  isCounting = false;
  const callsPerSec = (calls * 1_000) / (performance.now() - from);
  const used = process.cpuUsage(cpu);
  const cpuUsPerCall = (used.user + used.system) / Math.max(1, calls);
  isOver = true;
  await Promise.all(loops);
  return { callsPerSec, p50us: latencies.percentile(50), p99us: latencies.percentile(99), cpuUsPerCall };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
