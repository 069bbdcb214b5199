/**
 * The rules of the code as a test: which layer may import which, which globals and modules live only at the seams, how
 * long a file may be, no import cycles, no leftovers. It reads the sources beside package.json, not the build.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const linesMax = 500;

/** What each layer may import, besides itself and `base`. */
const layers: Record<string, readonly string[]> = {
  base: [],
  runtime: [],
  batch: [],
  wire: ['runtime'],
  timer: ['runtime'],
  log: ['batch', 'runtime'],
  transport: ['wire', 'runtime', 'timer'],
  rpc: ['transport', 'wire', 'runtime', 'timer'],
  raft: ['batch', 'log', 'timer', 'runtime'],
  coordinator: ['batch', 'timer', 'runtime'],
  discovery: ['rpc', 'transport', 'wire', 'runtime', 'timer'],
  client: ['batch', 'discovery', 'rpc', 'transport', 'wire', 'runtime', 'timer'],
  nameserver: ['rpc', 'transport', 'wire', 'runtime', 'timer'],
  broker: [
    'coordinator',
    'raft',
    'log',
    'batch',
    'client',
    'discovery',
    'rpc',
    'transport',
    'wire',
    'runtime',
    'timer',
  ],
  scheduler: ['coordinator', 'discovery', 'client', 'batch', 'rpc', 'transport', 'wire', 'runtime', 'timer'],
  worker: ['discovery', 'client', 'batch', 'rpc', 'transport', 'wire', 'runtime', 'timer'],
  agent: ['discovery', 'client', 'batch', 'rpc', 'transport', 'wire', 'runtime', 'timer'],
  console: ['client', 'batch', 'discovery', 'rpc', 'transport', 'wire', 'runtime', 'timer'],
};

/** Packages, and the layers that may import them; `cli` may import all. */
const packages: Record<string, readonly string[]> = {
  protobufjs: ['wire'],
  'cron-parser': ['timer'],
  pino: [],
  'pino-pretty': [],
  commander: [],
  'prom-client': [],
  zod: [],
  yaml: [],
  koffi: ['runtime'],
};

/** Node's own modules that a layer may use beyond the seams: pure functions only. */
const nodeModules: Record<string, readonly string[]> = {
  base: ['node:zlib'],
};

/** Where the world may be touched directly. */
const isSeam = (path: string): boolean => path.startsWith('src/runtime/node/') || path.startsWith('src/cli/');

/** Globals that read a clock, wait, draw numbers or print. */
const bannedGlobals =
  /(?<![.\w$'"#])(?:Date\.now|new Date\(|performance\.|setTimeout\(|setInterval\(|setImmediate\(|queueMicrotask\(|Math\.random|randomUUID|process\.(?!js)|console\.)/;

interface Source {
  readonly path: string;
  readonly text: string;
  /** Text without comments. */
  readonly code: string;
  readonly imports: readonly { readonly from: string; readonly typeOnly: boolean }[];
}

function walk(folder: string, into: string[] = []): string[] {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory()) {
      if (entry.name !== 'generated' && entry.name !== 'node_modules') walk(path, into);
    } else if (entry.name.endsWith('.ts')) into.push(path);
  }
  return into;
}

function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|\s)\/\/.*$/gm, '$1');
}

function load(path: string): Source {
  const text = readFileSync(join(root, path), 'utf8');
  const code = withoutComments(text);
  const imports: { from: string; typeOnly: boolean }[] = [];
  for (const match of code.matchAll(/^\s*(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?['"]([^'"]+)['"]/gm)) {
    imports.push({ from: match[2]!, typeOnly: match[1] !== undefined });
  }
  for (const match of code.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g))
    imports.push({ from: match[1]!, typeOnly: false });
  return { path, text, code, imports };
}

const sources = walk('src').map(load);
const tests = walk('test').map(load);
const scripts = walk('scripts').map(load);
const layerOf = (path: string): string => path.split('/')[1]!;
const resolve = (from: string, to: string): string => posix.join(posix.dirname(from), to).replace(/\.js$/, '.ts');

t.test('every layer imports only what lies below it', (t) => {
  const wrong: string[] = [];
  for (const { path, imports } of sources) {
    const layer = layerOf(path);
    if (layer === 'cli') continue;
    const allowed = layers[layer];
    if (allowed === undefined) {
      wrong.push(`${path}: ${layer} is not in the table of layers`);
      continue;
    }
    for (const { from } of imports) {
      if (from.startsWith('.')) {
        const target = layerOf(resolve(path, from));
        if (target !== layer && target !== 'base' && !allowed.includes(target)) wrong.push(`${path} imports ${target}`);
      } else if (from.startsWith('node:')) {
        if (!isSeam(path) && !(nodeModules[layer] ?? []).includes(from)) wrong.push(`${path} imports ${from}`);
      } else {
        const name = from.split('/')[0]!;
        if (!(packages[name] ?? []).includes(layer)) wrong.push(`${path} imports the package ${from}`);
      }
    }
  }
  t.same(wrong, []);
  t.end();
});

t.test('the world is touched at the seams only', (t) => {
  const wrong: string[] = [];
  for (const { path, code } of sources) {
    if (isSeam(path)) continue;
    code.split('\n').forEach((line, i) => {
      if (bannedGlobals.test(line)) wrong.push(`${path}:${i + 1}: ${line.trim()}`);
    });
  }
  t.same(wrong, []);
  t.end();
});

t.test('imports form no cycle', (t) => {
  const graph = new Map(
    sources.map(({ path, imports }) => [
      path,
      imports.filter(({ from, typeOnly }) => from.startsWith('.') && !typeOnly).map(({ from }) => resolve(path, from)),
    ]),
  );
  const state = new Map<string, 'open' | 'done'>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
      return;
    }
    state.set(path, 'open');
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    state.set(path, 'done');
  };
  for (const path of graph.keys()) visit(path, []);
  t.same(cycles, []);
  t.end();
});

t.test(`no file is longer than ${linesMax} lines, none is a drawer or a barrel`, (t) => {
  const wrong: string[] = [];
  for (const { path, text } of [...sources, ...tests, ...scripts]) {
    const lines = text.split('\n').length;
    if (lines > linesMax) wrong.push(`${path}: ${lines} lines`);
    if (/\/(?:utils?|helpers?|types|common|misc|index)\.ts$/.test(path)) wrong.push(`${path}: name it after its noun`);
  }
  t.same(wrong, []);
  t.end();
});

t.test('tests are neither skipped nor do they sleep, and nothing is left unfinished', (t) => {
  const wrong: string[] = [];
  for (const { path, code } of tests) {
    if (path === 'test/tidy.test.ts') continue;
    code.split('\n').forEach((line, i) => {
      if (/\.(?:skip|todo|only)\(|\b(?:skip|todo|only): *true|c8 ignore|istanbul ignore/.test(line)) {
        wrong.push(`${path}:${i + 1}: ${line.trim()}`);
      }
      if (/\bsleep\(|setTimeout\((?:resolve|r|res|done)\b/.test(line))
        wrong.push(`${path}:${i + 1}: sleeps: ${line.trim()}`);
    });
  }
  for (const { path, text } of [...sources, ...tests, ...scripts]) {
    if (path === 'test/tidy.test.ts') continue;
    text.split('\n').forEach((line, i) => {
      if (/\bTODO\b|\bFIXME\b|\bXXX\b|@ts-ignore|@ts-nocheck/.test(line))
        wrong.push(`${path}:${i + 1}: ${line.trim()}`);
    });
  }
  t.same(wrong, []);
  t.end();
});

t.test('every test file lies where its subject lies', (t) => {
  const folders = new Set([
    'support',
    'conformance',
    'golden',
    'sim',
    'e2e',
    ...sources.map(({ path }) => layerOf(path)),
  ]);
  const wrong = tests
    .map(({ path }) => relative('test', path))
    .filter((path) => path.includes('/') && !folders.has(path.split('/')[0]!) && !path.startsWith('scripts/'));
  t.same(wrong, []);
  t.end();
});
