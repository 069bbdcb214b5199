import t from 'tap';
import { ReadHandles } from '../../src/log/read-handles.js';
import { Segment } from '../../src/log/segment.js';
import { FileError, type FileHandle, type Files } from '../../src/runtime/files.js';

t.test('an opening that fails late does not take away the one after it', async (t) => {
  const openings: { resolve: (handle: FileHandle) => void; reject: (error: Error) => void }[] = [];
  const open = () => new Promise<FileHandle>((resolve, reject) => openings.push({ resolve, reject }));
  const handles = new ReadHandles({ open } as unknown as Files, 4);
  const segment = new Segment(0, '/log', 10, 10);
  const first = handles.open(segment);
  handles.drop(segment);
  const second = handles.open(segment);
  openings[0]!.reject(new FileError('EMFILE', '/log'));
  await t.rejects(first);
  const handle = { close: async () => {} } as FileHandle;
  openings[1]!.resolve(handle);
  t.equal(await second, handle);
  t.equal(handles.openNow(segment), handle);
  t.equal(handles.size, 1);
});
