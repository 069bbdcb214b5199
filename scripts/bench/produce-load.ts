/**
 * The load of the produce bench, the same for taskd and for its peers: calls of one batch each.
 *
 * First `inFlight` calls are kept going for `seconds` (after a warm-up): that gives the throughput. Then, with more than
 * one in flight, calls are sent by a timetable at half of that rate, whether earlier ones were answered or not, and their
 * latency counts from the time in the table: a stall counts for all who would have met it. With one in flight the
 * latency is simply that of each call. `scripts/peers/kafka/KafkaLoad.java` does the same in Java.
 */
import { readFileSync } from 'node:fs';
import { Histogram } from './histogram.js';

export interface LoadFigures {
  readonly callsPerSec: number;
  readonly p50us: number;
  readonly p99us: number;
  /** Processor time of both processes for each call of the saturated phase. */
  readonly serverCpuUs: number;
  readonly clientCpuUs: number;
}

const warmUpMs = 4_000;
/** Linux counts processor time in hundredths of a second. */
const ticksPerSec = 100;

export async function produceLoad(
  inFlight: number,
  seconds: number,
  serverPid: number,
  call: () => Promise<unknown>,
): Promise<LoadFigures> {
  const latencies = new Histogram();
  let isCounting = false;
  let isOver = false;
  let calls = 0;
  const loop = async (): Promise<void> => {
    while (!isOver) {
      const began = performance.now();
      await call();
      calls++;
      if (isCounting) latencies.record((performance.now() - began) * 1_000);
    }
  };
  const loops = Array.from({ length: inFlight }, loop);
  await sleep(warmUpMs);
  const client = process.cpuUsage();
  const serverUs = cpuUs(serverPid);
  calls = 0;
  isCounting = true;
  const from = performance.now();
  await sleep(seconds * 1_000);
  isCounting = false;
  const callsPerSec = (calls * 1_000) / (performance.now() - from);
  const used = process.cpuUsage(client);
  const clientCpuUs = (used.user + used.system) / Math.max(1, calls);
  const serverCpuUs = (cpuUs(serverPid) - serverUs) / Math.max(1, calls);
  isOver = true;
  await Promise.all(loops);
  const timed = inFlight === 1 ? latencies : await byTimetable(callsPerSec / 2, seconds, call);
  return { callsPerSec, p50us: timed.percentile(50), p99us: timed.percentile(99), serverCpuUs, clientCpuUs };
}

/** Calls are due in step with the milliseconds, as many in each as the rate says. */
async function byTimetable(perSec: number, seconds: number, call: () => Promise<unknown>): Promise<Histogram> {
  const latencies = new Histogram();
  const running: Promise<void>[] = [];
  const from = performance.now();
  const one = async (dueMs: number): Promise<void> => {
    await call();
    latencies.record((performance.now() - dueMs) * 1_000);
  };
  for (let tick = 0, sent = 0; tick < seconds * 1_000; ) {
    const now = performance.now() - from;
    for (; tick <= now && tick < seconds * 1_000; tick++) {
      for (; sent < (tick * perSec) / 1_000; sent++) running.push(one(from + tick));
    }
    await sleep(1);
  }
  await Promise.all(running);
  return latencies;
}

/** Processor time of another process so far, in microseconds; of this thread group as a whole. */
function cpuUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) / ticksPerSec) * 1e6;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
