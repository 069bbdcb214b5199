import fc from 'fast-check';
import t from 'tap';
import { FileError } from '../../../src/runtime/files.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';
import { SimDisk } from '../../../src/runtime/sim/sim-disk.js';
import { sectorBytes } from '../../../src/runtime/sim/sim-file.js';

function read(disk: SimDisk, path: string): Uint8Array {
  const file = disk.file(path);
  const into = new Uint8Array(file.size);
  file.read(into, 0);
  return into;
}

function put(disk: SimDisk, path: string, bytes: Uint8Array, position = 0): void {
  disk.write(path, disk.file(path), [bytes], position);
}

function sync(disk: SimDisk, path: string): void {
  const file = disk.file(path);
  disk.sync(path, file, file.writes);
}

await t.test('what was synced survives every power loss, the rest by the sector', async (t) => {
  let lost = 0;
  let kept = 0;
  let mixed = 0;
  for (let seed = 0; seed < 300; seed++) {
    const random = new SeededRandom(seed);
    const disk = new SimDisk(random);
    disk.makeFolder('/d');
    disk.createFile('/d/a');
    disk.syncFolder('/');
    disk.syncFolder('/d');
    const old = random.bytes(20_000);
    put(disk, '/d/a', old);
    sync(disk, '/d/a');
    const fresh = random.bytes(9_000);
    put(disk, '/d/a', fresh, 3_000);
    put(disk, '/d/a', random.bytes(7_000), 20_000);
    disk.losePower();
    const after = read(disk, '/d/a');
    if (after.length < 20_000) t.fail(`seed ${seed}: synced bytes are missing`);
    let news = 0;
    for (let at = 0; at < 20_000; at += sectorBytes) {
      const sector = Buffer.from(after.subarray(at, Math.min(20_000, at + sectorBytes)));
      const before = old.subarray(at, at + sector.length);
      const rewritten = Buffer.from(before);
      for (let i = 0; i < sector.length; i++) {
        if (at + i >= 3_000 && at + i < 12_000) rewritten[i] = fresh[at + i - 3_000]!;
      }
      if (sector.equals(rewritten) && !rewritten.equals(before)) news++;
      else if (!sector.equals(before)) t.fail(`seed ${seed}: the sector at ${at} is neither old nor new`);
    }
    if (news === 0) lost++;
    else if (news >= 18) kept++;
    else mixed++;
  }
  t.ok(lost > 10 && kept > 10 && mixed > 10, `all cases come up: ${lost} lost, ${kept} kept, ${mixed} torn`);
});

await t.test('writing through promises what it wrote, and nothing of the rest', async (t) => {
  let others = 0;
  for (let seed = 0; seed < 100; seed++) {
    const disk = new SimDisk(new SeededRandom(seed));
    disk.createFile('/a');
    disk.syncFolder('/');
    put(disk, '/a', new Uint8Array(40_960).fill(1));
    put(disk, '/a', new Uint8Array(5_000).fill(2), 50_000);
    disk.syncRange('/a', disk.file('/a'), 50_000, 5_000);
    disk.losePower();
    const after = read(disk, '/a');
    t.ok(after.length >= 55_000 && after.subarray(50_000, 55_000).every((byte) => byte === 2));
    if (after.subarray(0, 40_960).every((byte) => byte === 1)) others++;
  }
  t.ok(others > 5 && others < 60, `${others} of 100 kept the rest`);
});

await t.test('names survive a synced folder only', async (t) => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 200; seed++) {
    const disk = new SimDisk(new SeededRandom(seed));
    disk.makeFolder('/d');
    disk.createFile('/d/old');
    disk.syncFolder('/');
    disk.syncFolder('/d');
    disk.createFile('/d/new');
    disk.rename('/d/old', '/d/moved');
    t.same(
      disk.list('/d').map((entry) => entry.name),
      ['moved', 'new'],
    );
    disk.losePower();
    seen.add(
      disk
        .list('/d')
        .map((entry) => entry.name)
        .join(' '),
    );
  }
  t.same([...seen].sort(), ['moved', 'moved new', 'new old', 'old'], 'a rename is whole or not at all');
});

await t.test('a synced file without a synced name may be gone', async (t) => {
  let gone = 0;
  for (let seed = 0; seed < 50; seed++) {
    const disk = new SimDisk(new SeededRandom(seed));
    disk.createFile('/a');
    put(disk, '/a', Buffer.from('x'));
    sync(disk, '/a');
    disk.losePower();
    if (!disk.exists('/a')) gone++;
    else t.same(Buffer.from(read(disk, '/a')).toString(), 'x');
  }
  t.ok(gone > 5 && gone < 45);
});

await t.test('a failed sync is told once, and its pages count as clean', async (t) => {
  let missing = 0;
  for (let seed = 0; seed < 50; seed++) {
    const disk = new SimDisk(new SeededRandom(seed));
    disk.createFile('/a');
    disk.syncFolder('/');
    put(disk, '/a', new Uint8Array(8192).fill(1));
    disk.failingSyncs = 1;
    t.throws(() => sync(disk, '/a'), FileError);
    sync(disk, '/a');
    t.ok(
      read(disk, '/a').every((byte) => byte === 1),
      'the cache still has it',
    );
    disk.losePower();
    const after = read(disk, '/a');
    if (after.length < 8192 || after.some((byte) => byte !== 1)) missing++;
  }
  t.ok(missing > 25, 'a sync that succeeds after one that failed promises nothing');
});

await t.test('a full disk takes what fits; overwriting needs no space', async (t) => {
  const disk = new SimDisk(new SeededRandom(1));
  disk.limitBytes = 3 * 4096;
  disk.createFile('/a');
  const chunk = new Uint8Array(4096).fill(7);
  t.throws(() => disk.write('/a', disk.file('/a'), [chunk, chunk, chunk, chunk], 0), { code: 'ENOSPC' });
  t.equal(disk.file('/a').size, 3 * 4096);
  put(disk, '/a', chunk, 0);
  t.equal(disk.space().freeBytes, 0);
  t.throws(() => disk.write('/a', disk.file('/a'), [chunk], 3 * 4096), { code: 'ENOSPC' });
});

await t.test('the page cache is an ordinary file, whatever is synced meanwhile', async () => {
  const step = fc.oneof(
    fc.record({ at: fc.nat(12_000), length: fc.nat(6_000), fill: fc.integer({ min: 1, max: 255 }) }),
    fc.record({ cut: fc.nat(14_000) }),
    fc.constant('sync' as const),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.nat(), (steps, seed) => {
      const disk = new SimDisk(new SeededRandom(seed));
      disk.createFile('/a');
      disk.syncFolder('/');
      let model = Buffer.alloc(0);
      for (const step of steps) {
        if (step === 'sync') sync(disk, '/a');
        else if ('cut' in step) {
          disk.file('/a').truncate(step.cut);
          model = Buffer.concat([model, Buffer.alloc(Math.max(0, step.cut - model.length))]).subarray(0, step.cut);
        } else {
          const bytes = Buffer.alloc(step.length, step.fill);
          put(disk, '/a', bytes, step.at);
          if (step.length > 0) {
            model = Buffer.concat([model, Buffer.alloc(Math.max(0, step.at + step.length - model.length))]);
            bytes.copy(model, step.at);
          }
        }
        if (!model.equals(read(disk, '/a'))) return false;
      }
      sync(disk, '/a');
      disk.losePower();
      return model.equals(read(disk, '/a'));
    }),
    { numRuns: 150 },
  );
});

await t.test('a flipped bit stays flipped', async (t) => {
  const disk = new SimDisk(new SeededRandom(1));
  disk.createFile('/a');
  disk.syncFolder('/');
  put(disk, '/a', new Uint8Array(5000));
  sync(disk, '/a');
  disk.file('/a').flipBit(4500, 3);
  disk.losePower();
  t.equal(read(disk, '/a')[4500], 8);
});
