import t from 'tap';
import { ErrorCode, TaskdError } from '../../src/base/errors.js';
import { AskOrder } from '../../src/discovery/ask-order.js';
import type { Instance } from '../../src/discovery/instance.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';
import { ManualClock } from '../support/manual-clock.js';

const instances = (count: number, healthOf: (i: number) => string = () => 'up'): Instance[] =>
  Array.from({ length: count }, (_, i) => ({
    namespace: 'taskd',
    service: 'taskd.broker',
    instanceId: `b${i}`,
    addresses: [{ host: 'h', port: i }],
    zone: '',
    weight: 100,
    tags: [],
    metadata: {},
    incarnation: 1,
    health: healthOf(i) as 'up',
  })) as unknown as Instance[];

const ports = (order: AskOrder, list: readonly Instance[]): number[] => order.of(list).map(({ port }) => port);

t.test('each question begins with another one, and has all the others behind it', (t) => {
  const order = new AskOrder(new SeededRandom(1), new ManualClock());
  const list = instances(4);
  const orders = Array.from({ length: 8 }, () => ports(order, list));
  for (const each of orders) t.same([...each].sort(), [0, 1, 2, 3]);
  const firsts = orders.map(([first]) => first);
  t.equal(new Set(firsts.slice(0, 4)).size, 4);
  t.same(firsts.slice(4), firsts.slice(0, 4));
  t.same(ports(order, []), []);
  t.end();
});

t.test('suspects and those who fail come last, and are not left out; the disabled are', (t) => {
  const clock = new ManualClock();
  const order = new AskOrder(new SeededRandom(1), clock);
  const list = instances(6, (i) => ['up', 'suspect', 'disabled', 'draining', 'up', 'up'][i]!);
  for (let i = 0; i < 6; i++) {
    const each = ports(order, list);
    t.same([...each].sort(), [0, 1, 4, 5]);
    t.equal(each[3], 1);
  }
  const at = { host: 'h', port: 4 };
  for (let i = 0; i < 9; i++) order.told(at, new TaskdError(ErrorCode.NOT_OWNER, 'somebody else'));
  t.ok(new Set(Array.from({ length: 9 }, () => ports(order, list)[0])).has(4), 'an answer is an answer');
  for (let i = 0; i < 5; i++) order.told(at, new TaskdError(ErrorCode.NOT_SENT, 'nobody there'));
  for (let i = 0; i < 6; i++) t.same(ports(order, list).slice(2), [1, 4]);
  clock.ms += 30_000;
  t.ok(new Set(Array.from({ length: 9 }, () => ports(order, list)[0])).has(4), 'and is tried again');
  order.told({ host: 'elsewhere', port: 1 });
  t.end();
});
