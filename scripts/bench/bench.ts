/**
 * `npm run bench -- NAME [--seconds S] [--json] [options of the bench]`
 *
 * Each bench is a module of this folder that exports `run`. It starts its load in processes of its own and gives back
 * numbers; this file prints them: a table for people, with `--json` one object on the last line.
 */
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

export interface BenchResult {
  readonly name: string;
  readonly metrics: Readonly<Record<string, number>>;
  readonly config: Readonly<Record<string, number | string>>;
}

/** `--name value` pairs; a flag without a value is `true`. */
export type BenchArguments = Readonly<Record<string, string | boolean | undefined>>;

interface BenchModule {
  run(args: BenchArguments): Promise<BenchResult>;
}

const here = dirname(fileURLToPath(import.meta.url));

/** Files that export `run`; the others of this folder are what they start. */
function names(): string[] {
  const files = readdirSync(here).filter((file) => /^bench-[a-z]+\.js$/.test(file));
  return files.map((file) => file.slice('bench-'.length, -'.js'.length)).sort();
}

function print(result: BenchResult): void {
  const rows = Object.entries(result.metrics);
  const width = Math.max(...rows.map(([name]) => name.length));
  process.stdout.write(`${result.name}  ${JSON.stringify(result.config)}\n`);
  for (const [name, value] of rows) {
    const text = value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
    process.stdout.write(`  ${name.padEnd(width)}  ${text}\n`);
  }
}

const { values, positionals } = parseArgs({
  strict: false,
  allowPositionals: true,
  args: withValues(process.argv.slice(2)),
});

/** `--seconds 5` becomes `--seconds=5`, as the flags of all benches are not known here. */
function withValues(args: readonly string[]): string[] {
  const out: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const next = args[i + 1];
    if (/^--[a-z-]+$/.test(args[i]!) && next !== undefined && !next.startsWith('--')) out.push(`${args[i++]}=${next}`);
    else out.push(args[i]!);
  }
  return out;
}

const name = positionals[0] ?? '';
if (!names().includes(name)) {
  process.stderr.write(
    `bench: name one of ${names().join(', ')}; for example: npm run bench -- rpc --seconds 5 --json\n`,
  );
  process.exit(2);
}
const module = (await import(join(here, `bench-${name}.js`))) as BenchModule;
const result = await module.run(values);
print(result);
if (values['json'] === true) process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);
