/**
 * The timer layer in this process: `--armed N` timers (1,000,000), `--seconds S` (5), `--rate N` fires a second
 * (10,000).
 *
 * First the wheel alone: adding `armed` timers over the next hour, cancelling and adding again, firing all. Then the
 * driver on the real clock: with `armed` timers standing by, `rate` a second fall due; lateness is from the due time to
 * the callback. Last, next fires of cron expressions of different kinds.
 */
import { silentLogger } from '../../src/base/logger.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { planCron } from '../../src/timer/cron-plan.js';
import { Timers } from '../../src/timer/timers.js';
import { TimingWheel } from '../../src/timer/timing-wheel.js';
import type { BenchArguments, BenchResult } from './bench.js';

const hourMs = 3_600_000;

function timed(work: () => void): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

function wheel(armed: number): Record<string, number> {
  const random = new SeededRandom(1);
  const dues = Float64Array.from({ length: armed }, () => 1 + random.below(hourMs));
  const handles = new Float64Array(armed);
  const wheel = new TimingWheel(0);
  let slowestAddMs = 0;
  const addMs = timed(() => {
    for (let i = 0; i < armed; i += 1_000) {
      const ms = timed(() => {
        for (let k = i; k < Math.min(armed, i + 1_000); k++) handles[k] = wheel.add(dues[k]!, k);
      });
      slowestAddMs = Math.max(slowestAddMs, ms);
    }
  });
  const bytesPerTimer = wheel.bytes / armed;
  const againMs = timed(() => {
    for (let k = 0; k < armed; k++) {
      wheel.cancel(handles[k]!);
      wheel.add(dues[k]!, k);
    }
  });
  let fired = 0;
  const fireMs = timed(() => {
    // As a driver does: from one busy slot to the next.
    for (let next = wheel.nextDueMs(); next !== undefined; next = wheel.nextDueMs()) {
      wheel.advance(next, () => {
        fired++;
      });
    }
  });
  return {
    armed,
    addNs: (addMs / armed) * 1e6,
    cancelAndAddNs: (againMs / armed) * 1e6,
    firesPerSec: (fired / fireMs) * 1_000,
    bytesPerTimer,
    slowest1000AddsMs: slowestAddMs,
  };
}

async function lateness(armed: number, rate: number, seconds: number): Promise<Record<string, number>> {
  const { clock } = nodeRuntime(silentLogger);
  const random = new SeededRandom(2);
  const timers = new Timers(clock);
  for (let i = 0; i < armed; i++) timers.after(hourMs + random.below(hourMs), () => {});
  const count = rate * seconds;
  const late = new Float64Array(count);
  let fired = 0;
  await new Promise<void>((resolve) => {
    for (let i = 0; i < count; i++) {
      const delayMs = 500 + random.unit() * seconds * 1_000;
      const dueMs = clock.monotonicMs() + delayMs;
      timers.after(delayMs, () => {
        late[fired++] = clock.monotonicMs() - dueMs;
        if (fired === count) resolve();
      });
    }
  });
  timers.close();
  late.sort();
  const at = (share: number): number => late[Math.min(count - 1, Math.floor(count * share))]!;
  return { latenessP50ms: at(0.5), latenessP99ms: at(0.99), latenessMaxMs: at(1), earliestMs: at(0) };
}

function cron(seconds: number): Record<string, number> {
  const cases: readonly [name: string, expression: string, zone: string][] = [
    ['cronNextPerSec', '*/15 * * * * *', 'UTC'],
    ['cronDailyInZoneNextPerSec', '0 30 2 * * *', 'Europe/Berlin'],
    ['cronStepsInZoneNextPerSec', '0 */7 9-17 * * MON-FRI', 'America/New_York'],
    ['cronRareNextPerSec', '0 0 29 2 ?', 'Europe/Berlin'],
  ];
  const metrics: Record<string, number> = {};
  const startMs = Date.UTC(2026, 0, 1);
  const endMs = Date.UTC(2126, 0, 1);
  for (const [name, expression, zone] of cases) {
    const plan = planCron(expression, zone);
    const untilMs = performance.now() + (seconds * 1_000) / cases.length;
    const began = performance.now();
    let computed = 0;
    let at = startMs;
    do {
      for (let i = 0; i < 1_000; i++) {
        const next = plan.next(at);
        at = next === undefined || next > endMs ? startMs : next;
      }
      computed += 1_000;
    } while (performance.now() < untilMs);
    metrics[name] = (computed / (performance.now() - began)) * 1_000;
  }
  return metrics;
}

export async function run(args: BenchArguments): Promise<BenchResult> {
  const armed = Number(args['armed'] ?? 1_000_000);
  const seconds = Number(args['seconds'] ?? 5);
  const rate = Number(args['rate'] ?? 10_000);
  const metrics = { ...wheel(armed), ...(await lateness(armed, rate, seconds)), ...cron(seconds) };
  return { name: 'timers', metrics, config: { armed, seconds, rate } };
}
