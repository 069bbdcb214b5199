/**
 * The pickers in this process: `--candidates N` (1,000), `--seconds S` in all (15).
 *
 * Each strategy picks from one list, and hears of each call's end after 200 others have begun. `picksPerSec` counts picks
 * with their ends in a second of this process's CPU time, so that others on the machine count for less; candidates have one of three weights, which `-distinct` makes as many as there are candidates. A list
 * that changes by one candidate each time is timed by itself, and so is the balancer in front of the default picker.
 */

import { silentLogger } from '../../src/base/logger.js';
import { Balancer } from '../../src/discovery/balancer.js';
import type { Candidate, Picker } from '../../src/discovery/picker.js';
import { pickerNamed, pickerNames } from '../../src/discovery/pickers/picker-names.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import type { BenchArguments, BenchResult } from './bench.js';

const inFlight = 200;
const keysCount = 4_096;
const weights = [50, 100, 200];
const outcome = { latencyMs: 5, isOk: true };

function candidates(count: number, weightOf: (i: number) => number): Candidate[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `billing-${i}`,
    weight: weightOf(i),
    isSuspect: false,
    zone: `zone-${i % 3}`,
  }));
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

/** Picks a second, ends of calls included. */
function rate(picker: Picker, list: readonly Candidate[], keys: readonly string[], ms: number): number {
  const running: string[] = Array.from({ length: inFlight }, () => '');
  let picks = 0;
  const turns = (count: number): void => {
    for (let i = 0; i < count; i++, picks++) {
      const slot = picks % inFlight;
      const over = running[slot]!;
      if (over !== '') picker.done?.(over, outcome);
      running[slot] = picker.pick(keys[picks & (keysCount - 1)], list)!.id;
    }
  };
  turns(20_000);
  const fromPicks = picks;
  const startMs = cpuMs();
  while (cpuMs() - startMs < ms) turns(20_000);
  return ((picks - fromPicks) / (cpuMs() - startMs)) * 1_000;
}

/** Microseconds for the first pick from a list that one candidate has left, or has joined again. */
function changeUs(picker: Picker, list: readonly Candidate[], keys: readonly string[], ms: number): number {
  const less = list.slice(0, -1);
  const lists = Array.from({ length: 50 }, (_, i) => (i % 2 === 0 ? [...list] : [...less]));
  picker.pick(keys[0], lists[0]!);
  let changes = 0;
  const startMs = cpuMs();
  while (cpuMs() - startMs < ms) {
    const picked = picker.pick(keys[changes % keysCount], lists[changes % lists.length]!);
    if (picked !== undefined) picker.done?.(picked.id, outcome);
    changes++;
  }
  return ((cpuMs() - startMs) / changes) * 1_000;
}

export async function run(args: BenchArguments): Promise<BenchResult> {
  const count = Number(args['candidates'] ?? 1_000);
  const seconds = Number(args['seconds'] ?? 15);
  const { random, clock } = nodeRuntime(silentLogger);
  const deps = { random, clock, callers: { zone: 'zone-0' } };
  const list = candidates(count, (i) => weights[i % weights.length]!);
  const distinct = candidates(count, (i) => 1 + i);
  const names = pickerNames();
  const ms = (seconds * 1_000) / (names.length + 2) / 1.25;
  const keysFor = (name: string): readonly string[] =>
    Array.from({ length: keysCount }, (_, i) => (name === 'specified' ? list[i % count]!.id : `customer-${i * 7_919}`));
  const metrics: Record<string, number> = {};
  for (const name of names) {
    metrics[`${name} picksPerSec`] = rate(pickerNamed(name, deps), list, keysFor(name), ms);
  }
  metrics['round-robin-distinct picksPerSec'] = rate(pickerNamed('round-robin', deps), distinct, keysFor(''), ms);
  const balancer = new Balancer(pickerNamed('p2c', deps), clock);
  metrics['balancer-p2c picksPerSec'] = rate(balancer, list, keysFor(''), ms);
  for (const name of names) {
    metrics[`${name} changeUs`] = changeUs(pickerNamed(name, deps), list, keysFor(name), ms / 4);
  }
  return { name: 'pickers', metrics, config: { candidates: count, seconds, inFlight, weights: weights.join(' ') } };
}
