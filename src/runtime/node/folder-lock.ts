/**
 * The right to a folder, as two listening sockets. Neither outlives its process by more than a name.
 *
 * One has a name in Linux's abstract namespace, made of the folder's device and inode. It decides at once and leaves no
 * file, but is seen only within one network namespace. Two containers on one volume don't see each other's.
 *
 * So the other one is a file in the folder, `lock.<random>`, which whoever sees the folder on this machine can call. One
 * that nobody listens to is left over, and is removed: a name is never used twice, so that is nobody else's. A socket
 * gets that name only when it listens already; before, it is `lock.<random>.new`, and whoever finds it taken away then
 * gives up. All look for others after their own name is there: of two that come at once, both may give up, but never
 * both go on.
 *
 * A file system that holds no sockets, or that can't be written, leaves the first one alone. Two machines that share a
 * network file system don't see each other.
 */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { createConnection, createServer, type Server } from 'node:net';
import { FileError, type FolderLock } from '../files.js';

const fileName = /^lock\.[0-9a-f]{16}(\.new)?$/;

/** True for the name of a lock's file, alive or left over. */
export const isLockFile = (name: string): boolean => fileName.test(name);

/** What `bind` answers where the folder can't hold a socket. */
const noSocketHere: ReadonlySet<string> = new Set(['EROFS', 'EACCES', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP']);
/** What a call is answered by a socket whose process is gone. */
const nobodyThere: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOENT']);
/** And by one whose process is there: it has too many calls to take, or let go in this moment. */
const somebodyThere: ReadonlySet<string> = new Set(['EAGAIN', 'ECONNRESET']);

/** Takes `folder`. Rejects with a `FileError` of code LOCKED while another process has it, else with the system's errors. */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const opened = await fs.promises.open(folder, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    const { dev, ino } = await opened.stat({ bigint: true });
    const abstract = await listen(`\0taskd-${dev}-${ino}`).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'EADDRINUSE' ? new FileError('LOCKED', folder, error) : error;
    });
    try {
      const file = await LockFile.take(folder, `/proc/self/fd/${opened.fd}`);
      return {
        release: async () => {
          await file?.release();
          await close(abstract);
        },
      };
    } catch (error) {
      await close(abstract);
      throw error;
    }
  } finally {
    await opened.close();
  }
}

/** The socket that is a file. Exported for its test: within one network namespace the other one decides before it. */
export class LockFile {
  readonly #path: string;
  readonly #server: Server;

  private constructor(path: string, server: Server) {
    this.#path = path;
    this.#server = server;
  }

  /**
   * `short` is another path of the folder, since a socket's path has at most 107 bytes. Undefined where the folder can't
   * hold a socket; rejects with LOCKED all the same when somebody else's is there.
   */
  static async take(folder: string, short: string): Promise<LockFile | undefined> {
    const name = `lock.${randomBytes(8).toString('hex')}`;
    const server = await listen(`${short}/${name}.new`).catch((error: NodeJS.ErrnoException) => {
      if (noSocketHere.has(error.code ?? '')) return undefined;
      throw error;
    });
    const path = `${folder}/${name}`;
    try {
      if (server !== undefined) await giveName(path, folder);
      await expectNobody(folder, short, name);
    } catch (error) {
      if (server !== undefined) await close(server);
      await removeFile(path);
      await removeFile(`${path}.new`);
      throw error;
    }
    return server && new LockFile(path, server);
  }

  async release(): Promise<void> {
    await removeFile(this.#path);
    await close(this.#server);
  }
}

async function giveName(path: string, folder: string): Promise<void> {
  try {
    await fs.promises.rename(`${path}.new`, path);
  } catch (error) {
    const isTaken = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw isTaken ? new FileError('LOCKED', folder, error) : error;
  }
}

/** Rejects with LOCKED when another's socket answers; removes those that don't. */
async function expectNobody(folder: string, short: string, own: string): Promise<void> {
  for (const name of await fs.promises.readdir(folder)) {
    if (!isLockFile(name) || name === own) continue;
    if (await isAnswered(`${short}/${name}`)) throw new FileError('LOCKED', folder);
    await removeFile(`${folder}/${name}`);
  }
}

/** The kernel takes the call of a process that is stopped. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const code = error.code ?? '';
      if (nobodyThere.has(code)) resolve(false);
      else if (somebodyThere.has(code)) resolve(true);
      else reject(error);
    });
  });
}

async function removeFile(path: string): Promise<void> {
  // What is left over is told from what is alive by the next one who comes.
  await fs.promises.unlink(path).catch(() => {});
}

function listen(path: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.unref();
      resolve(server);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}
