import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { consumeMutants } from '../../scripts/consume-mutant-list.js';
import { mutants as coreMutants } from '../../scripts/core-mutants-table.js';
import { keepMutants } from '../../scripts/keep-mutant-list.js';
import { logMutants } from '../../scripts/log-mutant-list.js';
import { producerMutants } from '../../scripts/producer-mutant-list.js';
import { registryMutants } from '../../scripts/registry-mutant-list.js';
import { mutants as jobMutants } from '../../scripts/sim-mutant-list.js';

const build = join(import.meta.dirname, '../..');
const texts = new Map<string, string>();

function timesIn(file: string, text: string): number {
  const path = join(build, file);
  const code = texts.get(path) ?? readFileSync(path, 'utf8');
  texts.set(path, code);
  return code.split(text).length - 1;
}

t.test('what each mutant of the simulator takes out is there, once', (t) => {
  const lists = [jobMutants, logMutants, consumeMutants, producerMutants, keepMutants, registryMutants];
  for (const { name, file, find, also } of lists.flat()) {
    t.equal(timesIn(file, find), 1, name);
    if (also !== undefined) t.equal(timesIn(also.file, also.find), 1, `${name}, and also`);
  }
  t.end();
});

t.test("what each mutant of the scheduler's core takes out is there, once", (t) => {
  for (const { rule, edits } of coreMutants) {
    for (const [file, from] of edits) t.equal(timesIn(join('src', file), from), 1, rule);
  }
  t.end();
});
