import t from 'tap';
import { firstWaitMs, ServerOrder, waitMsMax } from '../../src/discovery/server-order.js';
import { SeededRandom } from '../../src/runtime/sim/seeded-random.js';

t.test('the first try is at once, at any of the servers', (t) => {
  const counts = [0, 0, 0, 0];
  for (let seed = 1; seed <= 400; seed++) {
    const { server, waitMs } = new ServerOrder(4, new SeededRandom(seed)).next(0);
    t.equal(waitMs, 0);
    counts[server]!++;
  }
  for (const count of counts) t.ok(count > 60 && count < 140, `${counts}`);
  t.end();
});

t.test('rounds: each server once, the one that was left last, waits that grow and never exceed their limit', (t) => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = new SeededRandom(seed);
    const count = 1 + random.below(7);
    const order = new ServerOrder(count, random);
    let nowMs = 0;
    let left: number | undefined;
    let vain = 0;
    let isFresh = true;
    for (let round = 0; round < 12; round++) {
      const asked: number[] = [];
      let isReached = false;
      while (asked.length < count && !isReached) {
        const { server, waitMs } = order.next(nowMs);
        if (asked.includes(server)) t.fail(`seed ${seed}: server ${server} twice in a round`);
        if (waitMs < 0 || waitMs > Math.min(waitMsMax, firstWaitMs * 2 ** vain)) t.fail(`seed ${seed}: ${waitMs} ms`);
        if (isFresh && left === server && asked.length < count - 1) t.fail(`seed ${seed}: back to the one just left`);
        asked.push(server);
        nowMs += waitMs;
        isReached = random.below(2 * count) === 0;
        if (isReached) {
          order.reached(server, nowMs);
          nowMs += 10_000 + random.below(50_000);
          order.lost(server, nowMs);
          left = server;
          vain = 0;
        } else if (order.failed(server, nowMs) !== (asked.length === count)) {
          t.fail(`seed ${seed}: a round ends when all were asked`);
        }
      }
      isFresh = isReached;
      if (!isReached) vain++;
    }
  }
  t.end();
});

t.test('those that failed a short while ago are asked after those that didn’t', (t) => {
  for (let seed = 1; seed <= 50; seed++) {
    const order = new ServerOrder(4, new SeededRandom(seed));
    const first = order.next(0).server;
    order.failed(first, 0);
    const second = order.next(0).server;
    order.reached(second, 100);
    order.lost(second, 20_000);
    const round = [1, 2, 3, 4].map(() => order.next(20_000).server);
    t.same(round.slice(2), [first, second]);
    order.reached(round[0]!, 20_000);
    order.lost(round[0]!, 60_000);
    t.equal([1, 2, 3, 4].map(() => order.next(60_000).server)[3], round[0], 'half a minute later it is like others');
  }
  t.end();
});

t.test('sessions that end at once: the first one costs nothing, later ones wait longer', (t) => {
  const order = new ServerOrder(1, new SeededRandom(1));
  let nowMs = 0;
  const waits: number[] = [];
  for (let i = 0; i < 40; i++) {
    const { waitMs } = order.next(nowMs);
    waits.push(waitMs);
    nowMs += waitMs;
    order.reached(0, nowMs);
    order.lost(0, (nowMs += 10));
  }
  t.ok(waits[1]! <= firstWaitMs);
  t.ok(Math.max(...waits.slice(10)) > 2_000);
  t.ok(Math.max(...waits) <= waitMsMax);
  order.next(nowMs);
  order.reached(0, nowMs);
  order.lost(0, nowMs + 20_000);
  for (let i = 0; i < 20; i++) t.ok(order.next(nowMs).waitMs <= firstWaitMs, 'after a useful one all is as at first');
  t.end();
});

t.test('others: all but one', (t) => {
  const order = new ServerOrder(5, new SeededRandom(3));
  for (let i = 0; i < 20; i++) t.same(order.others(2).sort(), [0, 1, 3, 4]);
  t.same(new ServerOrder(1, new SeededRandom(3)).others(0), []);
  t.end();
});
