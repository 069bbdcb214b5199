import { FileError, type FileHandle, type Files, type OpenMode } from '../../src/runtime/files.js';

/** Files whose opening for reading can be held back, or fail; what is read of one that is open is held back too. */
export class GatedFiles {
  /** What to give as `runtime.files`. */
  readonly proxy: Files;
  isShut = false;
  /** So many of the next openings and reads fail, as when the process has too many files open. */
  failures = 0;
  #held: (() => void)[] = [];
  #isEnough = (): void => {};

  constructor(files: Files) {
    this.proxy = new Proxy(files, {
      get: (target, name) => {
        if (name === 'open') return (path: string, mode: OpenMode) => this.#open(target, path, mode);
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
  }

  /** Resolves when so many wait to be let through. */
  waiting(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.#isEnough = () => {
        if (this.#held.length >= count) resolve();
      };
      this.#isEnough();
    });
  }

  release(): void {
    this.isShut = false;
    for (const go of this.#held.splice(0)) go();
  }

  async #open(files: Files, path: string, mode: OpenMode): Promise<FileHandle> {
    const isReading = mode === 'read' || mode === 'background';
    if (isReading) await this.#gate(path);
    const handle = await files.open(path, mode);
    if (!isReading) return handle;
    return new Proxy(handle, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (name === 'read') {
          return async (into: Uint8Array, position: number) => {
            await this.#gate(path);
            return target.read(into, position);
          };
        }
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
  }

  async #gate(path: string): Promise<void> {
    if (this.failures > 0) {
      this.failures--;
      throw new FileError('OTHER', path, new Error('EMFILE'));
    }
    if (!this.isShut) return;
    await new Promise<void>((resolve) => {
      this.#held.push(resolve);
      this.#isEnough();
    });
  }
}
