import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { parseStaticInstances, readStaticInstances } from '../../src/cli/static-instances.js';

const whole = `
- service: db
  id: db-1
  addresses: [10.0.0.1:5432, "[::1]:5432"]
  zone: a
  weight: 7
  tags: [primary]
  metadata: { engine: postgres }
- { service: db, id: db-2, addresses: ["10.0.0.2:5432"], namespace: shop, group: blue }
`;

t.test('instances in a file', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'taskd-static-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'static.yaml');
  writeFileSync(path, whole);
  t.strictSame(readStaticInstances(path), [
    {
      namespace: 'taskd',
      group: '',
      service: 'db',
      instanceId: 'db-1',
      addresses: [
        { host: '10.0.0.1', port: 5432 },
        { host: '::1', port: 5432 },
      ],
      zone: 'a',
      weight: 7,
      tags: ['primary'],
      metadata: { engine: 'postgres' },
      version: { incarnation: 0, counter: 0 },
    },
    {
      namespace: 'shop',
      group: 'blue',
      service: 'db',
      instanceId: 'db-2',
      addresses: [{ host: '10.0.0.2', port: 5432 }],
      zone: '',
      weight: 100,
      tags: [],
      metadata: {},
      version: { incarnation: 0, counter: 0 },
    },
  ]);
  t.same(parseStaticInstances('', 'f'), []);
  t.end();
});

t.test('what is wrong is named with its place', (t) => {
  const cases: [string, RegExp][] = [
    ['- {', /f is not YAML/],
    ['a: 1', /f, the file: /],
    ['- { service: s, id: i, addresses: [here] }', /f, instance 1 addresses.0: "here" is not host:port/],
    ['- { service: s, id: i, addresses: [] }', /f, instance 1: an instance has 1 to 8 addresses/],
    [
      '- { service: s, id: "a b", addresses: ["h:1"] }',
      /f, instance 1: a instance id has|f, instance 1: an? instance id/,
    ],
    ['- { service: s, id: i, addresses: ["h:1"], weight: 20000 }', /f, instance 1: a weight is 1 to/],
    ['- { service: s, id: i, addresses: ["h:1"], colour: red }', /f, instance 1.*colour/],
    ['- &a { service: s, id: i, addresses: ["h:1"] }\n- *a', /f: static instance i of s is there twice/],
  ];
  for (const [text, message] of cases) {
    t.throws(() => parseStaticInstances(text, 'f'), { code: ErrorCode.INVALID, message }, text);
  }
  t.throws(() => readStaticInstances('/nowhere/f'), { code: ErrorCode.INVALID, message: /ENOENT/ });
  t.end();
});
