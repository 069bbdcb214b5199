import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { root } from '../../scripts/programs.js';

const read = (path: string): string => readFileSync(join(root, path), 'utf8');

t.test('the code in README.md is the code in examples/, and short', async (t) => {
  const readme = read('README.md');
  let lines = 0;
  for (const name of ['worker.mjs', 'job.mjs']) {
    const code = read(`examples/${name}`);
    t.ok(readme.includes(`\`\`\`js\n${code}\`\`\``), name);
    lines += code.trim().split('\n').length;
  }
  t.ok(lines <= 21, `${lines} lines`);
});

t.test('the code in docs/consuming.md is the code in examples/', async (t) => {
  t.ok(read('docs/consuming.md').includes(`\`\`\`js\n${read('examples/consumer.mjs')}\`\`\``));
});

t.test('links in the documents lead somewhere', async (t) => {
  for (const path of [
    'README.md',
    'docs/operations.md',
    'docs/jobs.md',
    'docs/topics.md',
    'docs/consuming.md',
    'docs/discovery.md',
    'examples/README.md',
  ]) {
    for (const [, target] of read(path).matchAll(/\]\(([^)#:]+)\)/g)) {
      const where = join(path, '..', target!);
      t.doesNotThrow(() => read(where), `${path} → ${where}`);
    }
  }
});
