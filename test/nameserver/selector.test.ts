import fc from 'fast-check';
import t from 'tap';
import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import type { InstanceClaim } from '../../src/nameserver/instance.js';
import { Selector, selectorBytesMax, selectorTermsMax } from '../../src/nameserver/selector.js';

const claim: InstanceClaim = {
  namespace: 'n',
  group: '',
  service: 's',
  instanceId: 'i',
  addresses: [{ host: 'h', port: 1 }],
  zone: 'a',
  weight: 100,
  tags: ['gpu', 'big'],
  metadata: { version: '2', 'build.os/arch': 'linux-x64', empty: '' },
  version: { incarnation: 1, counter: 1 },
};

const matches = (text: string, of: InstanceClaim = claim): boolean => Selector.parse(text)!.matches(of);

t.test('what each form holds for', (t) => {
  const table: [string, boolean][] = [
    ['tag=gpu', true],
    ['tag = big', true],
    ['tag=cpu', false],
    ['tag!=gpu', false],
    ['tag!=cpu', true],
    ['tag in (cpu, gpu)', true],
    ['tag', true],
    ['!tag', false],
    ['zone in (a,b)', true],
    ['zone in ( b )', false],
    ['zone', true],
    ['zone!=a', false],
    ['version=2', true],
    ['version!=2', false],
    ['version != 3', true],
    ['stage!=live', true],
    ['stage=live', false],
    ['stage', false],
    ['!stage', true],
    ['empty', true],
    ['!empty', false],
    ['build.os/arch=linux-x64', true],
    ['constructor', false],
    ['!toString', true],
    ['tag=gpu,zone in (a,b),version!=3,!canary', true],
    ['tag=gpu,zone in (a,b),version!=2,!canary', false],
    ['in in (in)', false],
  ];
  for (const [text, expected] of table) t.equal(matches(text), expected, text);
  const bare = { ...claim, zone: '', tags: [], metadata: {} };
  t.notOk(matches('zone', bare));
  t.ok(matches('!zone', bare));
  t.ok(matches('!tag', bare));
  t.equal(Selector.parse(''), undefined);
  t.equal(Selector.parse('  '), undefined);
  t.end();
});

t.test('what is no selector is refused with the term and what to write', (t) => {
  for (const text of [
    ',',
    'a,',
    'a=',
    '=a',
    'a==b',
    'a in',
    'a in ()',
    'a in (b',
    'a in b',
    'a in (b,)',
    '!',
    '!!a',
    '!a=b',
    'a b',
    'a=b c',
    'ä=b',
    'a=(b)',
  ]) {
    t.throws(() => Selector.parse(text), { code: ErrorCode.INVALID, message: /write key=value/ }, text);
  }
  const long = `a=${'b'.repeat(128)},c=${'d'.repeat(128)}`;
  t.throws(() => Selector.parse(long), { code: ErrorCode.QUOTA, message: new RegExp(`${selectorBytesMax} bytes`) });
  const many = Array.from({ length: selectorTermsMax + 1 }, (_, i) => `k${i}`).join();
  t.throws(() => Selector.parse(many), { code: ErrorCode.QUOTA, message: new RegExp(`${selectorTermsMax} terms`) });
  t.ok(Selector.parse(many.slice(0, many.lastIndexOf(','))));
  t.end();
});

t.test('random text is parsed or refused, never anything else', (t) => {
  const alphabet = fc.constantFrom(...'ab=!,() in', '\0', 'é');
  const text = fc.oneof(fc.string({ unit: alphabet, maxLength: 40 }), fc.string({ maxLength: 400 }));
  fc.assert(
    fc.property(text, (text) => {
      try {
        Selector.parse(text)?.matches(claim);
      } catch (error) {
        if (!isTaskdError(error, ErrorCode.INVALID, ErrorCode.QUOTA)) throw error;
      }
    }),
    { numRuns: 5_000 },
  );
  t.end();
});

t.test('a selector means the conjunction of its terms', (t) => {
  const key = fc.constantFrom('tag', 'zone', 'x', 'y');
  const value = fc.constantFrom('1', '2', '3');
  const term = fc.oneof(
    fc.tuple(key, value).map(([k, v]) => `${k}=${v}`),
    fc.tuple(key, value).map(([k, v]) => `${k} != ${v}`),
    fc.tuple(key, fc.array(value, { minLength: 1, maxLength: 3 })).map(([k, v]) => `${k} in (${v})`),
    key,
    key.map((k) => `!${k}`),
  );
  const some = fc.record({
    zone: fc.oneof(fc.constant(''), value),
    tags: fc.array(value, { maxLength: 2 }),
    metadata: fc.record({ x: value, y: value }, { requiredKeys: [] }) as fc.Arbitrary<Record<string, string>>,
  });
  fc.assert(
    fc.property(fc.array(term, { minLength: 1, maxLength: 5 }), some, (terms, fields) => {
      const instance = { ...claim, ...fields };
      return matches(terms.join(), instance) === terms.every((each) => matches(each, instance));
    }),
  );
  // A key and its opposite never agree.
  fc.assert(
    fc.property(key, value, some, (k, v, fields) => {
      const instance = { ...claim, ...fields };
      return (
        matches(`${k}=${v}`, instance) !== matches(`${k}!=${v}`, instance) &&
        matches(k, instance) !== matches(`!${k}`, instance)
      );
    }),
  );
  t.end();
});
