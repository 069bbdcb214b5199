import t from 'tap';
import { BatchClass } from '../../../src/batch/header.js';
import { encode, Harness } from './harness.js';

t.test('an app whose runs lie behind very many of another is listed page by page', (t) => {
  const h = new Harness();
  h.append([encode.submit({ appId: 8 }), encode.submit({ appId: 8 })], BatchClass.CLIENT);
  const others = Array.from({ length: 50_000 }, () => encode.submit({}));
  for (let i = 0; i < 3; i++) h.append(others, BatchClass.CLIENT);
  const found: number[] = [];
  let pages = 0;
  for (let before: number | undefined; ; pages++) {
    const page = h.core.runs({ appId: 8, states: [], job: '', before, max: 10 });
    found.push(...page.runs.map(({ run }) => run));
    if (page.nextBefore === undefined) break;
    before = page.nextBefore;
  }
  t.same(found, [2, 1]);
  t.ok(pages > 0, 'no page looks at all of them');
  t.same(h.core.runs({ appId: 7, states: [], job: '', before: 10, max: 4 }).nextBefore, 6);
  t.end();
});
