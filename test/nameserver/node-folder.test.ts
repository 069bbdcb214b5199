import fc from 'fast-check';
import t from 'tap';
import { ErrorCode } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/logger.js';
import {
  decodeIncarnation,
  decodeOverrides,
  encodeIncarnation,
  encodeOverrides,
  NodeFolder,
} from '../../src/nameserver/node-folder.js';
import type { Override } from '../../src/nameserver/overrides.js';
import { FileError, type Files } from '../../src/runtime/files.js';
import type { Runtime } from '../../src/runtime/runtime.js';
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
  await Promise.all([1, 2, 3].map((count) => first.storeOverrides([1, 2, 3].slice(0, count).map(override))));
  await first.release();
  const second = await NodeFolder.open(on(files), path);
  t.equal(second.incarnation, 7);
  t.same(second.overrides, [1, 2, 3].map(override), 'the last of those that came together');
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
    await handle.write([Uint8Array.of(0xff)], 20);
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
    code: ErrorCode.STORAGE_FAILED,
    message: /free some space/,
  });
  const files = new TracedFiles(new Map());
  const folder = await NodeFolder.open(on(files), path);
  const { rename } = files;
  files.rename = async () => {
    throw new FileError('EIO', path);
  };
  await t.rejects(folder.storeIncarnation(1), { code: ErrorCode.STORAGE_FAILED });
  await t.rejects(folder.storeOverrides([]), { code: ErrorCode.STORAGE_FAILED });
  files.rename = rename;
  await folder.storeOverrides([override(1)]);
  t.same(decodeOverrides(encodeOverrides([override(1)])), [override(1)]);
  await folder.release();
});

t.test('random and changed bytes are no file', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      (bytes) => decodeIncarnation(bytes) === undefined && decodeOverrides(bytes) === undefined,
    ),
    { numRuns: 2_000 },
  );
  const files = [encodeIncarnation(1_764_136_000_123), encodeOverrides([override(1), override(2)])];
  fc.assert(
    fc.property(fc.constantFrom(...files), fc.nat(), fc.integer({ min: 1, max: 255 }), (file, at, change) => {
      const bytes = Uint8Array.from(file);
      bytes[at % bytes.length]! ^= change;
      return decodeIncarnation(bytes) === undefined && decodeOverrides(bytes) === undefined;
    }),
  );
  t.equal(decodeIncarnation(encodeIncarnation(5)), 5);
  t.end();
});
