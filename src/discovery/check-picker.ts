import { ErrorCode, TaskdError } from '../base/errors.js';
import type { Clock, Timer } from '../runtime/clock.js';
import { SeededRandom } from '../runtime/sim/seeded-random.js';
import type { Instance } from './instance.js';
import type { InstanceCandidate } from './instance-candidate.js';
import { type Candidate, isOpen, type Picker, usable } from './picker.js';
import type { PickerFactory } from './pickers/picker-names.js';

/** What a strategy promises besides the rules for all. */
export interface PickerTraits {
  /** Over many picks with many keys everyone usable gets some, and nobody far more than the others. Default true. */
  readonly spreads?: boolean;
  /** Who weighs more gets more. Default: as `spreads`. */
  readonly weighs?: boolean;
  /** While nothing changes and no call is in flight, equal keys go to the same candidate. Default false. */
  readonly holdsKeys?: boolean;
  /** The key is the id of the one to pick, who may be suspect; nobody else is picked. Default false. */
  readonly picksById?: boolean;
}

/** Time in the suite's hand; its timers never fire, as a picker has no need for any. */
class CheckClock implements Clock {
  ms = 0;

  monotonicMs(): number {
    return this.ms;
  }

  wallMs(): number {
    return 1_700_000_000_000 + Math.floor(this.ms);
  }

  timer(): Timer {
    return { cancel: () => {} };
  }

  defer(): void {}
}

/** A picker under test: every pick is held against the rules that hold for all of them. */
class Trial {
  readonly clock: CheckClock = new CheckClock();
  readonly random: SeededRandom;
  readonly #traits: PickerTraits;
  readonly #what: string;
  readonly #picker: Picker;

  constructor(make: PickerFactory, traits: PickerTraits, what: string, seed = 1) {
    this.#traits = traits;
    this.#what = `${what}, seed ${seed}`;
    this.random = new SeededRandom(seed);
    this.#picker = this.#call('making it', () => make({ random: new SeededRandom(seed + 1), clock: this.clock }));
  }

  pick(key: string | undefined, list: readonly Candidate[]): Candidate | undefined {
    for (const candidate of list) Object.freeze(candidate);
    Object.freeze(list);
    const picked = this.#call('pick', () => this.#picker.pick(key, list));
    this.#check(key, list, picked);
    return picked;
  }

  pickAll(list: readonly Candidate[]): void {
    const { pickAll } = this.#picker;
    if (pickAll === undefined) return;
    const all = this.#call('pickAll', () => pickAll.call(this.#picker, undefined, list));
    for (const each of all) {
      if (!list.includes(each)) this.fail(`pickAll gave ${nameOf(each)}, which is none of the list's own objects`);
      if (!isOpen(each)) this.fail(`pickAll gave ${each.id}, which is disabled or has no weight`);
    }
    if (new Set(all).size !== all.length) this.fail('pickAll gave somebody twice');
    if (this.#traits.picksById === true) return;
    if (all.length === 0 && usable(list).length > 0) this.fail('pickAll gave nobody, though somebody may be chosen');
  }

  done(id: string, latencyMs = 5, isOk = true): void {
    this.#call(`done("${id}")`, () => this.#picker.done?.(id, { latencyMs, isOk }));
  }

  /** A call that begins and ends well: who took it. */
  call(key: string | undefined, list: readonly Candidate[]): string {
    const picked = this.pick(key, list);
    this.clock.ms += 5;
    if (picked !== undefined) this.done(picked.id);
    return picked?.id ?? '';
  }

  fail(problem: string): never {
    throw new TaskdError(ErrorCode.INVALID, `the picker breaks a rule: ${problem} (${this.#what})`);
  }

  #call<T>(what: string, action: () => T): T {
    try {
      return action();
    } catch (error) {
      const isWrite = error instanceof TypeError && /read only|not extensible|delete property/.test(error.message);
      const hint = isWrite ? '; lists and candidates are frozen, a picker must not write to them' : '';
      return this.fail(`${what} threw "${error instanceof Error ? error.message : String(error)}"${hint}`);
    }
  }

  #check(key: string | undefined, list: readonly Candidate[], picked: Candidate | undefined): void {
    const open = usable(list);
    if (this.#traits.picksById === true) {
      const named = list.find((candidate) => candidate.id === key && isOpen(candidate));
      if (picked !== named) this.fail(`with the key "${key}" it picked ${nameOf(picked)}, not ${nameOf(named)}`);
      return;
    }
    if (picked === undefined) {
      if (open.length > 0) this.fail(`it picked nobody, though ${open.length} of ${list.length} may be chosen`);
      return;
    }
    if (!list.includes(picked)) this.fail(`it picked ${nameOf(picked)}, which is none of the list's own objects`);
    if (!isOpen(picked)) this.fail(`it picked ${picked.id}, which is disabled or has no weight`);
    if (!open.includes(picked)) this.fail(`it picked ${picked.id}, a suspect, though others are above suspicion`);
  }
}

type Rule = (make: PickerFactory, traits: PickerTraits) => void;

/**
 * Holds a picker to the rules of `Picker`; for tests of a program's own one, with any test runner. Throws INVALID with
 * the first rule that is broken, how, and under which seed. Candidates are `InstanceCandidate`s without metadata. `make` is called for each trial, with a seeded `random` and
 * a clock that stands still between calls; a picker that uses others is found out.
 *
 * Not checked, as it can't be seen from outside: that memory of those who left the list is given back.
 */
export function checkPicker(make: PickerFactory, traits: PickerTraits = {}): void {
  for (const rule of rules) rule(make, traits);
}

const checkFewAndNone: Rule = (make, traits) => {
  const trial = new Trial(make, traits, 'short lists');
  for (const key of [undefined, '', 'key']) trial.pick(key, []);
  const one = [candidate('c0')];
  for (let i = 0; i < 20; i++) trial.call(i % 2 === 0 ? 'c0' : undefined, one);
  for (const flags of [{ isDisabled: true }, { weight: 0 }, { isSuspect: true }]) {
    trial.call('c0', [candidate('c0', flags)]);
    trial.call('c1', [candidate('c0', flags), candidate('c1')]);
    trial.call('c1', [candidate('c0', flags), candidate('c1', flags), candidate('c2', flags)]);
  }
  trial.pickAll([]);
};

/** Lists that change under way, calls that end late, twice, or never, and ends of calls that nobody knows. */
const checkChanges: Rule = (make, traits) => {
  for (let seed = 1; seed <= 40; seed++) {
    const trial = new Trial(make, traits, 'changing lists', seed);
    const { random, clock } = trial;
    const running: string[] = [];
    let list = randomList(random);
    for (let step = 0; step < 250; step++) {
      const kind = random.below(10);
      if (kind === 0) list = random.below(4) === 0 ? list.map((each) => ({ ...each })) : randomList(random);
      else if (kind <= 2)
        trial.done(running[random.below(running.length + 1)] ?? 'nobody', random.below(100), kind === 1);
      else if (kind === 3) clock.ms += random.below(20) === 0 ? 86_400_000 : random.below(2_000);
      else if (kind === 4) trial.pickAll(Object.freeze(list));
      else {
        const key = random.below(4) === 0 ? undefined : `c${random.below(14)}`;
        const picked = trial.pick(key, list);
        if (picked !== undefined && running.length < 100) running.push(picked.id);
      }
    }
  }
};

const checkRepeatable: Rule = (make, traits) => {
  const run = (): string => {
    const trial = new Trial(make, traits, 'the same run twice', 7);
    const list = Array.from({ length: 30 }, (_, i) => candidate(`c${i}`, { weight: 1 + (i % 3) }));
    return Array.from({ length: 100 }, (_, i) => trial.call(`c${i % 30}`, list)).join(' ');
  };
  const first = run();
  if (run() !== first) {
    new Trial(make, traits, 'the same run twice', 7).fail(
      'with equal random numbers and times it picked differently: take both from what the factory is given',
    );
  }
};

const checkSpread: Rule = (make, traits) => {
  if (traits.picksById === true || traits.spreads === false) return;
  const trial = new Trial(make, traits, '20 equal candidates');
  const first = Array.from({ length: 20 }, (_, i) => candidate(`c${i}`));
  const then = [...first.slice(10), ...Array.from({ length: 10 }, (_, i) => candidate(`n${i}`))];
  const picks = 2_000;
  for (const list of [first, then]) {
    const by = count(picks, (i) => trial.call(`key ${i}`, list));
    const share = picks / list.length;
    for (const { id } of list) {
      const had = by.get(id) ?? 0;
      if (had === 0) trial.fail(`${id} got none of ${picks} picks`);
      if (had > 5 * share) trial.fail(`${id} got ${had} of ${picks} picks, its share being ${share}`);
    }
  }
};

const checkWeights: Rule = (make, traits) => {
  if (traits.picksById === true || !(traits.weighs ?? traits.spreads ?? true)) return;
  const trial = new Trial(make, traits, '10 of weight 1, 10 of weight 9');
  const list = Array.from({ length: 20 }, (_, i) => candidate(`c${i}`, { weight: i % 2 === 0 ? 1 : 9 }));
  const by = count(4_000, (i) => trial.call(`key ${i}`, list));
  let heavy = 0;
  for (const { id, weight } of list) if (weight === 9) heavy += by.get(id) ?? 0;
  if (heavy <= 2_400) trial.fail(`the heavy ones got only ${heavy} of 4000 picks`);
};

const checkKeys: Rule = (make, traits) => {
  if (traits.holdsKeys !== true) return;
  const trial = new Trial(make, traits, 'equal keys');
  const list = Array.from({ length: 50 }, (_, i) => candidate(`c${i}`));
  const before = new Map(Array.from({ length: 200 }, (_, i) => [`key ${i}`, trial.call(`key ${i}`, list)]));
  const again = list.map((each) => ({ ...each }));
  // In another order, so that going around doesn't meet them again by chance.
  for (const [key, id] of [...before].reverse()) {
    const now = trial.call(key, again);
    if (now !== id) trial.fail(`"${key}" went to ${id}, then to ${now}, and nothing had changed`);
  }
};

const checkMany: Rule = (make, traits) => {
  const trial = new Trial(make, traits, '1000 candidates');
  const list = Array.from({ length: 1_000 }, (_, i) => candidate(`c${i}`, { weight: 1 + (i % 100) }));
  for (let i = 0; i < 200; i++) trial.call(`c${i * 5}`, list);
};

const rules: readonly Rule[] = [
  checkFewAndNone,
  checkChanges,
  checkRepeatable,
  checkSpread,
  checkWeights,
  checkKeys,
  checkMany,
];

/** As a `Service` gives it, without metadata and tags. */
function candidate(id: string, more: Partial<Candidate> = {}): InstanceCandidate {
  const { weight = 1, zone = '', isSuspect = false, isDisabled = false } = more;
  const instance: Instance = {
    namespace: 'taskd',
    group: '',
    service: 'checked',
    instanceId: id,
    addresses: [{ host: 'localhost', port: 1 }],
    zone,
    weight,
    tags: [],
    metadata: {},
    incarnation: 1,
    health: isDisabled ? 'disabled' : isSuspect ? 'suspect' : 'up',
  };
  return { id, weight, isSuspect, ...more, instance };
}

function randomList(random: SeededRandom): Candidate[] {
  const list: Candidate[] = [];
  const flagged = random.below(4);
  for (let i = 0; i < 12; i++) {
    if (random.below(3) === 0) continue;
    const isFlagged = (): boolean => flagged > 0 && random.below(4) < flagged;
    const zone = `z${random.below(3)}`;
    const weight = random.below(10) === 0 ? 0 : 1 + random.below(200);
    list.push(candidate(`c${i}`, { weight, zone, isSuspect: isFlagged(), isDisabled: isFlagged() }));
  }
  return list;
}

function count(times: number, pick: (i: number) => string): Map<string, number> {
  const by = new Map<string, number>();
  for (let i = 0; i < times; i++) {
    const id = pick(i);
    by.set(id, (by.get(id) ?? 0) + 1);
  }
  return by;
}

/** A picker that was written without types may give anything. */
function nameOf(candidate: Candidate | null | undefined): string {
  if (candidate === undefined) return 'nobody';
  return candidate?.id === undefined ? String(candidate) : `"${candidate.id}"`;
}
