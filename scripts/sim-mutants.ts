/**
 * Shows that the simulator would notice: each mutant takes one safety rule out of a copy of build/, and the whole-system
 * scenario has to fail under it.
 *   npm run sim:mutants                  all of them
 *   npm run sim:mutants -- --only NAME   one
 *   npm run sim:mutants -- --world NAME  those of one simulated world
 * Prints a line each, with the seed that caught it and what that seed said. Exits with 1 when a mutant survives its
 * seeds, and with 2 when its text is not found exactly once.
 */
import { spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { consumeMutants } from './consume-mutant-list.js';
import { keepMutants } from './keep-mutant-list.js';
import { logMutants } from './log-mutant-list.js';
import { producerMutants } from './producer-mutant-list.js';
import { registryMutants } from './registry-mutant-list.js';
import { type Edit, mutants as jobMutants, type Mutant } from './sim-mutant-list.js';

const root = resolve(import.meta.dirname, '../..');
/** A mutant that runs for ever instead of failing counts as a survivor. */
const minutesMax = 5;

const mutants: readonly Mutant[] = [
  ...jobMutants,
  ...logMutants,
  ...consumeMutants,
  ...producerMutants,
  ...keepMutants,
  ...registryMutants,
];

const { values } = parseArgs({ options: { only: { type: 'string' }, world: { type: 'string' } } });
const worldOf = (mutant: Mutant): string => mutant.world ?? 'jobs';
const chosen = mutants.filter(
  (mutant) =>
    (values.only === undefined || mutant.name === values.only) &&
    (values.world === undefined || worldOf(mutant) === values.world),
);
if (chosen.length === 0) {
  process.stderr.write(`sim:mutants: nothing fits; there are: ${mutants.map(({ name }) => name).join(', ')}\n`);
  process.exit(2);
}

/** Runs the scenario in the copy until it fails or the seeds are over; resolves with what it printed. */
function run(folder: string, mutant: Mutant): Promise<string> {
  return new Promise((resolve, reject) => {
    const script = join(folder, 'build/scripts/sim.js');
    const child = spawn(
      process.execPath,
      [script, '--world', worldOf(mutant), '--seeds', String(mutant.seeds), '--stop'],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: minutesMax * 60_000,
      },
    );
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    child.on('error', reject);
    child.on('close', () => resolve(text));
  });
}

/** Makes an edit and returns how to take it back; undefined, and said, when its text is not there once. */
async function edit(
  folder: string,
  name: string,
  { file, find, replace }: Edit,
): Promise<(() => Promise<void>) | undefined> {
  const path = join(folder, 'build', file);
  const original = await readFile(path, 'utf8');
  const places = original.split(find).length - 1;
  if (places !== 1) {
    process.stderr.write(
      `sim:mutants: "${name}": its text is found ${places} times in build/${file}; it must be once\n`,
    );
    process.exitCode = 2;
    return undefined;
  }
  await writeFile(
    path,
    original.replace(find, () => replace),
  );
  return () => writeFile(path, original);
}

/** True when a seed failed, rather than none did or the program itself broke. */
async function isCaught(folder: string, mutant: Mutant): Promise<boolean> {
  const { name, seeds, also } = mutant;
  const undo = await edit(folder, name, mutant);
  const undoOther = also === undefined ? undefined : await edit(folder, name, also);
  if (undo === undefined || (also !== undefined && undoOther === undefined)) {
    await undoOther?.();
    await undo?.();
    return true;
  }
  const startMs = performance.now();
  const text = await run(folder, mutant);
  // The other way round: both may be in one file.
  await undoOther?.();
  await undo();
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  const failure = /^seed (\d+) FAILED: (.*)$/m.exec(text);
  if (failure !== null) {
    const why = failure[2]!.slice(0, 160);
    process.stdout.write(`${name}: caught by seed ${failure[1]} in ${seconds} s: ${why}\n`);
    return true;
  }
  process.stdout.write(`${name}: SURVIVED ${seeds} seeds in ${seconds} s: ${text.trim().split('\n').at(-1)}\n`);
  return false;
}

const folder = await mkdtemp(join(tmpdir(), 'taskd-mutants-'));
let survivors = 0;
try {
  await cp(join(root, 'build'), join(folder, 'build'), { recursive: true });
  await cp(join(root, 'package.json'), join(folder, 'package.json'));
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const mutant of chosen) if (!(await isCaught(folder, mutant))) survivors++;
} finally {
  await rm(folder, { recursive: true, force: true });
}
process.stdout.write(`${chosen.length} mutants, ${survivors} survived\n`);
if (survivors > 0) process.exitCode = 1;
