/**
 * The simulator's command.
 *   npm run sim -- --seed N [--print]        one seed, with its log when it fails or with --print
 *   npm run sim -- --seeds N [--from S]      N seeds from S (default 1)
 *   npm run sim -- --minutes M [--from S]    as many seeds as fit
 * With --stop the first failing seed is the last.
 * Prints progress, the failing seeds with their problems, and exits with 1 when there is one.
 */
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { runSeed, type SeedResult } from '../test/sim/scenario.js';

const failuresMax = 10;
const logTail = 60;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    print: { type: 'boolean', default: false },
    stop: { type: 'boolean', default: false },
  },
});

function number(name: 'seed' | 'seeds' | 'from' | 'minutes', fallback: number): number {
  const text = values[name];
  if (text === undefined) return fallback;
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  process.stderr.write(`sim: --${name} is "${text}": give a number of 0 or more\n`);
  process.exit(2);
}

function report(result: SeedResult, withLog: boolean): void {
  process.stdout.write(`\nseed ${result.seed} FAILED: ${result.problem?.message}\n`);
  process.stdout.write(`  ${result.acknowledged} acknowledged, ${result.starts} starts; ${result.faults}\n`);
  if (withLog) {
    process.stdout.write(`${result.log.slice(-logTail).join('\n')}\n${result.problem?.stack ?? ''}\n`);
    const cause = result.problem?.cause;
    if (cause instanceof Error) process.stdout.write(`caused by ${cause.stack}\n`);
  }
  process.stdout.write(`  again: npm run sim -- --seed ${result.seed} --print\n`);
}

const single = values.seed !== undefined;
const first = single ? number('seed', 1) : number('from', 1);
const minutes = number('minutes', Number.POSITIVE_INFINITY);
const isHunt = values.minutes !== undefined && values.seeds === undefined;
const count = single ? 1 : isHunt ? Number.POSITIVE_INFINITY : number('seeds', 20);
const startMs = performance.now();
const failed: number[] = [];
let done = 0;
let acknowledged = 0;
let starts = 0;
let lastLine = 0;

for (let seed = first; seed < first + count; seed++) {
  if (performance.now() - startMs > minutes * 60_000) break;
  const print = values.print ? (line: string) => process.stdout.write(`${line}\n`) : undefined;
  const result = await runSeed(seed, print === undefined ? {} : { print });
  done++;
  acknowledged += result.acknowledged;
  starts += result.starts;
  if (result.problem !== undefined) {
    failed.push(seed);
    report(result, single && !values.print);
    if (values.stop || failed.length >= failuresMax) break;
  } else if (single) {
    process.stdout.write(
      `seed ${seed}: ${result.acknowledged} acknowledged, ${result.starts} starts, ${result.fires} fires, ${result.events} events, ` +
        `${(result.virtualMs / 1000).toFixed(1)} s of virtual time, digest ${result.digest}; ${result.faults}\n`,
    );
  }
  if (!single && performance.now() - lastLine > 1_000) {
    lastLine = performance.now();
    if (process.stderr.isTTY) process.stderr.write(`\r${done} seeds, ${failed.length} failed `);
  }
}
const seconds = (performance.now() - startMs) / 1000;
process.stdout.write(
  `${done} seeds in ${seconds.toFixed(1)} s (${((seconds * 1000) / Math.max(1, done)).toFixed(0)} ms each), ` +
    `${acknowledged} submits acknowledged, ${starts} starts, ${failed.length} failed` +
    `${failed.length === 0 ? '' : `: ${failed.join(' ')}`}\n`,
);
process.exitCode = failed.length === 0 ? 0 : 1;
