import { FileError, type FolderEntry } from '../files.js';
import type { Random } from '../random.js';
import { pageBytes, SimFile } from './sim-file.js';

class SimFolder {
  /** What every process sees. */
  entries = new Map<string, SimNode>();
  /** What a power loss leaves. */
  durable = new Map<string, SimNode>();
}

type SimNode = SimFile | SimFolder;

/** One name set or, without a node, removed. */
interface NameChange {
  readonly folder: SimFolder;
  readonly name: string;
  readonly node: SimNode | undefined;
}

/** How much of what was not synced survives a power loss: mostly nothing or all, sometimes any part. */
const survivingShares = [0, 1, 0.5, 0.85, 0.15];

/** What a disk without a limit says that it holds. */
const unlimitedBytes = 2 ** 40;

/**
 * One host's file system. It outlives its processes; `losePower` takes what was not synced. Everything is synchronous
 * here: `SimFiles` gives it time.
 */
export class SimDisk {
  /** Bytes that fit; may be set below what is used. */
  limitBytes: number = Number.POSITIVE_INFINITY;
  /** So many of the next file syncs fail, of files whose path begins with `failingUnder`. */
  failingSyncs = 0;
  failingUnder = '/';
  /** A sync takes so much longer than usual. */
  syncExtraMs = 0;
  readonly #random: Random;
  readonly #root = new SimFolder();
  /** Operations on names since the last sync of their folders, each applied whole or not at all. */
  #unsynced: NameChange[][] = [];
  readonly #locked = new Set<SimFolder>();

  constructor(random: Random) {
    this.#random = random;
  }

  file(path: string): SimFile {
    const node = this.#find(path);
    if (node instanceof SimFolder) throw new FileError('OTHER', path, new Error('it is a folder'));
    return node;
  }

  createFile(path: string): SimFile {
    const { folder, name } = this.#place(path);
    if (folder.entries.has(name)) throw new FileError('EEXIST', path);
    this.#checkSpace(path, 0);
    const file = new SimFile(this.#random);
    this.#change([{ folder, name, node: file }]);
    return file;
  }

  /** Writes as much as there is room for, then fails, as a full disk does. */
  write(path: string, file: SimFile, chunks: readonly Uint8Array[], position: number): void {
    for (const chunk of chunks) {
      this.#checkSpace(path, file.newPages(position, chunk.length));
      file.write(chunk, position);
      position += chunk.length;
    }
  }

  /** Completes a sync that was asked for after `writes` writes to the file. */
  sync(path: string, file: SimFile, writes: number): void {
    this.#failSync(path, file);
    file.sync(writes);
  }

  /** Completes a write through: these bytes are on disk, others need not be. */
  syncRange(path: string, file: SimFile, position: number, length: number): void {
    this.#failSync(path, file);
    file.syncRange(position, length);
  }

  list(path: string): FolderEntry[] {
    return [...this.#folder(path).entries]
      .map(([name, node]) => ({ name, isFolder: node instanceof SimFolder }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  exists(path: string): boolean {
    try {
      this.#find(path);
      return true;
    } catch {
      return false;
    }
  }

  makeFolder(path: string): void {
    let folder = this.#root;
    const names = parts(path);
    for (const [i, name] of names.entries()) {
      let node = folder.entries.get(name);
      if (node === undefined) {
        node = new SimFolder();
        this.#change([{ folder, name, node }]);
      }
      if (!(node instanceof SimFolder)) throw new FileError(i === names.length - 1 ? 'EEXIST' : 'ENOTDIR', path);
      folder = node;
    }
  }

  rename(from: string, to: string): void {
    const source = this.#place(from);
    const node = this.#find(from);
    const target = this.#place(to);
    this.#change([
      { folder: source.folder, name: source.name, node: undefined },
      { folder: target.folder, name: target.name, node },
    ]);
  }

  remove(path: string): void {
    this.file(path);
    this.#change([{ ...this.#place(path), node: undefined }]);
  }

  removeFolder(path: string): void {
    const folder = this.#folder(path);
    for (const [name, node] of [...folder.entries]) {
      const below = `${path}/${name}`;
      if (node instanceof SimFolder) this.removeFolder(below);
      else this.remove(below);
    }
    this.#change([{ ...this.#place(path), node: undefined }]);
  }

  syncFolder(path: string): void {
    const folder = this.#folder(path);
    const rest: NameChange[][] = [];
    for (const changes of this.#unsynced) {
      if (changes.some((change) => change.folder === folder)) apply(changes);
      else rest.push(changes);
    }
    this.#unsynced = rest;
  }

  /** Takes the lock of a folder; the returned function releases it. */
  lock(path: string): () => void {
    const folder = this.#folder(path);
    if (this.#locked.has(folder)) throw new FileError('LOCKED', path);
    this.#locked.add(folder);
    return () => this.#locked.delete(folder);
  }

  space(): { freeBytes: number; totalBytes: number } {
    const totalBytes = Math.min(this.limitBytes, unlimitedBytes);
    return { freeBytes: Math.max(0, totalBytes - this.#usedBytes()), totalBytes };
  }

  /** The system drops some clean pages from memory. */
  evict(): void {
    for (const file of this.#files()) file.evict();
  }

  losePower(): void {
    const nameShare = this.#share();
    const isPrefix = this.#random.below(2) === 0;
    for (const changes of this.#unsynced) {
      if (this.#random.unit() < nameShare) apply(changes);
      else if (isPrefix) break; // A journalling file system loses the end only.
    }
    this.#unsynced = [];
    this.#locked.clear();
    const share = this.#share();
    const seen = new Set<SimFile>();
    const visit = (folder: SimFolder): void => {
      folder.entries = new Map(folder.durable);
      for (const node of folder.entries.values()) {
        if (node instanceof SimFolder) visit(node);
        else if (!seen.has(node)) {
          seen.add(node);
          node.losePower(share);
        }
      }
    };
    visit(this.#root);
  }

  #share(): number {
    return survivingShares[this.#random.below(survivingShares.length)]!;
  }

  #change(changes: NameChange[]): void {
    for (const { folder, name, node } of changes) {
      if (node === undefined) folder.entries.delete(name);
      else folder.entries.set(name, node);
    }
    this.#unsynced.push(changes);
  }

  #failSync(path: string, file: SimFile): void {
    if (this.failingSyncs === 0 || !path.startsWith(this.failingUnder)) return;
    this.failingSyncs--;
    file.failSync();
    throw new FileError('EIO', path);
  }

  #find(path: string): SimNode {
    let node: SimNode = this.#root;
    for (const name of parts(path)) {
      if (!(node instanceof SimFolder)) throw new FileError('ENOTDIR', path);
      const next: SimNode | undefined = node.entries.get(name);
      if (next === undefined) throw new FileError('ENOENT', path);
      node = next;
    }
    return node;
  }

  #folder(path: string): SimFolder {
    const node = this.#find(path);
    if (!(node instanceof SimFolder)) throw new FileError('ENOTDIR', path);
    return node;
  }

  #place(path: string): { folder: SimFolder; name: string } {
    const names = parts(path);
    const name = names.pop();
    if (name === undefined) throw new FileError('OTHER', path, new Error('it is the root'));
    return { folder: this.#folder(`/${names.join('/')}`), name };
  }

  #files(): Set<SimFile> {
    const files = new Set<SimFile>();
    const visit = (folder: SimFolder): void => {
      for (const node of folder.entries.values()) {
        if (node instanceof SimFolder) visit(node);
        else files.add(node);
      }
    };
    visit(this.#root);
    return files;
  }

  #usedBytes(): number {
    let pages = 0;
    for (const file of this.#files()) pages += file.pageCount;
    return pages * pageBytes;
  }

  #checkSpace(path: string, newPages: number): void {
    if (this.limitBytes === Number.POSITIVE_INFINITY) return; // Counting walks over all files.
    if (this.#usedBytes() + newPages * pageBytes > this.limitBytes) throw new FileError('ENOSPC', path);
  }
}

function parts(path: string): string[] {
  return path.split('/').filter((name) => name !== '');
}

function apply(changes: readonly NameChange[]): void {
  for (const { folder, name, node } of changes) {
    if (node === undefined) folder.durable.delete(name);
    else folder.durable.set(name, node);
  }
}
