import fc from 'fast-check';
import t from 'tap';
import { ErrorCode, Retry, type TaskdError } from '../../src/base/errors.js';
import { ClientQuota, noQuota } from '../../src/broker/client-quota.js';
import { FetchQuota, type Metered } from '../../src/broker/fetch-quota.js';
import { Timers } from '../../src/timer/timers.js';
import { ManualClock } from '../support/manual-clock.js';

const rate = 1_000;
const rates = { perClient: rate, clients: new Map() };

/** A quota whose fetches bring what they are told to: at once, or when `finish` is called. */
class Rig {
  readonly clock = new ManualClock();
  readonly rates: ClientQuota;
  readonly quota: FetchQuota<FakeFetch>;
  readonly reading: FakeFetch[] = [];
  answered: FakeFetch[] = [];
  bytes = 0;

  constructor(limits: typeof noQuota = rates) {
    this.rates = new ClientQuota(limits, 'fetch quota');
    this.quota = new FetchQuota(this.rates, new Timers(this.clock), this.clock, (fetch) => {
      if (fetch.isCold) this.reading.push(fetch);
      else this.finish(fetch);
    });
  }

  ask(fields: Partial<FakeFetch> & { readonly clientId?: string; readonly deadlineMs?: number } = {}): FakeFetch {
    const { clientId = 'a', deadlineMs = 30_000, ...rest } = fields;
    const dueMs = this.clock.monotonicMs() + deadlineMs;
    const call = {
      peer: { clientId },
      isCancelled: false,
      remainingMs: () => dueMs - this.clock.monotonicMs(),
      fail: (error: TaskdError) => {
        fetch.error = error;
      },
    };
    const fetch: FakeFetch = {
      call: call as unknown as Metered['call'],
      bytesMax: 500,
      brings: 500,
      isCold: false,
      error: undefined,
      reserved: 0,
      ...rest,
    };
    this.quota.admit(fetch);
    return fetch;
  }

  finish(fetch: FakeFetch): void {
    this.quota.settle(fetch, fetch.brings);
    this.bytes += fetch.brings;
    this.answered.push(fetch);
  }
}

interface FakeFetch extends Metered {
  readonly brings: number;
  readonly isCold: boolean;
  error: TaskdError | undefined;
}

t.test('fetches that come at once are answered at the rate, in order', async (t) => {
  const rig = new Rig();
  const asked = Array.from({ length: 20 }, () => rig.ask());
  for (let second = 1; second <= 20; second++) {
    t.ok(rig.bytes <= rate * second + 500, `${rig.bytes} bytes in second ${second}`);
    await rig.clock.advance(1_000);
  }
  t.same(rig.answered, asked);
  t.equal(rig.rates.throttled, 17, 'all but three were late');
});

t.test('what is still being read counts, and is given back where it brings nothing', async (t) => {
  const rig = new Rig();
  for (let i = 0; i < 10; i++) rig.ask({ isCold: true, brings: 0 });
  t.equal(rig.reading.length, 3, 'a second of it at once, and one more');
  for (const fetch of rig.reading.splice(0)) rig.finish(fetch);
  await rig.clock.advance(600);
  t.equal(rig.reading.length, 3, 'those that brought nothing cost nothing');
});

t.test('BUSY with when to come back: for who has less time than that, and beyond what may wait', async (t) => {
  const rig = new Rig();
  rig.ask({ brings: 11_000 });
  const hasty = rig.ask({ deadlineMs: 9_000 });
  t.match(hasty.error, {
    code: ErrorCode.BUSY,
    retry: Retry.AFTER,
    message: /"a" .* 1000 bytes a second \(fetch quota\)/,
  });
  t.equal(hasty.error?.retryAfterMs, 10_001);
  const patient = rig.ask({ deadlineMs: 15_000 });
  const crowd = Array.from({ length: 300 }, () => rig.ask({ deadlineMs: 15_000 }));
  t.equal(crowd.filter(({ error }) => error !== undefined).length, 300 - 255);
  t.equal(rig.ask({ clientId: 'b' }).error, undefined, 'clients do not share');
  await rig.clock.advance(20_000);
  t.ok(rig.answered.includes(patient));
  const some = crowd.filter((fetch) => rig.answered.includes(fetch));
  t.ok(some.length >= 8 && some.length <= 12, `${some.length} had their turn before their deadline`);
  t.ok(
    crowd.every((fetch) => some.includes(fetch) !== (fetch.error !== undefined)),
    'each is answered or refused',
  );
});

t.test('without a quota nothing waits; at the end nobody does', async (t) => {
  const free = new Rig(noQuota);
  for (let i = 0; i < 100; i++) free.ask({ brings: 1_000_000 });
  t.equal(free.answered.length, 100);
  const rig = new Rig();
  for (let i = 0; i < 10; i++) rig.ask();
  rig.quota.stop();
  rig.ask();
  t.equal(rig.answered.length, 11);
});

t.test('however fetches come, a client has at most its rate, one second more, and the last answer', async () => {
  const step = fc.record({ gapMs: fc.nat(400), brings: fc.nat(500), isCold: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 50 }), async (steps) => {
      const rig = new Rig();
      const beganMs = rig.clock.monotonicMs();
      for (const { gapMs, ...fetch } of steps) {
        rig.ask(fetch);
        if (gapMs % 3 === 0) for (const each of rig.reading.splice(0)) rig.finish(each);
        await rig.clock.advance(gapMs);
        const most = rate * (1 + (rig.clock.monotonicMs() - beganMs) / 1_000) + 501;
        if (rig.bytes > most) return false;
      }
      return true;
    }),
    { numRuns: 30 },
  );
});
