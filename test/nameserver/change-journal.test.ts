import t from 'tap';
import { Catalog } from '../../src/nameserver/catalog.js';
import { ChangeJournal } from '../../src/nameserver/change-journal.js';
import { Overrides } from '../../src/nameserver/overrides.js';
import { Selector } from '../../src/nameserver/selector.js';
import { StaticEntries } from '../../src/nameserver/static-entries.js';
import { WatchSet, type WatchTarget } from '../../src/nameserver/watch-set.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import type { taskd } from '../../src/wire/generated/messages.js';
import { loneCore } from './core/lone-core.js';

t.test('positions go on over what was trimmed; what is kept stays where it was', (t) => {
  const random = new SeededRandom(7);
  const journal = new ChangeJournal();
  const noted: string[] = [];
  let begin = 0;
  for (let i = 0; i < 2_000; i++) {
    if (random.below(3) > 0) {
      const place = `i${random.below(50)}`;
      journal.note(place);
      noted.push(place);
    } else {
      begin += random.below(noted.length - begin + 1);
      journal.trim(begin);
    }
    t.equal(journal.end, noted.length);
    for (let at = begin; at < noted.length; at++) if (journal.at(at) !== noted[at]) t.fail(`another place at ${at}`);
  }
  t.end();
});

t.test('watchers that are equally far are told one event, made once; one that lags is told what it missed', (t) => {
  const core = loneCore(0);
  const watches = new WatchSet(new Catalog(core, new StaticEntries([]), new Overrides()), core);
  const all: WatchTarget = { namespace: 'n', group: '', service: 's', selector: undefined, known: [] };
  const told: taskd.WatchEvent.$Properties[][] = [[], [], [], []];
  let isOpen = true;
  const targets = [all, all, all, { ...all, selector: Selector.parse('!canary') }];
  const [, , slow] = targets.map((target, i) => {
    const push = (event: taskd.WatchEvent.$Properties): boolean => (i !== 2 || isOpen) && told[i]!.push(event) > 0;
    return watches.add(target, push, 0);
  });
  const change = (incarnation: number, instanceId: string): void => {
    const names = { namespace: 'n', group: '', service: 's', instanceId };
    const more = { addresses: [{ host: 'h', port: 1 }], zone: '', weight: 1, tags: [], metadata: {} };
    core.register(1, { ...names, ...more, version: { incarnation, counter: 1 } }, 0);
    watches.changed('n', '', 's', instanceId);
  };
  const flushed = (): string[] => {
    watches.flush();
    return told.map((events) =>
      events
        .splice(0)
        .map(({ changed }) => changed?.map((each) => each.instanceId))
        .join('; '),
    );
  };
  flushed();
  change(1, 'a');
  change(2, 'b');
  change(3, 'a');
  watches.flush();
  t.equal(told[0]![0], told[1]![0], 'the same object');
  t.equal(told[0]![0], told[2]![0]);
  t.not(told[0]![0], told[3]![0], 'a selector is its own');
  t.same(flushed(), ['a,b', 'a,b', 'a,b', 'a,b'], 'each place once');
  isOpen = false;
  change(4, 'c');
  t.same(flushed(), ['c', 'c', '', 'c']);
  change(5, 'd');
  isOpen = true;
  watches.resume(slow!);
  t.same(flushed(), ['d', 'd', 'c,d', 'd']);
  change(6, 'e');
  watches.flush();
  t.equal(told[0]![0], told[2]![0], 'it is as far as the others again');
  t.end();
});
