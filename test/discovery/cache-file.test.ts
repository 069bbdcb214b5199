import t from 'tap';
import type { Logger } from '../../src/base/logger.js';
import { silentLogger } from '../../src/base/logger.js';
import { CacheFile, checkCachePath } from '../../src/discovery/cache-file.js';
import type { Instance } from '../../src/discovery/instance.js';
import { targetOf } from '../../src/discovery/watch-target.js';
import { FileError } from '../../src/runtime/files.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { readFile } from '../../src/runtime/whole-file.js';
import { ManualClock } from '../support/manual-clock.js';
import { TracedFiles } from '../support/traced-files.js';

const path = '/var/cache/shop';
const target = targetOf('shop', {});

class World {
  readonly clock: ManualClock = new ManualClock();
  files: TracedFiles = new TracedFiles(new Map());
  readonly warnings: string[] = [];

  open(): CacheFile {
    const logger: Logger = { ...silentLogger, warn: (_: object, text: string) => void this.warnings.push(text) };
    return new CacheFile({ clock: this.clock, files: this.files, logger } as unknown as Runtime, path);
  }

  get writes(): number {
    return this.files.trace.filter(({ kind }) => kind === 'syncFolder').length;
  }
}

function list(...ids: string[]): Instance[] {
  return ids.map((instanceId) => ({
    namespace: 'taskd',
    group: '',
    service: 'shop',
    instanceId,
    addresses: [{ host: 'h', port: 1 }],
    zone: '',
    weight: 100,
    tags: [],
    metadata: {},
    incarnation: 1,
    health: 'up',
  }));
}

t.test('written at once, then at most every 5 s, and at the close', async (t) => {
  const world = new World();
  const cache = world.open();
  cache.put(target, list('a'));
  await world.clock.advance(10);
  t.equal(world.writes, 1);
  for (let i = 0; i < 40; i++) {
    cache.put(target, list('a', `b${i}`));
    await world.clock.advance(100);
  }
  t.equal(world.writes, 1);
  await world.clock.advance(1_000);
  t.equal(world.writes, 2);
  await world.clock.advance(60_000);
  t.equal(world.writes, 2, 'nothing new, nothing written');
  cache.put(target, list('c'));
  await world.clock.advance(10);
  cache.put(target, list('d'));
  await cache.close();
  t.equal(world.writes, 4);

  const next = world.open();
  t.equal(next.find(target), undefined);
  await next.loaded;
  t.same(next.find(target), list('d'));
  t.equal(next.find(targetOf('other', {})), undefined);
  await next.close();
  t.equal(world.writes, 4);
});

t.test('what comes before the file is read is newer', async (t) => {
  const world = new World();
  const before = world.open();
  before.put(target, list('old'));
  before.put(targetOf('kept', {}), list('k'));
  await before.close();
  const cache = world.open();
  cache.put(target, list('new'));
  await cache.close();
  const next = world.open();
  await next.loaded;
  t.same(next.find(target), list('new'));
  t.same(next.find(targetOf('kept', {})), list('k'), 'what nobody asks for now is kept');
  t.same(world.warnings, []);
});

t.test('a damaged file is not used, with a warning, and written again', async (t) => {
  const world = new World();
  const before = world.open();
  before.put(target, list('a'));
  await before.close();
  const bytes = Buffer.from((await readFile(world.files, path, 1e6))!);
  bytes[20]! ^= 1;
  world.files = new TracedFiles(new Map([[path, { length: bytes.length, bytes }]]));
  const cache = world.open();
  await cache.loaded;
  t.equal(cache.find(target), undefined);
  t.same(world.warnings, ['the discovery cache is damaged: it is not used']);
  cache.put(target, list('b'));
  await cache.close();
  const next = world.open();
  await next.loaded;
  t.same(next.find(target), list('b'));
  t.equal(world.warnings.length, 1);
});

t.test('a disk that refuses is a warning, once, until it works again', async (t) => {
  const world = new World();
  const open = world.files.open.bind(world.files);
  const cache = world.open();
  await cache.loaded;
  world.files.open = () => Promise.reject(new FileError('ENOSPC', path));
  for (let i = 0; i < 3; i++) {
    cache.put(target, list(`a${i}`));
    await world.clock.advance(6_000);
  }
  t.same(world.warnings, ['the discovery cache is not written']);
  world.files.open = open;
  cache.put(target, list('b'));
  await world.clock.advance(6_000);
  t.equal(world.writes, 1);
  world.files.open = () => Promise.reject(new FileError('EACCES', path));
  const unreadable = world.open();
  await unreadable.loaded;
  t.equal(unreadable.find(target), undefined);
  t.match(world.warnings[1], /can not be read/);
});

t.test('a path is absolute and names a file', (t) => {
  for (const wrong of ['', 'cache', './cache', '/var/', '/a\0b']) {
    t.throws(() => checkCachePath(wrong), /give the absolute path of a file/);
  }
  checkCachePath('/cache');
  t.end();
});
