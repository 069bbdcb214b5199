import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { LockFile, lockFolder } from '../../../src/runtime/node/folder-lock.js';

const child = fileURLToPath(new URL('./child.js', import.meta.url));

function temporary(test: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'taskd-lock-'));
  test.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

const isFree = (folder: string): Promise<boolean> =>
  lockFolder(folder).then(
    (lock) => lock.release().then(() => true),
    (error: { code: string }) => {
      if (error.code !== 'LOCKED') throw error;
      return false;
    },
  );

/** Holds `folder` in another process, begun by `command` (a program and its first arguments). */
async function holder(folder: string, command: readonly string[] = []): Promise<{ kill(): Promise<void> }> {
  const [program, ...args] = [...command, process.execPath, child, 'lock', folder];
  const started = spawn(program!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => started.kill('SIGKILL'));
  await once(started.stdout, 'data');
  return {
    kill: async () => {
      const gone = once(started, 'exit');
      started.kill('SIGKILL');
      await gone;
    },
  };
}

/** How a process gets a network of its own here; undefined where that is not allowed. */
const apart = [
  ['unshare', '-n'],
  ['unshare', '-rn'],
].find(([program, ...args]) => spawnSync(program!, [...args, 'true']).status === 0);

await t.test(
  'a folder has one holder over network namespaces, as two containers on one volume are',
  { skip: apart === undefined && 'network namespaces are not allowed here' },
  async (t) => {
    const folder = temporary(t);
    const other = await holder(folder, apart);
    t.notOk(await isFree(folder), 'held by one in another network');
    await other.kill();
    t.ok(await isFree(folder), 'nobody must clean up after a kill');

    const lock = await lockFolder(folder);
    const refused = spawn(apart![0]!, [...apart!.slice(1), process.execPath, child, 'lock', folder], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    refused.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const [code] = await once(refused, 'close');
    t.not(code, 0);
    t.match(said, 'LOCKED');
    await lock.release();
    t.same(readdirSync(folder), []);
  },
);

await t.test('the socket in the folder: one holder, and what is left over is removed', async (t) => {
  const folder = temporary(t);
  const dead = await holder(folder);
  t.equal(readdirSync(folder).length, 1);
  await dead.kill();
  const [left] = readdirSync(folder);
  t.ok(statSync(join(folder, left!)).isSocket(), 'a killed process leaves its name');

  const lock = await LockFile.take(folder, folder);
  const names = readdirSync(folder);
  t.equal(names.length, 1);
  t.not(names[0], left);
  await t.rejects(LockFile.take(folder, folder), { code: 'LOCKED' });
  t.same(readdirSync(folder), names, 'who is refused leaves nothing, and takes nothing away');
  await lock!.release();
  t.same(readdirSync(folder), []);
});

await t.test('of many that come at once at most one gets it', async (t) => {
  const folder = temporary(t);
  let held = 0;
  for (let round = 0; round < 20; round++) {
    const takers = Array.from({ length: 8 }, () =>
      LockFile.take(folder, folder).catch((error: { code: string }) => {
        t.equal(error.code, 'LOCKED');
        return undefined;
      }),
    );
    const got = (await Promise.all(takers)).filter((lock) => lock !== undefined);
    t.ok(got.length <= 1, `${got.length} in round ${round}`);
    held += got.length;
    for (const lock of got) await lock.release();
  }
  t.comment(`held in ${held} rounds of 20`);
  t.same(readdirSync(folder), []);
});

await t.test('a path longer than that of a socket may be', async (t) => {
  const folder = join(temporary(t), 'x'.repeat(200));
  mkdirSync(folder);
  const lock = await lockFolder(folder);
  t.equal(readdirSync(folder).length, 1);
  t.notOk(await isFree(folder));
  await lock.release();
});
