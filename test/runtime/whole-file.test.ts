import t from 'tap';
import { FileError } from '../../src/runtime/files.js';
import { readFile, replaceFile, syncParents } from '../../src/runtime/whole-file.js';
import { TracedFiles } from '../support/traced-files.js';

const path = '/var/taskd/small';
const text = async (files: TracedFiles): Promise<string | undefined> => {
  const bytes = await readFile(files, path, 100);
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
};

t.test('whenever the power goes, the old content is there or the new one', async (t) => {
  const files = new TracedFiles(new Map());
  await replaceFile(files, path, Buffer.from('old'));
  const begun = files.trace.length;
  await replaceFile(files, path, Buffer.from('new'));
  const seen = new Set<string | undefined>();
  for (let done = begun; done <= files.trace.length; done++) {
    for (const image of files.images(done, 10, 20, () => 0.5)) {
      const found = await text(new TracedFiles(image));
      seen.add(found);
      if (done === files.trace.length && found !== 'new') t.fail(`${found} after it was promised`);
    }
  }
  t.same([...seen].sort(), ['new', 'old']);
});

t.test('a failure leaves the old content, and no half of the new one', async (t) => {
  const files = new TracedFiles(new Map());
  await replaceFile(files, path, Buffer.from('old'));
  const { open } = files;
  files.open = async (at, mode) => {
    const handle = await open.call(files, at, mode);
    handle.write = async () => {
      throw new FileError('ENOSPC', at);
    };
    return handle;
  };
  await t.rejects(replaceFile(files, path, Buffer.from('new')), { code: 'ENOSPC' });
  files.open = open;
  t.equal(await text(files), 'old');
  t.notOk(await files.exists(`${path}.new`));
  await replaceFile(files, path, Buffer.from('new'));
  t.equal(await text(files), 'new');
});

t.test('reading is bounded, and a file that is not there is none', async (t) => {
  const files = new TracedFiles(new Map());
  t.equal(await text(files), undefined);
  await replaceFile(files, path, Buffer.alloc(1_000, 'x'));
  t.equal((await text(files))?.length, 100);
});

t.test('the names of all parents are synced, as far as one may', async (t) => {
  const files = new TracedFiles(new Map());
  const synced: string[] = [];
  files.syncFolder = async (folder) => {
    if (folder === '/') throw new FileError('EACCES', folder);
    synced.push(folder);
  };
  await syncParents(files, '/a/b/c');
  t.same(synced, ['/a/b', '/a']);
  files.syncFolder = async (folder) => {
    throw new FileError('EIO', folder);
  };
  await t.rejects(syncParents(files, '/a/b/c'), { code: 'EIO' });
});
