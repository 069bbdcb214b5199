/**
 * A file system in memory that writes down every operation, and every state in which a power loss may leave it: after
 * any operation, any subset of the sectors, sizes and names that were not synced.
 */
import {
  type BackgroundReadStats,
  FileError,
  type FileHandle,
  type Files,
  type FolderEntry,
  type FolderLock,
  noBackgroundReads,
  type OpenMode,
} from '../../src/runtime/files.js';

const sectorBytes = 512;

/** What a file holds. Zeros at its end are not kept: logs and journals write many of them ahead. */
export interface Content {
  readonly length: number;
  readonly bytes: Buffer;
}

/** Content of each file by path; what a power loss left, or what there is to begin with. */
export type Image = ReadonlyMap<string, Content>;

interface File {
  readonly id: number;
  content: Content;
}

const empty: Content = { length: 0, bytes: Buffer.alloc(0) };

type Operation =
  | { readonly kind: 'write'; readonly file: number; readonly position: number; readonly put: Content }
  | { readonly kind: 'truncate'; readonly file: number; readonly length: number }
  | { readonly kind: 'sync'; readonly file: number }
  /** A name that points to another file, or to none. A rename is two of them at once. */
  | { readonly kind: 'names'; readonly changes: readonly (readonly [path: string, file: number | undefined])[] }
  | { readonly kind: 'syncFolder'; readonly folder: string };

const parent = (path: string): string => path.slice(0, path.lastIndexOf('/'));

export class TracedFiles implements Files {
  readonly backgroundReads: BackgroundReadStats = noBackgroundReads;
  readonly trace: Operation[] = [];
  readonly #start: Image;
  readonly #names = new Map<string, File>();
  readonly #folders = new Set<string>();
  #files = 0;

  constructor(start: Image = new Map()) {
    this.#start = start;
    for (const [path, content] of start) {
      this.#names.set(path, { id: this.#files++, content });
      this.#addFolders(parent(path));
    }
  }

  async open(path: string, mode: OpenMode): Promise<FileHandle> {
    let file = this.#names.get(path);
    if (mode === 'create') {
      if (file !== undefined) throw new FileError('EEXIST', path);
      file = { id: this.#files++, content: empty };
      this.#change([[path, file]]);
    }
    if (file === undefined) throw new FileError('ENOENT', path);
    return new TracedHandle(this.trace, file, mode === 'through');
  }

  async list(folder: string): Promise<FolderEntry[]> {
    const names = new Map<string, boolean>();
    for (const path of [...this.#names.keys(), ...this.#folders]) {
      if (!path.startsWith(`${folder}/`)) continue;
      const [name, ...rest] = path.slice(folder.length + 1).split('/');
      names.set(name!, rest.length > 0 || this.#folders.has(path) || names.get(name!) === true);
    }
    return [...names].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, isFolder]) => ({ name, isFolder }));
  }

  async exists(path: string): Promise<boolean> {
    return this.#names.has(path) || this.#folders.has(path);
  }

  async makeFolder(path: string): Promise<void> {
    this.#addFolders(path);
  }

  async rename(from: string, to: string): Promise<void> {
    const file = this.#names.get(from);
    if (file === undefined) throw new FileError('ENOENT', from);
    this.#change([
      [from, undefined],
      [to, file],
    ]);
  }

  async remove(path: string): Promise<void> {
    if (!this.#names.has(path)) throw new FileError('ENOENT', path);
    this.#change([[path, undefined]]);
  }

  async removeFolder(): Promise<void> {
    throw new FileError('OTHER', 'not traced');
  }

  async syncFolder(folder: string): Promise<void> {
    this.trace.push({ kind: 'syncFolder', folder });
  }

  async lock(): Promise<FolderLock> {
    return { release: async () => {} };
  }

  async space(): Promise<{ freeBytes: number; totalBytes: number }> {
    return { freeBytes: 2 ** 40, totalBytes: 2 ** 41 };
  }

  /**
   * What a power loss may leave when the first `done` operations were done and the next one perhaps half: all subsets
   * when there are at most `exhaustiveBits` things that may or may not be there, else so many as `random` draws.
   */
  *images(done: number, exhaustiveBits: number, draws: number, random: () => number): Generator<Image> {
    const state = new Replay(this.#start);
    for (const operation of this.trace.slice(0, done)) state.apply(operation);
    const next = this.trace[done];
    if (next !== undefined) state.apply(next.kind === 'sync' || next.kind === 'syncFolder' ? undefined : next);
    const bits = state.undecided;
    if (bits <= exhaustiveBits) {
      for (let choice = 0; choice < 2 ** bits; choice++) yield state.image((bit) => ((choice >> bit) & 1) === 1);
      return;
    }
    for (let draw = 0; draw < draws; draw++) {
      const share = [0, 1, 0.5, 0.9, 0.1][draw] ?? random();
      yield state.image(() => random() < share);
    }
  }

  #change(changes: readonly (readonly [string, File | undefined])[]): void {
    for (const [path, file] of changes) {
      if (file === undefined) this.#names.delete(path);
      else this.#names.set(path, file);
    }
    this.trace.push({ kind: 'names', changes: changes.map(([path, file]) => [path, file?.id] as const) });
  }

  #addFolders(path: string): void {
    for (let at = path; at !== ''; at = parent(at)) this.#folders.add(at);
  }
}

class TracedHandle implements FileHandle {
  readonly isThrough: boolean;
  readonly #trace: Operation[];
  readonly #file: File;

  constructor(trace: Operation[], file: File, isThrough: boolean) {
    this.#trace = trace;
    this.#file = file;
    this.isThrough = isThrough;
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    const { length, bytes } = this.#file.content;
    const count = Math.max(0, Math.min(into.length, length - position));
    into.fill(0, 0, count);
    if (position < bytes.length) bytes.copy(into, 0, position, Math.min(bytes.length, position + count));
    return count;
  }

  async write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    const put = trimmed(Buffer.concat(chunks));
    this.#file.content = written(this.#file.content, put, position);
    this.#trace.push({ kind: 'write', file: this.#file.id, position, put });
    if (this.isThrough) this.#trace.push({ kind: 'sync', file: this.#file.id });
  }

  async dataSync(): Promise<void> {
    this.#trace.push({ kind: 'sync', file: this.#file.id });
  }

  async truncate(length: number): Promise<void> {
    this.#file.content = truncated(this.#file.content, length);
    this.#trace.push({ kind: 'truncate', file: this.#file.id, length });
  }

  async size(): Promise<number> {
    return this.#file.content.length;
  }

  async close(): Promise<void> {}
}

function trimmed(bytes: Buffer): Content {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return { length: bytes.length, bytes: bytes.subarray(0, end) };
}

function written(old: Content, put: Content, position: number): Content {
  const length = Math.max(old.length, position + put.length);
  const bytes = Buffer.alloc(Math.max(old.bytes.length, position + put.bytes.length));
  old.bytes.copy(bytes);
  if (position < bytes.length) bytes.fill(0, position, Math.min(bytes.length, position + put.length));
  put.bytes.copy(bytes, position);
  return { length, bytes };
}

function truncated(old: Content, length: number): Content {
  return { length, bytes: old.bytes.subarray(0, length) };
}

/** The sector at `at`, zeros where nothing is. */
function sector(content: Content, at: number): Buffer {
  const bytes = Buffer.alloc(sectorBytes);
  if (at < content.bytes.length) content.bytes.copy(bytes, 0, at, at + sectorBytes);
  return bytes;
}

/** Runs a trace again and tells what is durable from what is not. */
class Replay {
  /** By file: what processes see, and what is on disk. */
  readonly #cached = new Map<number, Content>();
  readonly #durable = new Map<number, Content>();
  readonly #names = new Map<string, number>();
  #unsyncedNames: (readonly (readonly [string, number | undefined])[])[] = [];

  constructor(start: Image) {
    for (const [path, content] of start) {
      const file = this.#names.size;
      this.#names.set(path, file);
      this.#cached.set(file, content);
      this.#durable.set(file, content);
    }
  }

  apply(operation: Operation | undefined): void {
    if (operation === undefined) return;
    switch (operation.kind) {
      case 'write':
        this.#cached.set(operation.file, written(this.#now(operation.file), operation.put, operation.position));
        break;
      case 'truncate':
        this.#cached.set(operation.file, truncated(this.#now(operation.file), operation.length));
        break;
      case 'sync':
        this.#durable.set(operation.file, this.#now(operation.file));
        break;
      case 'names':
        this.#unsyncedNames.push(operation.changes);
        break;
      case 'syncFolder': {
        const isThere = (changes: readonly (readonly [string, number | undefined])[]): boolean =>
          changes.some(([path]) => parent(path) === operation.folder);
        for (const changes of this.#unsyncedNames.filter(isThere)) this.#rename(this.#names, changes);
        this.#unsyncedNames = this.#unsyncedNames.filter((changes) => !isThere(changes));
        break;
      }
    }
  }

  /** Things that may or may not be on disk: sectors, sizes, changes of names. */
  get undecided(): number {
    let bits = this.#unsyncedNames.length;
    for (const file of this.#cached.keys()) {
      bits += this.#sectors(file).length + (this.#now(file).length === this.#onDisk(file).length ? 0 : 1);
    }
    return bits;
  }

  /** The disk when those are there that `isThere` says, each by its number. */
  image(isThere: (bit: number) => boolean): Image {
    let bit = 0;
    const names = new Map(this.#names);
    for (const changes of this.#unsyncedNames) if (isThere(bit++)) this.#rename(names, changes);
    const contents = new Map<number, Content>();
    for (const file of this.#cached.keys()) {
      const [now, disk] = [this.#now(file), this.#onDisk(file)];
      const bytes = Buffer.alloc(Math.max(now.bytes.length, disk.bytes.length));
      disk.bytes.copy(bytes);
      for (const at of this.#sectors(file)) if (isThere(bit++)) sector(now, at).copy(bytes, at);
      const length = now.length !== disk.length && isThere(bit++) ? now.length : disk.length;
      contents.set(file, { length, bytes: bytes.subarray(0, length) });
    }
    return new Map([...names].map(([path, file]) => [path, contents.get(file) ?? empty]));
  }

  #now(file: number): Content {
    return this.#cached.get(file) ?? empty;
  }

  #onDisk(file: number): Content {
    return this.#durable.get(file) ?? empty;
  }

  /** Positions of the sectors that differ between memory and disk; what lies beyond a file's end is zeros. */
  #sectors(file: number): number[] {
    const [now, disk] = [this.#now(file), this.#onDisk(file)];
    if (now === disk) return [];
    const positions: number[] = [];
    for (let at = 0; at < Math.max(now.bytes.length, disk.bytes.length); at += sectorBytes) {
      if (!sector(now, at).equals(sector(disk, at))) positions.push(at);
    }
    return positions;
  }

  #rename(names: Map<string, number>, changes: readonly (readonly [string, number | undefined])[]): void {
    for (const [path, file] of changes) {
      if (file === undefined) names.delete(path);
      else names.set(path, file);
    }
  }
}
