import t from 'tap';
import { Catalog } from '../../src/nameserver/catalog.js';
import { tickMs } from '../../src/nameserver/core/live-time.js';
import type { RegistryCore } from '../../src/nameserver/core/registry-core.js';
import { Overrides } from '../../src/nameserver/overrides.js';
import { Selector } from '../../src/nameserver/selector.js';
import { StaticEntries } from '../../src/nameserver/static-entries.js';
import { WatchSet, type WatchTarget } from '../../src/nameserver/watch-set.js';
import type { taskd } from '../../src/wire/generated/messages.js';
import { claimOf } from './core/core-cluster.js';
import { loneCore } from './core/lone-core.js';

const all: WatchTarget = { namespace: 'n', group: '', service: 's', selector: undefined, known: [] };

function watchSet(core: RegistryCore): WatchSet {
  return new WatchSet(new Catalog(core, new StaticEntries([]), new Overrides()), core);
}

t.test('looks for a selector count like what is told', (t) => {
  const core = loneCore(0);
  const watches = watchSet(core);
  for (let i = 0; i < 25_000; i++) {
    core.register(i >> 9, { ...claimOf(`i${i}`, i + 1), tags: i === 0 ? ['gpu'] : [] }, 0);
  }
  core.takeEffects();
  const told: taskd.WatchEvent.$Properties[][] = [[], []];
  for (const events of told) {
    const push = (event: taskd.WatchEvent.$Properties): boolean => events.push(event) > 0;
    watches.add({ ...all, selector: Selector.parse('tag=gpu') }, push, 0);
  }
  let flushes = 1;
  while (watches.flush()) flushes++;
  t.ok(flushes >= 5, `${flushes} flushes for 50,000 looks`);
  for (const events of told) {
    t.same(
      events.map(({ full }) => full),
      [true, false, false],
    );
    t.match(events.at(-1), { more: false });
    t.match(
      events.flatMap(({ changed }) => changed),
      [{ instanceId: 'i0' }],
    );
  }
  t.end();
});

t.test('a list that was told while the view was in doubt is told again, whatever input showed the doubt', (t) => {
  const core = loneCore(0);
  const watches = watchSet(core);
  let nowMs = 0;
  const step = (ms: number, input: () => void): void => {
    nowMs += ms;
    input();
    for (const { kind } of core.takeEffects()) if (kind === 'state') watches.stateChanged();
    while (watches.flush());
  };
  const tick = (): void => core.tick(nowMs, 1_000_000 + nowMs);
  while (nowMs < 60_000) step(tickMs, tick);
  t.ok(core.viewState().isComplete);
  step(1_800, () => core.heard(1, nowMs));
  t.notOk(core.viewState().isComplete, 'it stood still, and a frame came before the tick');
  const events: taskd.WatchEvent.$Properties[] = [];
  watches.add(all, (event) => events.push(event) > 0, nowMs);
  while (watches.flush());
  t.match(events, [{ full: true, state: { authoritative: false } }]);
  for (let i = 0; i < 4; i++) step(tickMs, tick);
  t.match(events.at(-1), { full: true, state: { authoritative: true } });
  t.end();
});
