import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ErrorCode, isTaskdError } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/logger.js';
import { control } from '../../src/cli/control.js';
import { LogStore } from '../../src/log/log-store.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { allValues, batchOf, synced, valuesIn, valuesOverGaps } from '../log/batches.js';
import { copyFolder } from '../support/copy-folder.js';
import { noNameServers } from '../support/fake-name-servers.js';

const runtime = nodeRuntime(silentLogger);
const base = mkdtempSync(join(tmpdir(), 'taskd-logs-'));
t.teardown(() => rmSync(base, { recursive: true, force: true }));
const values = ['one', 'two', 'three', 'four', 'five', 'six'];

async function taskctl(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await control(argv, {
    sink: {
      out: (text) => {
        out += text;
      },
      err: (text) => {
        err += text;
      },
    },
    environment: {},
    nowMs: 0,
    onStop: () => {},
    lines: () => {
      throw new Error('the input was read');
    },
    connect: () => Promise.reject(new Error('a server was asked for')),
    nameServers: noNameServers,
    files: runtime.files,
  });
  return { code, out, err };
}

/** A stopped folder: six batches of their own groups, two a segment; `harm` may change the files. */
async function stopped(name: string, harm: (logFolder: string) => void, isCrashed = false): Promise<string> {
  const folder = join(base, name);
  const store = await LogStore.open(runtime, folder, { segmentBytes: 280 });
  const log = await store.create(7, 0);
  await log.raiseTerm();
  for (const value of values) {
    log.append(batchOf(value));
    await synced(log);
  }
  if (isCrashed) copyFolder(folder, `${folder}.crashed`);
  await store.close();
  const result = isCrashed ? `${folder}.crashed` : folder;
  harm(join(result, 'data/7/0-1'));
  return result;
}

const segments = (folder: string): string[] => readdirSync(folder).filter((name) => name.endsWith('.log'));

/** Turns a byte of the body of the first batch in the `index`-th segment over. */
function rot(index: number): (folder: string) => void {
  return (folder) => {
    const path = join(folder, segments(folder)[index]!);
    const bytes = readFileSync(path);
    bytes[90]! ^= 1;
    writeFileSync(path, bytes);
  };
}

const everything = (folder: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => [join(entry.parentPath, entry.name), readFileSync(join(entry.parentPath, entry.name), 'hex')]),
  );

t.test('a good folder is told good, and nothing in it changes', async (t) => {
  const folder = await stopped('good', () => {});
  const before = everything(folder);
  const { code, out } = await taskctl('log', 'inspect', folder);
  t.equal(code, 0);
  t.match(out, /LOG +TOPIC +FROM +TO +SEGMENTS +RECORDS +VERDICT\n7\/0 +0 +6 +3 +6 +good\n$/);
  t.same(everything(folder), before);
  const { code: none, err } = await taskctl('log', 'repair', folder, '--partition', '7/0', '--keep');
  t.equal(none, 5);
  t.match(err, /there is nothing to repair: no record of this log is gone/);
});

t.test('a torn end is no damage', async (t) => {
  const tear = (folder: string): void => {
    const path = join(folder, segments(folder).at(-1)!);
    truncateSync(path, readFileSync(path).indexOf('six'));
  };
  const folder = await stopped('torn', tear, true);
  const { code, out } = await taskctl('log', 'inspect', folder);
  t.equal(code, 0);
  t.match(out, /7\/0 +0 +5 .* good: a torn end, as a crash leaves it; the next start cuts it\n/);
  t.match(out, /\d+ bytes of a write group that was never acknowledged: .*\.log, byte \d+/);
});

t.test('damage is told with what to do, what is left is written out, and --keep makes the log whole', async (t) => {
  const folder = await stopped('keep', rot(1));
  const { code, out } = await taskctl('log', 'inspect', folder);
  t.equal(code, 1);
  t.match(out, /7\/0 .* DAMAGED\n/);
  t.match(
    out,
    /records 2 to 2 are gone \(1\): .*002\.log, byte 0 to \d+: the batch is not whole or intact \(bodyCrc\)/,
  );
  t.match(out, /see what a repair would do: +taskctl log repair .* --partition 7\/0\n/);
  const [log] = JSON.parse((await taskctl('--json', 'log', 'inspect', folder)).out);
  t.match(log, { verdict: 'damaged', end: 6, gaps: [{ from: 2, to: 3, decided: false }] });

  const lines = (await taskctl('log', 'export', folder, '--partition', '7/0')).out.trim().split('\n');
  t.same(
    lines.map((line) => JSON.parse(line)).map((each) => each.value ?? each.gap),
    ['one', 'two', { from: 2, to: 3 }, 'four', 'five', 'six'],
  );
  const raw = join(base, 'keep.raw');
  await taskctl('log', 'export', folder, '--partition', '7/0', '--raw', '--out', raw);
  t.equal(
    valuesIn([readFileSync(raw).subarray(0, 200)].map((each) => each.subarray(0, each.readUInt32BE(16)))).base,
    0,
  );
  t.match((await taskctl('log', 'export', folder, '--partition', '7/0', '--out', raw)).err, /name a file that is not/);

  const before = everything(folder);
  t.match(
    (await taskctl('log', 'repair', folder, '--partition', '7/0')).out,
    /--keep: .* 2 to 2 .*\n--cut: .* 2 to 5 /,
  );
  t.same(everything(folder), before, 'without a decision nothing changes');
  t.equal((await taskctl('log', 'repair', folder, '--partition', '7/0', '--keep')).code, 0);
  t.match((await taskctl('log', 'inspect', folder)).out, /good, with gaps that were decided on\n/);

  for (let start = 0; start < 2; start++) {
    const store = await LogStore.open(runtime, folder, { segmentBytes: 280 });
    const log = await store.open(7, 0);
    t.equal(log.problem, undefined);
    await log.raiseTerm();
    t.equal(log.append(batchOf('new')), 6 + start);
    await synced(log);
    const kept = ['one', 'two', 'four', 'five', 'six', 'new', 'new'].slice(0, 6 + start);
    t.same(await valuesOverGaps(log), { values: kept, gaps: ['2-3 given up'] });
    await store.close();
  }
});

t.test('--cut ends the log before the gap, keeps the files, and gives no offset twice', async (t) => {
  for (const isCrashed of [true, false]) {
    const folder = await stopped(`cut-${isCrashed}`, rot(1), isCrashed);
    const { code, out } = await taskctl('log', 'repair', folder, '--partition', '7/0', '--cut');
    t.equal(code, 0);
    t.match(out, /DATA_LOSS for records 2 to 5 and go on behind them; the next record gets offset 6; left out and/);
    const names = readdirSync(join(folder, 'data/7/0-1'));
    t.match(
      names.filter((name) => name.endsWith('.cut')),
      [/^0+4\.log\.cut$/],
    );
    for (let start = 0; start < 2; start++) {
      const store = await LogStore.open(runtime, folder, { segmentBytes: 280 });
      const log = await store.open(7, 0);
      t.equal(log.problem, undefined);
      t.equal(log.append(batchOf('new')), 6 + start);
      await synced(log);
      const kept = ['one', 'two', 'new', 'new'].slice(0, 3 + start);
      t.same(await valuesOverGaps(log), { values: kept, gaps: ['2-6 given up'] });
      await store.close();
    }
  }
});

t.test('where the end itself is gone, the log goes on far behind it', async (t) => {
  const lose = (folder: string): void => rmSync(join(folder, segments(folder).at(-1)!));
  const folder = await stopped('end', lose);
  t.match((await taskctl('log', 'inspect', folder)).out, /from offset 4 on everything is gone, at least 2 records/);
  t.equal((await taskctl('log', 'repair', folder, '--partition', '7/0', '--keep')).code, 0);
  const store = await LogStore.open(runtime, folder);
  const log = await store.open(7, 0);
  t.same([log.problem, log.syncedEnd], [undefined, 1_000_006]);
  t.same(await valuesOverGaps(log), { values: values.slice(0, 4), gaps: ['4-1000006 given up'] });
  t.equal(log.append(batchOf('new')), 1_000_006);
  await synced(log);
  await store.close();
});

t.test('a log whose first segment is gone', async (t) => {
  const folder = await stopped('start', (logFolder) => rmSync(join(logFolder, segments(logFolder)[0]!)));
  t.match((await taskctl('log', 'inspect', folder)).out, /records 0 to 1 are gone \(2\): .*: the segment is missing/);
  t.equal((await taskctl('log', 'repair', folder, '--partition', '7/0', '--keep')).code, 0);
  const store = await LogStore.open(runtime, folder);
  const log = await store.open(7, 0);
  t.equal(log.problem, undefined);
  t.same(await valuesOverGaps(log), { values: values.slice(2), gaps: ['0-2 given up'] });
  await store.close();
});

t.test('why a folder is not looked at is said in words', async (t) => {
  const folder = await stopped('used', () => {});
  const store = await LogStore.open(runtime, folder);
  t.match((await taskctl('log', 'inspect', folder)).err, /is in use by another taskd; stop that one/);
  t.equal((await allValues(await store.open(7, 0))).length, 6);
  await store.close();
  t.match((await taskctl('log', 'inspect', folder, '--partition', '9/0')).err, /there is no log 9\/0.*there are: 7\/0/);
  t.match((await taskctl('log', 'inspect', base)).err, /is not a data folder of taskd/);
  t.match(await taskctl('log', 'inspect', join(base, 'no/such')), { code: 3, err: /there is no folder .*no\/such/ });
  t.match((await taskctl('log', 'export', folder, '--partition', 'orders')).err, /a topic id and a partition/);
});

t.test('gaps that were recorded and then damaged make the log read-only', async (t) => {
  const folder = await stopped('record', rot(1));
  await taskctl('log', 'repair', folder, '--partition', '7/0', '--keep');
  const path = join(folder, 'data/7/0-1/gaps');
  writeFileSync(path, readFileSync(path, 'latin1').replace('gap 2 3', 'gap 2 4'));
  const store = await LogStore.open(runtime, folder);
  const log = await store.open(7, 0);
  t.match(log.problem, /gaps is damaged/);
  try {
    log.append(batchOf('x'));
    t.fail('it was taken');
  } catch (error) {
    t.ok(isTaskdError(error, ErrorCode.STORAGE_FAILED));
  }
  await store.close();
});
