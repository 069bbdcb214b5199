import { Histogram } from './histogram.js';

export interface LoopResult {
  readonly callsPerSec: number;
  readonly p50us: number;
  readonly p99us: number;
}

const warmUpMs = 1_500;

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
      if (!isCounting) continue;
      calls++;
      latencies.record((performance.now() - began) * 1_000);
    }
  };
  const loops = Array.from({ length: inFlight }, loop);
  await sleep(warmUpMs);
  isCounting = true;
  const from = performance.now();
  await sleep(seconds * 1_000);
  isCounting = false;
  const callsPerSec = (calls * 1_000) / (performance.now() - from);
  isOver = true;
  await Promise.all(loops);
  return { callsPerSec, p50us: latencies.percentile(50), p99us: latencies.percentile(99) };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
