import t from 'tap';
import { Balancer } from '../../src/discovery/balancer.js';
import { checkPicker, type PickerTraits } from '../../src/discovery/check-picker.js';
import type { InstanceCandidate } from '../../src/discovery/instance-candidate.js';
import { type Candidate, type Picker, usable } from '../../src/discovery/picker.js';
import { type PickerFactory, pickerNamed, pickerNames } from '../../src/discovery/pickers/picker-names.js';

const traits: Record<string, PickerTraits> = {
  'consistent-hash': { holdsKeys: true },
  specified: { picksById: true },
  failover: { spreads: false },
  broadcast: { weighs: false },
};

/** Panic and ejection choose whom the rules for a bare picker forbid. */
const withoutHealth = { panicBelow: 0, outliers: { errorsInRow: 0 } };

t.test('all of ours keep the rules, alone and behind a balancer', (t) => {
  for (const name of pickerNames()) {
    t.doesNotThrow(() => checkPicker((deps) => pickerNamed(name, deps), traits[name]), name);
    t.doesNotThrow(
      () => checkPicker((deps) => new Balancer(pickerNamed(name, deps), deps.clock, withoutHealth), traits[name]),
      `${name} behind a balancer`,
    );
  }
  t.doesNotThrow(
    () => checkPicker((deps) => pickerNamed('zone-first', { ...deps, callers: { zone: 'z1' } })),
    'zone-first with a zone',
  );
  t.end();
});

/** A round robin over usable candidates, to be broken. */
class Plain implements Picker {
  next = 0;

  pick<C extends Candidate>(_key: string | undefined, candidates: readonly C[]): C | undefined {
    const from = usable(candidates);
    return from[this.next++ % Math.max(1, from.length)];
  }
}

t.test("the documentation's own picker keeps the rules", (t) => {
  class Cheapest implements Picker {
    pick<C extends Candidate>(_key: string | undefined, candidates: readonly C[]): C | undefined {
      const price = (each: C): number =>
        Number((each as unknown as InstanceCandidate).instance.metadata['price'] ?? Number.POSITIVE_INFINITY);
      return usable(candidates).reduce<C | undefined>(
        (best, each) => (best !== undefined && price(best) <= price(each) ? best : each),
        undefined,
      );
    }
  }
  t.doesNotThrow(() => checkPicker(() => new Cheapest(), { spreads: false }));
  t.end();
});

const unweighted: PickerTraits = { weighs: false };

t.test('what is broken is told', (t) => {
  const broken = (what: string, message: RegExp, make: PickerFactory, with_: PickerTraits = unweighted): void => {
    t.throws(() => checkPicker(make, with_), { message, codeName: 'INVALID' }, what);
  };
  t.doesNotThrow(() => checkPicker(() => new Plain(), unweighted));
  broken('no weights', /heavy ones got only/, () => new Plain(), {});
  broken('the first one always', /c0 got 2000 of 2000 picks/, () => ({ pick: (_, list) => usable(list)[0] }));
  broken('disabled ones', /is disabled/, () => ({ pick: (_, list) => list[0] }));
  broken('suspects among others', /a suspect, though others/, () => ({
    pick: (_, list) => list.find(({ isDisabled, weight }) => isDisabled !== true && weight > 0),
  }));
  broken('nobody at times', /picked nobody, though/, () => {
    const plain = new Plain();
    let picks = 0;
    return { pick: (key, list) => (picks++ % 50 === 49 ? undefined : plain.pick(key, list)) };
  });
  broken('null for nobody', /it picked null, which is none/, () => ({ pick: () => null as unknown as undefined }));
  broken('copies', /none of the list's own objects/, () => {
    const plain = new Plain();
    return {
      pick<C extends Candidate>(key: string | undefined, list: readonly C[]): C | undefined {
        const picked = plain.pick(key, list);
        return picked && { ...picked };
      },
    };
  });
  broken('one of an earlier list', /none of the list's own objects|is disabled|a suspect/, () => {
    let kept: readonly Candidate[] = [];
    const plain = new Plain();
    return {
      pick<C extends Candidate>(key: string | undefined, list: readonly C[]): C | undefined {
        if (kept.length !== list.length) kept = list;
        return plain.pick(key, kept as readonly C[]);
      },
    };
  });
  broken('numbers of its own', /with equal random numbers/, () => ({
    pick: (_, list) => usable(list)[Math.floor(Math.random() * usable(list).length)],
  }));
  broken('writes to the list', /must not write/, () => {
    const plain = new Plain();
    return {
      pick<C extends Candidate>(key: string | undefined, list: readonly C[]): C | undefined {
        (list as C[]).sort((a, b) => (a.id < b.id ? -1 : 1));
        return plain.pick(key, list);
      },
    };
  });
  broken('throws for unknown ids', /done\("nobody"\) threw/, () => {
    const plain = new Plain();
    return {
      pick: (key, list) => plain.pick(key, list),
      done(id) {
        if (id === 'nobody') throw new Error('who?');
      },
    };
  });
  broken('loses keys', /and nothing had changed/, () => new Plain(), { weighs: false, holdsKeys: true });
  broken('not the one named', /with the key .* it picked/, () => ({ pick: (_, list) => usable(list)[0] }), {
    picksById: true,
  });
  broken('a broadcast to the disabled', /pickAll gave .* disabled/, () => {
    const plain = new Plain();
    return { pick: (key, list) => plain.pick(key, list), pickAll: (_, list) => list };
  });
  t.end();
});
