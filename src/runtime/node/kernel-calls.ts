/**
 * The calls of Linux that Node has no function for, through koffi: sendfile(2), cachestat(2), preadv2(2) and
 * posix_fadvise(2).
 * All are made on the loop's own thread and none of them waits for a disk, as long as `sendfile` is only asked for bytes
 * that `residentBytes` has seen.
 */
import type koffi from 'koffi';

type Koffi = typeof koffi;

const pageBytes = 4_096;
/** cachestat(2) has one number on all architectures; the C library has no name for it yet. */
const cachestatNumber = 451;
const RWF_NOWAIT = 8;
const POSIX_FADV_RANDOM = 1;
/** Where cachestat is missing, one byte of each so many is looked at. */
const sampleBytes = 32 * 1024;
/** When not all that was asked for is in memory, whether the beginning is. */
const beginningBytes = 128 * 1024;
/** An EINTR that comes back so often is no coincidence. */
const interruptsMax = 16;

/** What `sendfile` says when it sent nothing; `gone`: the other end is. */
export type SendProblem = 'full' | 'unsupported' | 'gone' | { readonly errno: number };

export class KernelCalls {
  readonly #koffi: Koffi;
  readonly #sendfile: (out: number, file: number, offset: Uint32Array, count: number) => number;
  readonly #preadv2: (file: number, vector: BigUint64Array, count: number, offset: number, flags: number) => number;
  readonly #fadvise: (file: number, position: number, length: number, advice: number) => number;
  readonly #syscall: (n: number, file: number, range: Uint32Array, result: Uint32Array, flags: number) => number;
  readonly #errno: Readonly<Record<string, number>>;
  readonly #vector: BigUint64Array;
  readonly #offset = new Uint32Array(2);
  readonly #range = new Uint32Array(4);
  readonly #stat = new Uint32Array(10);
  #hasCachestat = true;

  private constructor(library: Koffi) {
    this.#koffi = library;
    const c = library.load(null);
    this.#sendfile = c.func('int64_t sendfile(int, int, void *, size_t)');
    this.#preadv2 = c.func('int64_t preadv2(int, void *, int, int64_t, int)');
    this.#syscall = c.func('long syscall(long, int, void *, void *, unsigned int)');
    this.#fadvise = c.func('int posix_fadvise(int, int64_t, int64_t, int)');
    this.#errno = library.os.errno;
    // struct iovec with one byte, never freed: one for the life of the process.
    const byte: unknown = library.alloc('uint8_t', 1);
    this.#vector = new BigUint64Array([BigInt(library.address(byte as never)), 1n]);
  }

  /** Rejects where koffi is not installed or the C library lacks a function; throws on other systems. */
  static async load(): Promise<KernelCalls> {
    // In a file's offset the low half comes first, and size_t has 64 bits.
    if (process.platform !== 'linux' || !['x64', 'arm64', 'riscv64', 'loong64'].includes(process.arch)) {
      throw new Error(`it needs Linux on a 64-bit processor, this is ${process.platform} on ${process.arch}`);
    }
    return new KernelCalls((await import('koffi')).default);
  }

  /**
   * Sends up to `length` bytes of a file from `position` to a socket that does not block. Returns how many went, 0 where
   * the file ends, or why none did: `full` when the socket takes nothing now.
   */
  sendfile(socket: number, file: number, position: number, length: number): number | SendProblem {
    for (let tries = 0; ; tries++) {
      this.#offset[0] = position % 0x1_0000_0000;
      this.#offset[1] = Math.floor(position / 0x1_0000_0000);
      const sent = this.#sendfile(socket, file, this.#offset, length);
      if (sent >= 0) return Number(sent);
      const errno = this.#koffi.errno();
      const { EAGAIN, ECONNRESET, EINTR, EINVAL, ENOSYS, EOPNOTSUPP, ENOTCONN, EPIPE, ETIMEDOUT } = this.#errno;
      if (errno === EAGAIN) return 'full';
      if (errno === EPIPE || errno === ECONNRESET || errno === ENOTCONN || errno === ETIMEDOUT) return 'gone';
      if (errno === EINVAL || errno === ENOSYS || errno === EOPNOTSUPP) return 'unsupported';
      if (errno !== EINTR || tries === interruptsMax) return { errno };
    }
  }

  /**
   * Lets the system read of an open file what it is asked for and nothing ahead. What it reads ahead by itself may be
   * some MiB at once, behind which syncs of the same disk wait; and `sendfile` would wait for pages on their way.
   */
  dontReadAhead(file: number): void {
    this.#fadvise(file, 0, 0, POSIX_FADV_RANDOM);
  }

  /** How many of the `length` bytes from `position` are in the page cache, counted from the first; or none of them. */
  residentBytes(file: number, position: number, length: number): number {
    if (!this.#hasCachestat) return this.#sampled(file, position, length);
    const all = this.#isCached(file, position, length);
    if (all === undefined) return this.#sampled(file, position, length);
    let resident = length;
    if (!all) {
      if (length <= beginningBytes || this.#isCached(file, position, beginningBytes) !== true) return 0;
      resident = beginningBytes;
    }
    // A page that is being read ahead counts as cached; reading its last byte without waiting tells.
    return this.#isReadable(file, position + resident - 1) === false ? 0 : resident;
  }

  /** Whether every page of the range is in the cache, read or being read; undefined where that can't be told. */
  #isCached(file: number, position: number, length: number): boolean | undefined {
    const range = this.#range;
    range[0] = position % 0x1_0000_0000;
    range[1] = Math.floor(position / 0x1_0000_0000);
    range[2] = length;
    if (this.#syscall(cachestatNumber, file, range, this.#stat, 0) !== 0) {
      this.#hasCachestat = false; // An older kernel, or a filter on calls.
      return undefined;
    }
    const pages = Math.floor((position + length - 1) / pageBytes) - Math.floor(position / pageBytes) + 1;
    return this.#stat[0]! >= pages;
  }

  #sampled(file: number, position: number, length: number): number {
    let resident = 0;
    for (let at = 0; ; at = Math.min(at + sampleBytes, length - 1)) {
      if (this.#isReadable(file, position + at) !== true) return resident;
      if (at === length - 1) return length;
      resident = at;
    }
  }

  /** Whether a byte can be read without waiting; undefined where the file system does not tell. */
  #isReadable(file: number, position: number): boolean | undefined {
    const count = this.#preadv2(file, this.#vector, 1, position, RWF_NOWAIT);
    if (count >= 0) return count > 0;
    return this.#koffi.errno() === this.#errno['EAGAIN'] ? false : undefined;
  }
}
