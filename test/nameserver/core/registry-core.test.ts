import fc from 'fast-check';
import t from 'tap';
import { ErrorCode, isTaskdError } from '../../../src/base/errors.js';
import { tickMs } from '../../../src/nameserver/core/live-time.js';
import { instancesMax } from '../../../src/nameserver/core/log-table.js';
import { coldMs } from '../../../src/nameserver/core/readiness.js';
import type { RegistryCore } from '../../../src/nameserver/core/registry-core.js';
import { beatMs, removalMs, sessionInstancesMax, suspectMs } from '../../../src/nameserver/core/sessions.js';
import { tombstoneMs } from '../../../src/nameserver/core/tombstones.js';
import { claimFrom } from '../../../src/nameserver/instance.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';
import { taskd } from '../../../src/wire/generated/messages.js';
import { claimOf as claim } from './core-cluster.js';
import { loneCore } from './lone-core.js';

const target = { namespace: 'n', group: '', service: 's', instanceId: 'a' };

function sequenceOf(core: RegistryCore): number {
  return core.viewState().revision[0]!.sequence;
}

function isCold(core: RegistryCore): boolean {
  return core.viewState().isCold;
}

/** Lets time pass as the driver does. */
function pass(core: RegistryCore, fromMs: number, toMs: number): void {
  for (let ms = fromMs; ms <= toMs; ms += tickMs) core.tick(ms, ms);
}

function healthOf(core: RegistryCore, id: string): string | undefined {
  return core.visible({ ...target, instanceId: id })?.health;
}

t.test('the same claim again changes nothing; a lower one is told what was seen', (t) => {
  const core = loneCore(0);
  core.register(1, claim('a', 10, 2), 0);
  t.same(core.takeEffects(), [{ kind: 'changed', ...target }]);
  core.register(1, claim('a', 10, 2), 0);
  t.same(core.takeEffects(), []);
  t.equal(sequenceOf(core), 1);
  t.throws(() => core.register(1, claim('a', 10, 1), 0), { code: ErrorCode.SUPERSEDED, hint: '10.2' });
  t.throws(() => core.register(2, claim('a', 10, 2), 0), { code: ErrorCode.SUPERSEDED }, 'equal, from someone else');
  t.equal(core.sessionCount, 1);
  t.end();
});

t.test('a higher version takes over; the late close of the old connection removes nothing', (t) => {
  const core = loneCore(0);
  core.register(1, claim('a', 10), 0);
  core.register(2, claim('a', 11), 100);
  t.same(core.beat(1, 100).superseded, [{ ...target, seen: { incarnation: 11, counter: 1 } }]);
  t.equal(core.beat(1, 100).superseded.length, 1, 'at each beat, since an answer may be lost');
  t.throws(() => core.register(1, claim('a', 10, 5), 100), { code: ErrorCode.SUPERSEDED });
  t.notOk(core.deregister(1, target, { incarnation: 10, counter: 5 }, 100), 'until it gives up, or registers above');
  t.same(core.beat(1, 100), { superseded: [], isFrozen: false, held: 0 });
  core.closed(1, 200);
  t.equal(healthOf(core, 'a'), 'up');
  pass(core, 500, 5_000);
  core.heard(2, 5_000);
  pass(core, 5_500, 19_000);
  t.equal(healthOf(core, 'a'), 'suspect');
  t.notOk(core.deregister(1, target, { incarnation: 10, counter: 1 }, 19_000), 'nor does its late deregistration');
  t.equal(core.instanceCount, 1);
  t.end();
});

t.test('silence: suspect at 9 s, marked, removed at 15 s with its connection', (t) => {
  const core = loneCore(0);
  core.register(1, claim('a', 1), 0);
  pass(core, 0, suspectMs - tickMs);
  t.equal(healthOf(core, 'a'), 'up');
  pass(core, suspectMs, removalMs - tickMs);
  t.equal(healthOf(core, 'a'), 'suspect');
  core.takeEffects();
  core.tick(removalMs, 0);
  t.equal(healthOf(core, 'a'), undefined);
  t.match(core.takeEffects(), [{ kind: 'changed' }, { kind: 'end', sessionId: 1 }]);
  t.equal(core.sessionCount, 0);
  t.end();
});

t.test('a closed connection: suspect at once, removed 15 s after the last frame', (t) => {
  const core = loneCore(0);
  core.register(1, claim('a', 1), 0);
  core.closed(1, 1_000);
  t.equal(healthOf(core, 'a'), 'suspect');
  pass(core, 1_000, removalMs - tickMs);
  t.equal(core.instanceCount, 1);
  core.tick(removalMs, 0);
  t.equal(core.instanceCount, 0);
  t.notOk(core.takeEffects().some(({ kind }) => kind === 'end'));
  t.end();
});

t.test('a frame at the last moment saves it', (t) => {
  const core = loneCore(0);
  core.register(1, claim('a', 1), 0);
  pass(core, 0, removalMs - tickMs);
  core.heard(1, removalMs - 1);
  t.equal(healthOf(core, 'a'), 'up');
  pass(core, removalMs, removalMs + suspectMs - tickMs);
  t.equal(healthOf(core, 'a'), 'up');
  t.end();
});

t.test('a pause of our own expires nobody, whichever comes first after it: the tick or the beats', (t) => {
  for (const beatsFirst of [false, true]) {
    for (const pauseMs of [2_000, 30_000, 200_000]) {
      const core = loneCore(0);
      for (let i = 0; i < 2; i++) core.register(i, claim(`i${i}`, 1), 0);
      pass(core, 0, 2_500);
      const awake = 2_500 + pauseMs;
      if (beatsFirst) for (let i = 0; i < 2; i++) core.heard(i, awake);
      core.tick(awake, 0);
      t.equal(healthOf(core, 'i1'), 'up', 'not even suspect');
      if (!beatsFirst) for (let i = 0; i < 2; i++) core.heard(i, awake + 1);
      t.equal(core.instanceCount, 2);
      pass(core, awake + tickMs, awake + suspectMs - 2 * tickMs);
      t.equal(healthOf(core, 'i1'), 'up');
      pass(core, awake + suspectMs, awake + removalMs + 2 * tickMs);
      t.equal(core.instanceCount, 0, 'and nobody lives longer for it');
    }
  }
  t.end();
});

t.test('after a pause even one whose time was up gets a beat to be heard', (t) => {
  const core = loneCore(0);
  core.register(1, claim('a', 1), 0);
  core.register(2, claim('b', 1), 0);
  pass(core, 0, removalMs - tickMs);
  const awake = removalMs - tickMs + 30_000;
  core.tick(awake, 0);
  core.heard(1, awake + 1);
  t.equal(healthOf(core, 'a'), 'up');
  t.equal(healthOf(core, 'b'), 'suspect');
  pass(core, awake + tickMs, awake + beatMs);
  t.equal(healthOf(core, 'b'), undefined);
  t.end();
});

t.test('a deregistration removes at once and keeps a late register out', (t) => {
  const core = loneCore(0);
  core.register(1, claim('a', 10), 0);
  t.ok(core.deregister(1, target, { incarnation: 10, counter: 1 }, 10));
  t.notOk(core.deregister(1, target, { incarnation: 10, counter: 1 }, 10));
  t.equal(core.instanceCount, 0);
  t.throws(() => core.register(2, claim('a', 10), 20), { code: ErrorCode.SUPERSEDED, hint: '10.1' });
  core.register(2, claim('a', 10, 2), 30);
  t.equal(core.instanceCount, 1, 'a new version is welcome');
  t.ok(core.deregister(2, target, { incarnation: 10, counter: 2 }, 40));
  pass(core, 500, tombstoneMs + 1_000);
  core.register(3, claim('a', 1), tombstoneMs + 1_000);
  t.equal(core.instanceCount, 1, 'the tombstone is gone after a minute');
  t.end();
});

t.test('cold for twice the removal time', (t) => {
  const core = loneCore(0);
  t.ok(isCold(core));
  pass(core, 0, coldMs - tickMs);
  t.ok(isCold(core));
  core.tick(coldMs, 0);
  t.notOk(isCold(core));
  t.end();
});

t.test('limits', (t) => {
  const core = loneCore(0);
  for (let i = 0; i < sessionInstancesMax; i++) core.register(1, claim(`i${i}`, 1), 0);
  t.throws(() => core.register(1, claim('more', 1), 0), { code: ErrorCode.QUOTA });
  core.register(1, claim('i1', 2), 0);
  for (let i = sessionInstancesMax; i < instancesMax; i++) core.register(2 + (i >> 9), claim(`i${i}`, 1), 0);
  t.throws(() => core.register(1_000_000, claim('more', 1), 0), { code: ErrorCode.QUOTA });
  t.equal(core.instanceCount, instancesMax);
  t.end();
});

/**
 * Clients that beat, fall silent, die, come back on another connection, deregister; a name server that stops now and
 * then. Promises: nobody whose frames arrive is removed, no zombie outlives its deadline, a watcher's picture built
 * from the effects is the registry's own.
 */
function simulate(seed: number): void {
  const random = new SeededRandom(seed);
  let nowMs = random.below(1_000_000);
  const core = loneCore(nowMs);
  interface Client {
    id: string;
    version: number;
    session: number;
    isBeating: boolean;
    isRegistered: boolean;
    nextBeatMs: number;
    /** Live time since its last frame: what our own pauses took is left out. */
    silentMs: number;
    /** What our pauses since then may add. */
    graceMs: number;
  }
  let sessions = 0;
  let incarnation = 1;
  const clients: Client[] = Array.from({ length: 8 }, (_, i) => ({
    id: `c${i}`,
    version: 0,
    session: 0,
    isBeating: false,
    isRegistered: false,
    nextBeatMs: 0,
    silentMs: 0,
    graceMs: 0,
  }));
  // Many who just live: a few who fall silent together are no mass.
  const steady = Array.from({ length: 40 }, (_, i) => 1_000_000 + i);
  for (const session of steady) core.register(session, claim(`k${session}`, 1), nowMs);
  let steadyBeatMs = nowMs;
  const picture = new Map<string, string>();
  const settle = (): void => {
    for (const effect of core.takeEffects()) {
      if (effect.kind !== 'changed') continue;
      const found = core.visible(effect);
      if (found === undefined) picture.delete(effect.instanceId);
      else picture.set(effect.instanceId, found.health);
    }
  };
  let nextTickMs = nowMs;
  for (let i = 0; i < 2_000; i++) {
    // Now and then the process stands still; a healthy client goes on beating and its frames wait.
    const pauseMs = random.below(200) === 0 ? random.below(120_000) : 0;
    const stepMs = 100 + pauseMs;
    nowMs += stepMs;
    for (const client of clients) {
      client.silentMs += 100;
      if (pauseMs > 0) client.graceMs += beatMs + tickMs;
    }
    const beats = (): void => {
      for (const client of clients) {
        if (!client.isBeating || client.nextBeatMs > nowMs) continue;
        client.nextBeatMs = nowMs + beatMs;
        client.silentMs = client.graceMs = 0;
        core.heard(client.session, nowMs);
      }
      if (steadyBeatMs > nowMs) return;
      steadyBeatMs = nowMs + beatMs;
      for (const session of steady) core.heard(session, nowMs);
    };
    const isTickFirst = random.below(2) === 0;
    if (!isTickFirst) beats();
    if (nowMs >= nextTickMs) {
      core.tick(nowMs, nowMs);
      nextTickMs = nowMs + tickMs;
    }
    if (isTickFirst) beats();

    const client = clients[random.below(clients.length)]!;
    const action = random.below(60);
    if (action < 3 || (action < 6 && !client.isBeating)) {
      // Comes (back): on a new connection, with a higher version.
      const old = client.session;
      client.session = ++sessions;
      client.version = ++incarnation;
      core.register(client.session, claim(client.id, client.version), nowMs);
      client.isBeating = client.isRegistered = true;
      client.nextBeatMs = nowMs + beatMs;
      client.silentMs = client.graceMs = 0;
      if (random.below(2) === 0) core.closed(old, nowMs);
    } else if (action === 6 && client.isRegistered) {
      client.isBeating = false; // dies without a word
    } else if (action === 7 && client.isRegistered) {
      client.isBeating = false;
      core.closed(client.session, nowMs);
    } else if (action === 8 && client.isRegistered && client.isBeating) {
      core.deregister(client.session, { ...target, instanceId: client.id }, claim('', client.version).version, nowMs);
      client.isRegistered = client.isBeating = false;
      if (healthOf(core, client.id) !== undefined) throw new Error('deregistered and still there');
    } else if (action === 9 && client.version > 1) {
      // A late repeat of an older register, from a connection of long ago.
      try {
        core.register(++sessions, claim(client.id, client.version - 1), nowMs);
        if (client.isRegistered && client.isBeating) throw new Error('an old version was taken');
        core.deregister(sessions, { ...target, instanceId: client.id }, claim('', client.version).version, nowMs);
      } catch (error) {
        if (!isTaskdError(error, ErrorCode.SUPERSEDED)) throw error;
      }
    }
    settle();
    for (const each of clients) {
      const health = healthOf(core, each.id);
      if (each.isBeating && each.isRegistered && health !== 'up') throw new Error(`${each.id} beats and is ${health}`);
      if (!each.isBeating && each.silentMs > removalMs + 2_000 + each.graceMs && health !== undefined) {
        throw new Error(`${each.id} is a zombie: silent for ${each.silentMs} ms`);
      }
      if (picture.get(each.id) !== health) throw new Error(`a watcher sees ${each.id} as ${picture.get(each.id)}`);
    }
  }
}

t.test('seeded lives', (t) => {
  for (let seed = 1; seed <= 40; seed++) {
    try {
      simulate(seed);
    } catch (error) {
      t.fail(`seed ${seed}: ${(error as Error).message}`);
    }
  }
  t.end();
});

t.test('random bytes as an instance are a claim or INVALID', (t) => {
  const names = fc.oneof(fc.string({ maxLength: 200 }), fc.constantFrom('a', 'b'));
  const message = fc.record(
    {
      namespace: names,
      service: names,
      instanceId: names,
      addresses: fc.array(fc.record({ host: fc.string(), port: fc.nat(100_000) }, { requiredKeys: [] })),
      zone: names,
      weight: fc.nat(100_000),
      tags: fc.array(fc.string()),
      metadata: fc.dictionary(fc.string(), fc.string()),
      version: fc.record({ incarnation: fc.maxSafeNat(), counter: fc.nat() }, { requiredKeys: [] }),
    },
    { requiredKeys: [] },
  );
  const check = (bytes: Uint8Array): boolean => {
    let decoded: taskd.Instance;
    try {
      decoded = taskd.Instance.decode(bytes);
    } catch {
      return true;
    }
    try {
      loneCore(0).register(1, claimFrom(decoded), 0);
      return true;
    } catch (error) {
      return isTaskdError(error, ErrorCode.INVALID);
    }
  };
  fc.assert(
    fc.property(message, (each) => check(taskd.Instance.encode(each).finish())),
    { numRuns: 1_000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), check), { numRuns: 2_000 });
  t.throws(() => claimFrom(undefined), /no instance/);
  t.end();
});
