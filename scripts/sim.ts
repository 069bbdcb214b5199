/**
 * The simulator's command.
 *   npm run sim -- --seed N [--print]        one seed, with its log when it fails or with --print
 *   npm run sim -- --seeds N [--from S]      N seeds from S (default 1)
 *   npm run sim -- --minutes M [--from S]    as many seeds as fit
 *   npm run sim -- --crash-points N          N seeds of the queue world: one broker that crashes at any operation
 *   npm run sim -- --delay N [--crashes C]   N delayed records over a virtual hour with C crashes (default 50)
 *   npm run sim -- --delay-crash-points      a crash at each operation of a broker with a dozen delayed records
 * Each seed is run in every world; --world NAME picks one. With --stop the first failure is the last.
 * Prints progress, the failing seeds with their problems, and exits with 1 when there is one.
 */
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { runDelayedCrashPoint, runManyDelayed } from '../test/sim/delayed-scenario.js';
import type { WorldResult } from '../test/sim/world-result.js';
import { type World, worlds } from '../test/sim/worlds.js';

const failuresMax = 10;
const logTail = 60;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    'crash-points': { type: 'string' },
    delay: { type: 'string' },
    crashes: { type: 'string' },
    'delay-crash-points': { type: 'boolean', default: false },
    world: { type: 'string' },
    from: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    print: { type: 'boolean', default: false },
    stop: { type: 'boolean', default: false },
  },
});

type Numbered = 'seed' | 'seeds' | 'crash-points' | 'from' | 'minutes' | 'delay' | 'crashes';

function number(name: Numbered, fallback: number): number {
  const text = values[name];
  if (text === undefined) return fallback;
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  process.stderr.write(`sim: --${name} is "${text}": give a number of 0 or more\n`);
  process.exit(2);
}

function chosenWorlds(): readonly World[] {
  const name = values.world ?? (values['crash-points'] === undefined ? undefined : 'queue');
  const chosen = worlds.filter((world) => name === undefined || world.name === name);
  if (chosen.length > 0) return chosen;
  process.stderr.write(`sim: --world "${name}" is none of: ${worlds.map((world) => world.name).join(', ')}\n`);
  process.exit(2);
}

function inWords(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');
}

function report(world: World, result: WorldResult, withLog: boolean): void {
  process.stdout.write(`\nseed ${result.seed} FAILED: ${world.name}: ${result.problem?.message}\n`);
  process.stdout.write(`  ${inWords(result.counts)}; ${result.faults}\n`);
  if (withLog) {
    process.stdout.write(`${result.log.slice(-logTail).join('\n')}\n${result.problem?.stack ?? ''}\n`);
    const cause = result.problem?.cause;
    if (cause instanceof Error) process.stdout.write(`caused by ${cause.stack}\n`);
  }
  process.stdout.write(`  again: npm run sim -- --world ${world.name} --seed ${result.seed} --print\n`);
}

/** What the seeds of one world came to. */
class Tally {
  readonly world: World;
  readonly failed: number[] = [];
  #done = 0;
  #ms = 0;
  readonly #counts = new Map<string, number>();

  constructor(world: World) {
    this.world = world;
  }

  add(result: WorldResult, ms: number): void {
    this.#done++;
    this.#ms += ms;
    if (result.problem !== undefined) this.failed.push(result.seed);
    for (const [name, count] of Object.entries(result.counts)) {
      this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
    }
  }

  line(): string {
    const each = (this.#ms / Math.max(1, this.#done)).toFixed(0);
    const failed = `${this.failed.length} failed${this.failed.length === 0 ? '' : `: ${this.failed.join(' ')}`}`;
    const sums = inWords(Object.fromEntries(this.#counts));
    return `${this.world.name}: ${this.#done} seeds in ${(this.#ms / 1000).toFixed(1)} s (${each} ms each), ${sums}, ${failed}\n`;
  }
}

/** One world with many delayed records, and what they cost in memory. */
async function runDelay(): Promise<never> {
  const records = number('delay', 0);
  const crashes = number('crashes', 50);
  const beganMs = performance.now();
  const result = await runManyDelayed(number('seed', 1), records, crashes);
  const seconds = ((performance.now() - beganMs) / 1000).toFixed(1);
  const held = `at most ${result.heldMax} delayed records in the broker's memory`;
  const time = `${(result.virtualMs / 60_000).toFixed(1)} min of virtual time in ${seconds} s`;
  process.stdout.write(`delay: ${records} records, ${result.faults}: ${inWords(result.counts)}; ${held}; ${time}\n`);
  if (result.problem !== undefined) process.stdout.write(`FAILED: ${result.problem.message}\n`);
  process.exit(result.problem === undefined ? 0 : 1);
}

/** Every point once as a kill, once as a power loss. */
async function runDelayCrashPoints(): Promise<never> {
  let wrong = 0;
  let points = 0;
  for (let isOver = false; !isOver; points++) {
    for (const powerLoss of [false, true]) {
      const { problem, counts } = await runDelayedCrashPoint(points, powerLoss);
      isOver = counts.kills === 0;
      if (problem === undefined) continue;
      wrong++;
      process.stdout.write(`operation ${points}${powerLoss ? ', power loss' : ''} FAILED: ${problem.message}\n`);
    }
  }
  process.stdout.write(`delay: ${points} crash points, each as a kill and as a power loss, ${wrong} failed\n`);
  process.exit(wrong === 0 ? 0 : 1);
}

if (values.delay !== undefined) await runDelay();
if (values['delay-crash-points']) await runDelayCrashPoints();

const single = values.seed !== undefined;
const first = single ? number('seed', 1) : number('from', 1);
const minutes = number('minutes', Number.POSITIVE_INFINITY);
const seeds = number('crash-points', number('seeds', 20));
const isHunt = values.minutes !== undefined && values.seeds === undefined && values['crash-points'] === undefined;
const count = single ? 1 : isHunt ? Number.POSITIVE_INFINITY : seeds;
const tallies = chosenWorlds().map((world) => new Tally(world));
const startMs = performance.now();
let failures = 0;
let lastLine = 0;

async function runOne(tally: Tally, seed: number): Promise<void> {
  const print = values.print ? (line: string) => process.stdout.write(`${line}\n`) : undefined;
  const beganMs = performance.now();
  const result = await tally.world.run(seed, print === undefined ? {} : { print });
  tally.add(result, performance.now() - beganMs);
  if (result.problem !== undefined) {
    failures++;
    report(tally.world, result, single && !values.print);
  } else if (single) {
    const time = `${(result.virtualMs / 1000).toFixed(1)} s of virtual time`;
    process.stdout.write(
      `seed ${seed}: ${tally.world.name}: ${inWords(result.counts)}, ${result.events} events, ${time}, digest ${result.digest}; ${result.faults}\n`,
    );
  }
}

const isOver = (): boolean => failures > 0 && (values.stop || failures >= failuresMax);
for (let seed = first; seed < first + count && !isOver(); seed++) {
  if (performance.now() - startMs > minutes * 60_000) break;
  for (const tally of tallies) if (!isOver()) await runOne(tally, seed);
  if (!single && performance.now() - lastLine > 1_000) {
    lastLine = performance.now();
    if (process.stderr.isTTY) process.stderr.write(`\r${seed - first + 1} seeds, ${failures} failed `);
  }
}
for (const tally of tallies) process.stdout.write(tally.line());
process.exitCode = failures === 0 ? 0 : 1;
