/**
 * The work of the demo, as plain functions: find files, and say of a file what it is. The workers run it through
 * taskd, and the demo itself without, to have something to compare with.
 */
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';

export interface FileFacts {
  readonly bytes: number;
  readonly lines: number;
  readonly language: string;
  readonly sha256: string;
}

const languages: Readonly<Record<string, string>> = {
  '.js': 'JavaScript',
  '.mjs': 'JavaScript',
  '.cjs': 'JavaScript',
  '.jsx': 'JavaScript',
  '.ts': 'TypeScript',
  '.mts': 'TypeScript',
  '.cts': 'TypeScript',
  '.tsx': 'TypeScript',
  '.json': 'JSON',
  '.map': 'source map',
  '.md': 'Markdown',
  '.py': 'Python',
  '.css': 'CSS',
  '.html': 'HTML',
  '.yml': 'YAML',
  '.yaml': 'YAML',
  '.txt': 'text',
};

/** The regular files below `folder`, as sorted paths relative to it; links and caches are left out. */
export function findFiles(folder: string, below = '', into: string[] = []): string[] {
  for (const entry of readdirSync(join(folder, below), { withFileTypes: true })) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory() && entry.name !== '.cache') findFiles(folder, path, into);
    else if (entry.isFile()) into.push(path);
  }
  return below === '' ? into.sort() : into;
}

export async function inspectFile(path: string): Promise<FileFacts> {
  const bytes = await readFile(path);
  let lines = 0;
  for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, at + 1)) lines++;
  return {
    bytes: bytes.length,
    lines,
    language: languages[extname(path).toLowerCase()] ?? 'other',
    sha256: createHash('sha256').update(bytes).digest('hex'),
  };
}

/** Sums over files, and one digest over the digests of all, in the order of their paths. */
export interface Totals {
  files: number;
  bytes: number;
  lines: number;
  readonly languages: Map<string, number>;
  digest: string;
}

export function totalsOf(facts: ReadonlyMap<string, FileFacts>): Totals {
  const totals: Totals = { files: 0, bytes: 0, lines: 0, languages: new Map(), digest: '' };
  const hash = createHash('sha256');
  for (const path of [...facts.keys()].sort()) {
    const { bytes, lines, language, sha256 } = facts.get(path)!;
    totals.files++;
    totals.bytes += bytes;
    totals.lines += lines;
    totals.languages.set(language, (totals.languages.get(language) ?? 0) + 1);
    hash.update(`${sha256}  ${path}\n`);
  }
  totals.digest = hash.digest('hex');
  return totals;
}
