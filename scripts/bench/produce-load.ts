/**
 * The load of the produce bench, the same for taskd and for its peers: calls of one batch each.
 *
 * First `inFlight` calls are kept going for `seconds` (after a warm-up): that gives the throughput. Then, with more than
 * one in flight, calls are sent by a timetable at half of that rate, whether earlier ones were answered or not, and their
 * latency counts from the time in the table: a stall counts for all who would have met it. With one in flight the
 * latency is simply that of each call. `scripts/peers/kafka/KafkaLoad.java` does the same in Java.
 */
import { closedLoop, sleep } from './closed-loop.js';
import { Histogram } from './histogram.js';

export interface LoadFigures {
  readonly callsPerSec: number;
  readonly p50us: number;
  readonly p99us: number;
  /** Processor time of both processes for each call of the saturated phase. */
  readonly serverCpuUs: number;
  readonly clientCpuUs: number;
}

const warmUp = { ms: 4_000, calls: 0 };

export async function produceLoad(
  inFlight: number,
  seconds: number,
  serverPid: number,
  call: () => Promise<unknown>,
): Promise<LoadFigures> {
  const loop = await closedLoop(inFlight, seconds, call, { warmUp, serverPid });
  const { callsPerSec, cpuUsPerCall: clientCpuUs, serverCpuUsPerCall: serverCpuUs } = loop;
  const { p50us, p99us } = loop;
  if (inFlight === 1) return { callsPerSec, p50us, p99us, serverCpuUs, clientCpuUs };
  const timed = await byTimetable(callsPerSec / 2, seconds, call);
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
