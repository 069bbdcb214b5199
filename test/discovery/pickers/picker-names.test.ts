import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { Balancer } from '../../../src/discovery/balancer.js';
import type { Candidate, Picker } from '../../../src/discovery/picker.js';
import {
  type PickerDeps,
  pickerNamed,
  pickerNames,
  registerPicker,
} from '../../../src/discovery/pickers/picker-names.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';
import { ManualClock } from '../../support/manual-clock.js';

const deps = (): PickerDeps => ({ random: new SeededRandom(1), clock: new ManualClock() });

t.test('an unknown name is told with the known ones', (t) => {
  t.throws(() => pickerNamed('p3c', deps()), {
    codeName: 'INVALID',
    message:
      'there is no picker "p3c"; known are broadcast, consistent-hash, failover, least-active, least-dispatched, p2c, ' +
      'random, round-robin, specified, zone-first. registerPicker makes your own known',
  });
  t.throws(() => pickerNamed('__proto__', deps()), /no picker/);
  t.throws(() => pickerNamed('', deps()), /no picker/);
  t.end();
});

t.test("a program's own picker", (t) => {
  const first: Picker = { pick: (_, list) => list[0] };
  registerPicker('always-first', () => first);
  t.equal(pickerNamed('always-first', deps()), first);
  t.ok(pickerNames().includes('always-first'));
  t.throws(() => registerPicker('always-first', () => first), { message: /another name/, codeName: 'ALREADY_EXISTS' });
  t.throws(() => registerPicker('p2c', () => first), { message: /another name/, codeName: 'ALREADY_EXISTS' });
  for (const name of ['', 'First', 'a b', '1st', 'x'.repeat(65)]) {
    t.throws(() => registerPicker(name, () => first), { message: /picker/, codeName: 'INVALID' });
  }
  t.end();
});

t.test('what is known of those who left is given back', (t) => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  const used = (): number => {
    gc();
    return process.memoryUsage().heapUsed;
  };
  for (const name of pickerNames()) {
    const { random, clock } = deps();
    const picker = new Balancer(pickerNamed(name, { random, clock, callers: { zone: 'z1' } }), clock);
    let calls = 0;
    const round = (): void => {
      // Long ids in flat memory: one that is kept is seen.
      const list: Candidate[] = Array.from({ length: 200 }, (_, i) => ({
        id: Buffer.alloc(2_000, `${calls}-${i}.`).toString('latin1'),
        weight: 1,
        isSuspect: false,
        zone: `z${i % 3}`,
      }));
      for (let i = 0; i < 400; i++, calls++) {
        const picked = picker.pick(i % 2 === 0 ? list[i >> 1]!.id : undefined, list);
        if (picked !== undefined && i % 3 > 0) picker.done(picked.id, { latencyMs: 1, isOk: i % 4 === 0 });
      }
    };
    round();
    const before = used();
    for (let i = 0; i < 50; i++) round();
    const grown = used() - before;
    // All ids of 50 rounds would be 20 MB.
    t.ok(grown < 2_000_000, `${name}: ${grown} bytes more`);
  }
  t.end();
});
