import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/logger.js';
import type { InstanceKey } from '../../src/nameserver/core/instance-key.js';
import { NodeFolder } from '../../src/nameserver/node-folder.js';
import { OverrideStore } from '../../src/nameserver/override-store.js';
import { FileError } from '../../src/runtime/files.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { TracedFiles } from '../support/traced-files.js';

const target = (id: number): InstanceKey => ({ namespace: 'n', group: '', service: 's', instanceId: `i${id}` });

const said = { modeAtMs: 5, modeNodeId: 'n3' };

interface Node {
  readonly files: TracedFiles;
  readonly store: OverrideStore;
  /** What it did, in order. */
  readonly told: string[];
  /** Frames that wait to be carried to the others. */
  readonly sent: { readonly to: string; readonly frame: taskd.PeerFrame }[];
}

async function open(nodeId: string, files: TracedFiles = new TracedFiles(new Map())): Promise<Node> {
  const folder = await NodeFolder.open({ files, logger: silentLogger } as unknown as Runtime, '/ns');
  const told: string[] = [];
  const sent: Node['sent'] = [];
  const store = new OverrideStore(folder, silentLogger, nodeId, {
    changed: ({ instanceId }) => told.push(instanceId),
    send: (to, body) => {
      const frame = taskd.PeerFrame.decode(taskd.PeerFrame.encode({ ...body, sender: nodeId }).finish());
      told.push(`send ${files.trace.length}`);
      sent.push({ to, frame });
    },
  });
  return { files, store, told, sent };
}

/** Carries what waits between the two until nothing does; returns the number of frames. */
function carry(one: Node, two: Node): number {
  let frames = 0;
  while (one.sent.length + two.sent.length > 0) {
    for (const [from, to] of [[one, two] as const, [two, one] as const]) {
      for (const { frame } of from.sent.splice(0)) {
        frames++;
        if (frame.overridesPull) to.store.answerPull(frame.sender);
        if (frame.overrides) to.store.receive(frame.overrides);
      }
    }
  }
  return frames;
}

t.test('disk first, then peers, then watchers; it survives a restart', async (t) => {
  const one = await open('n1');
  const before = one.files.trace.length;
  const override = await one.store.set(target(1), { mode: 'disabled' }, 1_000);
  t.match(override, { mode: 'disabled', weight: 0, modeSet: { atMs: 1_000, nodeId: 'n1' }, weightSet: { atMs: 0 } });
  t.equal(one.told.length, 2);
  t.ok(Number(one.told[0]!.split(' ')[1]) > before, 'sent after it was on disk');
  t.equal(one.told[1], 'i1');
  const again = await open('n1', one.files);
  t.match(again.store.overrides.find(target(1)), { mode: 'disabled' });
  t.same(again.store.overrides.hash, one.store.overrides.hash);
});

t.test('copies that differ find out and become one, in a few frames', async (t) => {
  const one = await open('n1');
  const two = await open('n2');
  for (let i = 0; i < 1_200; i++) one.store.receive({ overrides: [{ ...target(i), mode: 3, ...said }] });
  await two.store.set(target(0), { weight: 7 }, 9);
  two.sent.length = 0;
  one.store.compare('n2', two.store.overrides.hash, 0);
  one.store.compare('n2', two.store.overrides.hash, 1_999);
  two.store.compare('n1', one.store.overrides.hash, 0);
  t.equal(carry(one, two), 2 + 3 + 1, 'two pulls, three frames one way, one the other');
  t.same(one.store.overrides.hash, two.store.overrides.hash);
  t.match(one.store.overrides.find(target(0)), { mode: 'disabled', weight: 7 }, 'both words');
  t.equal(two.store.overrides.size, 1_200);
  one.store.compare('n2', two.store.overrides.hash, 10_000);
  t.equal(one.sent.length, 0, 'nothing more to do');
});

t.test('what is no override is dropped, whoever sends it', async (t) => {
  const one = await open('n1');
  const good = { ...target(1), mode: 3, ...said };
  const wrong: taskd.Override.$Properties[] = [
    {},
    { ...good, namespace: '' },
    { ...good, instanceId: 'with space' },
    { ...good, mode: 0 },
    { ...good, mode: 77 },
    { ...good, weight: 10_001 },
    { ...good, modeAtMs: 0 },
    { ...good, modeNodeId: 'x'.repeat(200) },
  ];
  one.store.receive({ overrides: wrong });
  t.equal(one.store.overrides.size, 0);
  t.same(one.told, []);
  one.store.receive({ overrides: [...wrong, good] });
  t.equal(one.store.overrides.size, 1);
});

t.test('a disk that is full refuses, and nothing has changed', async (t) => {
  const one = await open('n1');
  await one.store.set(target(1), { weight: 3 }, 1);
  const { hash } = one.store.overrides;
  const { rename } = one.files;
  one.files.rename = async () => {
    throw new FileError('ENOSPC', '/ns/overrides');
  };
  one.told.length = 0;
  await t.rejects(one.store.set(target(1), { mode: 'draining' }, 1), { code: ErrorCode.STORAGE_FULL });
  t.same(one.told, [], 'nobody was told');
  t.same(one.store.overrides.hash, hash);
  // What a peer has promised holds here too, and is stored once that is possible.
  one.store.receive({ overrides: [{ ...target(2), mode: 3, ...said }] });
  t.equal(one.store.overrides.size, 2);
  one.files.rename = rename;
  one.store.tick(0);
  await one.store.set(target(3), { mode: 'draining' }, 1);
  const again = await open('n1', one.files);
  t.equal(again.store.overrides.size, 3);
  const done = one.files.trace.length;
  one.store.tick(100_000);
  t.equal(one.files.trace.length, done, 'all is stored');
});

t.test('what many say at once is few writes, and each builds on the one before', async (t) => {
  const one = await open('n1');
  const before = one.files.trace.filter(({ kind }) => kind === 'names').length;
  const sayings = [
    one.store.set(target(1), { mode: 'draining' }, 1),
    ...Array.from({ length: 200 }, (_, i) => one.store.set(target(1), { weight: i + 1 }, 1)),
    one.store.set(target(1), { mode: 'disabled' }, 1),
  ];
  const overrides = await Promise.all(sayings);
  t.match(one.store.overrides.find(target(1)), { mode: 'disabled', weight: 200 });
  t.equal(new Set(overrides.map(({ weightSet }) => weightSet.atMs)).size, 201);
  const writes = one.files.trace.filter(({ kind }) => kind === 'names').length - before;
  t.ok(writes <= 10, `${writes} changes of names`);
  const frames = one.sent.flatMap(({ frame }) => frame.overrides!.overrides);
  t.equal(frames.length, 2, 'of each round the latest');
});
