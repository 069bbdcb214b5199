import fc from 'fast-check';
import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/logger.js';
import { decodeSlot, encodeSlot } from '../../src/nameserver/incarnation-file.js';
import { decodeOverrides, encodeOverrides, NodeFolder } from '../../src/nameserver/node-folder.js';
import type { Override } from '../../src/nameserver/overrides.js';
import { FileError, type Files } from '../../src/runtime/files.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import type { SimProcess } from '../../src/runtime/sim/sim-process.js';
import { SimWorld } from '../../src/runtime/sim/sim-world.js';
import { MemoryLogger } from '../support/rpc-pair.js';
import { type Image, TracedFiles } from '../support/traced-files.js';

const path = '/var/taskd/nameserver';
const on = (files: Files, logger = silentLogger): Runtime => ({ files, logger }) as unknown as Runtime;

function override(id: number): Override {
  return {
    namespace: 'n',
    group: '',
    service: 's',
    instanceId: `i${id}`,
    mode: 'disabled',
    weight: id,
    modeSet: { atMs: 1, nodeId: 'x' },
    weightSet: { atMs: 2, nodeId: 'y' },
  };
}

t.test('what is stored is found again', async (t) => {
  const files = new TracedFiles(new Map());
  const first = await NodeFolder.open(on(files), path);
  t.equal(first.incarnation, 0);
  t.same(first.overrides, []);
  await first.storeIncarnation(7);
  await first.storeOverrides([1].map(override));
  await first.storeOverrides([1, 2, 3].map(override));
  await first.release();
  const second = await NodeFolder.open(on(files), path);
  t.equal(second.incarnation, 7);
  t.same(second.overrides, [1, 2, 3].map(override));
});

t.test('whenever the power goes, what was promised is there', async (t) => {
  const files = new TracedFiles(new Map());
  const promised: { operations: number; incarnation: number; overrides: number }[] = [];
  let incarnation = 0;
  let overrides = 0;
  const promise = (): void => void promised.push({ operations: files.trace.length, incarnation, overrides });
  promise();
  const folder = await NodeFolder.open(on(files), path);
  for (let round = 1; round <= 3; round++) {
    await folder.storeIncarnation(round);
    incarnation = round;
    promise();
    await folder.storeOverrides(Array.from({ length: round }, (_, i) => override(i)));
    overrides = round;
    promise();
  }
  let images = 0;
  for (let done = 0; done <= files.trace.length; done++) {
    const least = promised.filter(({ operations }) => operations <= done).at(-1)!;
    for (const image of files.images(done, 10, 20, () => 0.5) as Iterable<Image>) {
      images++;
      const found = await NodeFolder.open(on(new TracedFiles(image)), path);
      if (found.incarnation < least.incarnation || found.incarnation > least.incarnation + 1) {
        t.fail(`after ${done}: incarnation ${found.incarnation}, promised ${least.incarnation}`);
      }
      if (found.overrides.length < least.overrides || found.overrides.length > least.overrides + 1) {
        t.fail(`after ${done}: ${found.overrides.length} overrides, promised ${least.overrides}`);
      }
    }
  }
  t.ok(images > 50, `${images} images`);
});

t.test('a damaged file is set aside, and told', async (t) => {
  const files = new TracedFiles(new Map());
  const folder = await NodeFolder.open(on(files), path);
  await folder.storeIncarnation(7);
  await folder.storeOverrides([override(1)]);
  for (const name of ['incarnation', 'overrides']) {
    const handle = await files.open(`${path}/${name}`, 'write');
    for (const at of [20, 4_096 + 20]) await handle.write([Uint8Array.of(0xff)], at);
    await handle.close();
  }
  const logger = new MemoryLogger();
  const found = await NodeFolder.open(on(files, logger), path);
  t.equal(found.incarnation, 0);
  t.same(found.overrides, []);
  t.match(logger.lines, [{ level: 'error' }, { level: 'error' }]);
  t.ok(await files.exists(`${path}/overrides.damaged`));
  t.notOk(await files.exists(`${path}/overrides`));
});

t.test('a folder that can not be used is an error that says what to do', async (t) => {
  const failing = (code: 'LOCKED' | 'EACCES' | 'ENOSPC'): Runtime => {
    const files = new TracedFiles(new Map());
    const fail = async (): Promise<never> => {
      throw new FileError(code, path);
    };
    return on(Object.assign(files, code === 'LOCKED' ? { lock: fail } : { makeFolder: fail }));
  };
  await t.rejects(NodeFolder.open(failing('LOCKED'), path), { code: ErrorCode.CONFLICT, message: /--data/ });
  await t.rejects(NodeFolder.open(failing('EACCES'), path), {
    code: ErrorCode.STORAGE_FAILED,
    message: /right to write/,
  });
  await t.rejects(NodeFolder.open(failing('ENOSPC'), path), {
    code: ErrorCode.STORAGE_FULL,
    message: /free some space/,
  });
  const files = new TracedFiles(new Map());
  const folder = await NodeFolder.open(on(files), path);
  const { open } = files;
  files.open = async () => {
    throw new FileError('EIO', path);
  };
  await t.rejects(folder.storeIncarnation(1), { code: ErrorCode.STORAGE_FAILED });
  await t.rejects(folder.storeOverrides([]), { code: ErrorCode.STORAGE_FAILED });
  files.open = open;
  await folder.storeOverrides([override(1)]);
  t.same(decodeOverrides(encodeOverrides([override(1)])), [override(1)]);
  await folder.release();
});

t.test('random and changed bytes are no file', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      (bytes) => decodeSlot(bytes) === undefined && decodeOverrides(bytes) === undefined,
    ),
    { numRuns: 2_000 },
  );
  const slot = encodeSlot(1_764_136_000_123);
  const files = [slot.subarray(0, slot.indexOf(0)), encodeOverrides([override(1), override(2)])];
  fc.assert(
    fc.property(fc.constantFrom(...files), fc.nat(), fc.integer({ min: 1, max: 255 }), (file, at, change) => {
      const bytes = Uint8Array.from(file);
      bytes[at % bytes.length]! ^= change;
      return decodeSlot(bytes) === undefined && decodeOverrides(bytes) === undefined;
    }),
  );
  t.equal(decodeSlot(encodeSlot(5)), 5);
  t.end();
});

/** Leaves no room on a host's disk. */
function fill({ disk }: SimProcess): void {
  const { freeBytes, totalBytes } = disk.space();
  disk.limitBytes = totalBytes - freeBytes;
}

/** Runs in a simulated process with a disk of its own. */
async function onDisk(host: SimProcess, world: SimWorld, work: (runtime: Runtime) => Promise<void>): Promise<void> {
  let end: unknown = 'open';
  host.start((runtime) =>
    work(runtime).then(
      () => {
        end = undefined;
      },
      (error) => {
        end = error;
      },
    ),
  );
  await world.run({ until: () => end !== 'open' });
  host.kill({ powerLoss: true });
  if (end !== undefined) throw end;
}

t.test('a full disk keeps nobody from starting, nor from storing an incarnation where there was one', async (t) => {
  const world = new SimWorld(1);
  const host = world.process('n1');
  await onDisk(host, world, async (runtime) => {
    const folder = await NodeFolder.open(runtime, path);
    await folder.storeIncarnation(5);
    await folder.storeOverrides([override(1)]);
  });
  fill(host);
  const many = Array.from({ length: 500 }, (_, i) => override(i));
  for (const incarnation of [6, 7, 8]) {
    await onDisk(host, world, async (runtime) => {
      const folder = await NodeFolder.open(runtime, path);
      t.equal(folder.incarnation, incarnation - 1);
      await folder.storeIncarnation(incarnation);
      await t.rejects(folder.storeOverrides(many), { code: ErrorCode.STORAGE_FULL, message: /free some space/ });
      t.notOk(await runtime.files.exists(`${path}/overrides.new`), 'nothing is left of it');
    });
  }
  host.disk.limitBytes = Number.POSITIVE_INFINITY;
  await onDisk(host, world, async (runtime) => {
    const folder = await NodeFolder.open(runtime, path);
    t.equal(folder.incarnation, 8);
    t.same(folder.overrides, [override(1)], 'those before');
    await folder.storeOverrides(many);
  });
});

t.test('the first start may find the disk full as well', async (t) => {
  const world = new SimWorld(2);
  const host = world.process('n1');
  fill(host);
  await onDisk(host, world, async (runtime) => {
    const folder = await NodeFolder.open(runtime, path);
    await t.rejects(folder.storeIncarnation(6), { code: ErrorCode.STORAGE_FULL });
    t.equal(folder.incarnation, 0);
    host.disk.limitBytes = Number.POSITIVE_INFINITY;
    await folder.storeIncarnation(6);
  });
  await onDisk(host, world, async (runtime) => {
    t.equal((await NodeFolder.open(runtime, path)).incarnation, 6);
  });
});
