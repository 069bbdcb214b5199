/**
 * Small files that are written whole: after a crash there is the old content or the new one, never a mixture.
 */
import { FileError, type Files } from './files.js';

/**
 * Puts `bytes` in place of the file at `path`, which need not exist; its folder must. The new content and the name are
 * on disk when it resolves. After a rejection the old content or the new one is there. One call at a time a path.
 */
export async function replaceFile(files: Files, path: string, bytes: Uint8Array): Promise<void> {
  const fresh = `${path}.new`;
  if (await files.exists(fresh)) await files.remove(fresh);
  try {
    const handle = await files.open(fresh, 'create');
    try {
      await handle.write([bytes], 0);
      await handle.dataSync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    // A half of it would keep the room that a full disk needs.
    await files.remove(fresh).catch(() => {});
    throw error;
  }
  await files.rename(fresh, path);
  await files.syncFolder(parentOf(path));
}

/** The file's bytes, at most `bytesMax` of them; undefined when there is no such file. Rejects with a `FileError`. */
export async function readFile(files: Files, path: string, bytesMax: number): Promise<Uint8Array | undefined> {
  let handle: Awaited<ReturnType<Files['open']>>;
  try {
    handle = await files.open(path, 'read');
  } catch (error) {
    if (error instanceof FileError && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const bytes = Buffer.allocUnsafeSlow(Math.min(bytesMax, await handle.size()));
    return bytes.subarray(0, await handle.read(bytes, 0));
  } finally {
    await handle.close();
  }
}

/** Makes a folder's own name durable, and its parents', as far as we may: some of them may be new. */
export async function syncParents(files: Files, folder: string): Promise<void> {
  for (let at = folder; at !== '/'; ) {
    at = parentOf(at);
    try {
      await files.syncFolder(at);
    } catch (error) {
      // Where we may not even look, we made nothing.
      if (error instanceof FileError && (error.code === 'EACCES' || error.code === 'EROFS')) return;
      throw error;
    }
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}
