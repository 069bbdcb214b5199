import type { Test } from 'tap';
import { FileError, type Files } from '../../src/runtime/files.js';
import type { InRuntime } from './in-runtime.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);

async function content(files: Files, path: string): Promise<string> {
  const file = await files.open(path, 'read');
  const into = new Uint8Array(await file.size());
  await file.read(into, 0);
  await file.close();
  return Buffer.from(into).toString();
}

async function rejects(t: Test, what: Promise<unknown>, code: string, name: string): Promise<void> {
  try {
    await what;
    t.fail(`${name}: no error`);
  } catch (error) {
    t.ok(error instanceof FileError && error.code === code, `${name}: ${code}, got ${error}`);
  }
}

/** What every `Files` does. `folder` is an absolute path that does not exist and whose parent may not either. */
export async function filesConformance(t: Test, run: InRuntime, folder: string): Promise<void> {
  await t.test('files: create, write in pieces, read, grow, cut', (t) =>
    run(async ({ files }) => {
      const at = `${folder}/content/deeper`;
      await files.makeFolder(at);
      await files.makeFolder(at);
      const file = await files.open(`${at}/a`, 'create');
      await file.write([bytes('one'), bytes(''), bytes('two'), bytes('three')], 0);
      await file.write([], 99);
      t.equal(await file.size(), 11);
      await file.write([bytes('TWO')], 3);
      await file.write([bytes('end')], 5000);
      t.equal(await file.size(), 5003);
      const gap = new Uint8Array(20).fill(7);
      t.equal(await file.read(gap, 4990), 13, 'fewer bytes at the end');
      t.same(Buffer.from(gap.subarray(0, 13)), Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...bytes('end')]));
      t.equal(await file.read(new Uint8Array(5), 6000), 0, 'nothing past the end');
      await file.truncate(8);
      await file.dataSync();
      t.equal(await content(files, `${at}/a`), 'oneTWOth');
      await file.truncate(10);
      t.equal(await content(files, `${at}/a`), 'oneTWOth\0\0', 'a file grows by zeros, not by what was cut');
      await file.close();
      await files.syncFolder(at);
    }),
  );

  await t.test('files: many chunks in one write', (t) =>
    run(async ({ files, random }) => {
      await files.makeFolder(`${folder}/many`);
      const chunks: Uint8Array[] = [];
      for (let i = 0; i < 3000; i++) chunks.push(random.bytes(random.below(40)));
      const file = await files.open(`${folder}/many/a`, 'create');
      await file.write(chunks, 17);
      const whole = Buffer.concat(chunks);
      const into = new Uint8Array(whole.length);
      t.equal(await file.read(into, 17), whole.length);
      t.ok(whole.equals(into));
      await file.close();
    }),
  );

  await t.test('files: overlapping operations all happen', (t) =>
    run(async ({ files }) => {
      await files.makeFolder(`${folder}/overlap`);
      const file = await files.open(`${folder}/overlap/a`, 'create');
      await Promise.all(Array.from({ length: 50 }, (_, i) => file.write([Uint8Array.of(i)], i)));
      const into = new Uint8Array(50);
      await file.read(into, 0);
      t.same(
        [...into],
        Array.from({ length: 50 }, (_, i) => i),
      );
      await file.close();
    }),
  );

  await t.test('files: modes and their errors', (t) =>
    run(async ({ files }) => {
      const at = `${folder}/modes`;
      await files.makeFolder(at);
      await rejects(t, files.open(`${at}/none`, 'read'), 'ENOENT', 'read what is not there');
      await rejects(t, files.open(`${at}/none`, 'write'), 'ENOENT', 'write what is not there');
      await rejects(t, files.open(`${at}/no/where`, 'create'), 'ENOENT', 'create in a folder that is not there');
      const file = await files.open(`${at}/a`, 'create');
      await file.write([bytes('x')], 0);
      await file.close();
      await rejects(t, files.open(`${at}/a`, 'create'), 'EEXIST', 'create what is there');
      await rejects(t, files.open(`${at}/a/b`, 'create'), 'ENOTDIR', 'a file is no folder');
      await rejects(t, files.makeFolder(`${at}/a`), 'EEXIST', 'a folder over a file');
      await rejects(t, files.makeFolder(`${at}/a/b`), 'ENOTDIR', 'a folder in a file');
      await rejects(t, files.list(`${at}/none`), 'ENOENT', 'list');
      await rejects(t, files.list(`${at}/a`), 'ENOTDIR', 'list a file');
      await rejects(t, files.remove(`${at}/none`), 'ENOENT', 'remove');
      await rejects(t, files.removeFolder(`${at}/none`), 'ENOENT', 'remove a folder');
      await rejects(t, files.rename(`${at}/none`, `${at}/b`), 'ENOENT', 'rename');
      await rejects(t, files.syncFolder(`${at}/none`), 'ENOENT', 'sync a folder');
      await rejects(t, files.space(`${at}/none`), 'ENOENT', 'space');
      const reader = await files.open(`${at}/a`, 'read');
      await rejects(
        t,
        Promise.resolve().then(() => reader.write([bytes('y')], 0)),
        'OTHER',
        'write to a reader',
      );
      await reader.close();
      const writer = await files.open(`${at}/a`, 'write');
      await writer.write([bytes('yz')], 1);
      await writer.close();
      t.equal(await content(files, `${at}/a`), 'xyz');
    }),
  );

  await t.test('files: writing through', (t) =>
    run(async ({ files }) => {
      const at = `${folder}/through`;
      await files.makeFolder(at);
      await rejects(t, files.open(`${at}/a`, 'through'), 'ENOENT', 'write through what is not there');
      const plain = await files.open(`${at}/a`, 'create');
      t.notOk(plain.isThrough);
      await plain.write([bytes('plain')], 0);
      const through = await files.open(`${at}/a`, 'through');
      t.ok(through.isThrough);
      await through.write([bytes('T'), bytes('H')], 1);
      await through.write([bytes('grown')], 8);
      await through.write([], 99);
      await through.dataSync();
      t.equal(await through.size(), 13);
      const into = new Uint8Array(13);
      await through.read(into, 0);
      t.equal(Buffer.from(into).toString(), 'pTHin\0\0\0grown');
      await through.truncate(3);
      await through.close();
      t.equal(await content(files, `${at}/a`), 'pTH');
      await plain.close();
    }),
  );

  await t.test('files: nothing is done with a file that was closed', (t) =>
    run(async ({ files }) => {
      const at = `${folder}/closed`;
      await files.makeFolder(at);
      const file = await files.open(`${at}/a`, 'create');
      await file.write([bytes('kept')], 0);
      await file.close();
      // Its descriptor, if there is such a thing, may be this one's now.
      const other = await files.open(`${at}/b`, 'create');
      const calls: Record<string, () => Promise<unknown>> = {
        read: () => file.read(new Uint8Array(4), 0),
        write: () => file.write([bytes('gone'), bytes('!')], 0),
        dataSync: () => file.dataSync(),
        truncate: () => file.truncate(0),
        size: () => file.size(),
        close: () => file.close(),
      };
      for (const [name, call] of Object.entries(calls)) await t.rejects(async () => call(), name);
      t.equal(await other.size(), 0);
      await other.close();
      t.equal(await content(files, `${at}/a`), 'kept');
    }),
  );

  await t.test('files: names', (t) =>
    run(async ({ files }) => {
      const at = `${folder}/names`;
      await files.makeFolder(`${at}/c`);
      for (const name of ['b', 'a', 'B']) {
        const file = await files.open(`${at}/${name}`, 'create');
        await file.write([bytes(name)], 0);
        await file.close();
      }
      t.same(await files.list(at), [
        { name: 'B', isFolder: false },
        { name: 'a', isFolder: false },
        { name: 'b', isFolder: false },
        { name: 'c', isFolder: true },
      ]);
      await files.rename(`${at}/a`, `${at}/b`);
      t.equal(await content(files, `${at}/b`), 'a', 'rename replaces');
      await files.rename(`${at}/b`, `${at}/c/d`);
      t.ok(await files.exists(`${at}/c/d`));
      t.notOk(await files.exists(`${at}/b`));
      t.notOk(await files.exists(`${at}/B/x`), 'nothing exists in a file');
      const open = await files.open(`${at}/c/d`, 'read');
      await files.remove(`${at}/c/d`);
      const into = new Uint8Array(1);
      t.equal(await open.read(into, 0), 1, 'a removed file lives while it is open');
      await open.close();
      await files.removeFolder(at);
      t.notOk(await files.exists(at));
    }),
  );

  await t.test('files: a folder has one holder', (t) =>
    run(async ({ files }) => {
      const at = `${folder}/lock`;
      await rejects(t, files.lock(`${folder}/nothing`), 'ENOENT', 'lock what is not there');
      await files.makeFolder(at);
      const lock = await files.lock(at);
      await rejects(t, files.lock(at), 'LOCKED', 'lock twice');
      await files.makeFolder(`${at}/inner`);
      const inner = await files.lock(`${at}/inner`);
      await lock.release();
      const again = await files.lock(at);
      await again.release();
      await inner.release();
      t.same(await files.list(at), [{ name: 'inner', isFolder: true }], 'a lock leaves nothing in the folder');
    }),
  );

  await t.test('files: space', (t) =>
    run(async ({ files }) => {
      await files.makeFolder(folder);
      const space = await files.space(folder);
      t.ok(space.freeBytes >= 0 && space.freeBytes <= space.totalBytes && space.totalBytes > 0);
    }),
  );
}
