/**
 * Shows what each rule of the scheduler's core is for: takes it out of the built code and lets the simulation find the
 * harm (test/scheduler/core/simulation.ts).
 *   npm run build && node build/scripts/core-mutants.js [--seeds 300] [--only REGEXP]
 * Prints the first seed that caught each, and fails if one that should be caught survives. Where another rule does the
 * same work, taking both out must be caught, and the table says which other.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Edit, mutants } from './core-mutants-table.js';

const build = join(dirname(fileURLToPath(import.meta.url)), '..');
const root = join(build, '..');
const argument = (name: string, otherwise: string): string => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : (process.argv[at + 1] ?? otherwise);
};
const seeds = Number(argument('seeds', '300'));
const only = new RegExp(argument('only', '.'));

const runner = `import { World } from './test/scheduler/core/simulation.js';
for (let seed = 1; seed <= ${seeds}; seed++) {
  try {
    new World(seed).run();
  } catch (error) {
    console.log(seed + ' ' + String(error.message).split('\\n')[0]);
    process.exit(3);
  }
}
`;

const folder = mkdtempSync(join(tmpdir(), 'taskd-mutants-'));
cpSync(join(build, 'src'), join(folder, 'src'), { recursive: true });
cpSync(join(build, 'test', 'scheduler', 'core'), join(folder, 'test', 'scheduler', 'core'), { recursive: true });
cpSync(join(root, 'package.json'), join(folder, 'package.json'));
symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
writeFileSync(join(folder, 'run.js'), runner);

let problems = 0;
try {
  for (const mutant of mutants) {
    if (!only.test(mutant.rule)) continue;
    const result = runWith(mutant.edits);
    const isCaught = result !== undefined;
    const wanted = mutant.coveredBy === undefined;
    if (wanted && !isCaught) problems++;
    const verdict = isCaught ? `caught by seed ${result}` : wanted ? 'SURVIVES' : 'survives, as it should';
    process.stdout.write(`${mutant.rule}: ${verdict}${isCaught || wanted ? '' : ` (${mutant.coveredBy})`}\n`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = problems === 0 ? 0 : 1;

/** What the simulation finds with these edits: the seed and the harm, or undefined. */
function runWith(edits: readonly Edit[]): string | undefined {
  const before = new Map<string, string>();
  for (const [file, from, to] of edits) {
    const path = join(folder, 'src', file);
    const text = readFileSync(path, 'utf8');
    if (!before.has(path)) before.set(path, text);
    if (text.split(from).length !== 2) process.stdout.write(`MEND THE TABLE: ${file} holds not one "${from}"\n`);
    writeFileSync(
      path,
      text.replace(from, () => to),
    );
  }
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(folder, 'run.js')], { encoding: 'utf8' });
  for (const [path, text] of before) writeFileSync(path, text);
  if (status === 0) return undefined;
  if (status === 3) return stdout.trim();
  throw new Error(stderr);
}
