import type { Logger } from '../../base/logger.js';
import type { RegionStats } from '../file-region.js';
import type { KernelCalls } from './kernel-calls.js';

/** What one turn of the loop sends by the kernel, over all sockets; about half a millisecond. */
const turnBytesMax = 1024 * 1024;
/** The least that a socket is given when it has its turn. */
const shareBytesMin = 64 * 1024;
/** Reads from files that run at once for all sockets: the thread pool has other work. */
const readsMax = 6;
/** Memory that those reads and the writes after them hold; a socket that finds less gets a small buffer. */
const bufferBytesMax = 64 * 1024 * 1024;
const bufferBytes = 256 * 1024;
const smallBufferBytes = 8 * 1024;
/** Buffers that are kept to be used again. */
const spareMax = 8;

/** One socket that has regions to send. */
export interface RegionSource {
  /** Sends at most `bytesMax` by the kernel; returns how many went. */
  send(bytesMax: number): number;
  /** One of the reads is its own now, until `readDone`. */
  read(): void;
  /** Bytes left since the last time. Called in a turn of its own. */
  tellDrained(): void;
}

/**
 * What all sockets of a process share to send regions of files: the turn, so that no socket holds the loop, the reads,
 * so that none holds the thread pool, and the numbers.
 */
export class RegionSender implements RegionStats {
  readonly logger: Logger;
  zeroCopyBytes = 0;
  copiedBytes = 0;
  coldReads = 0;
  queued = 0;
  #kernel: KernelCalls | undefined;
  #ready: RegionSource[] = [];
  readonly #drained = new Set<RegionSource>();
  /** In the order in which they came. */
  readonly #waitingToRead = new Set<RegionSource>();
  #isStartingReads = false;
  #reads = 0;
  #buffered = 0;
  readonly #spare: Buffer[] = [];
  #left = turnBytesMax;
  #isTurnPlanned = false;
  #isSending = false;

  constructor(logger: Logger) {
    this.logger = logger;
  }

  /** Undefined: all is read and written. */
  get kernel(): KernelCalls | undefined {
    return this.#kernel;
  }

  /** From now on regions go by the kernel. */
  useKernel(kernel: KernelCalls): void {
    this.#kernel = kernel;
  }

  /** A file or a socket refuses; the other way always works. */
  unsupported(): void {
    if (this.#kernel === undefined) return;
    this.#kernel = undefined;
    this.logger.warn({}, 'this file system does not let files be sent by the kernel; they are read and written now');
  }

  /** Lets `source` send, now when nobody waits and this turn has bytes left, else in one of the next turns. */
  ready(source: RegionSource): void {
    this.#planTurn();
    if (this.#isSending || this.#ready.length > 0 || this.#left < shareBytesMin) this.#ready.push(source);
    else this.#send(source, this.#left);
  }

  /** Makes a later turn tell `source` that bytes left. */
  noteDrained(source: RegionSource): void {
    this.#drained.add(source);
    this.#planTurn();
  }

  /** Lets `source` read, at once or when others have finished; it must call `readDone` after each. */
  wantRead(source: RegionSource): void {
    this.#waitingToRead.add(source);
    this.#startReads();
  }

  readDone(): void {
    this.#reads--;
    this.#startReads();
  }

  /** The source has nothing more to send: it waits for nothing. */
  forget(source: RegionSource): void {
    this.#waitingToRead.delete(source);
    this.#drained.delete(source);
  }

  /** One that has nothing to read any more gives its turn back at once, however many they are. */
  #startReads(): void {
    if (this.#isStartingReads) return;
    this.#isStartingReads = true;
    for (const source of this.#waitingToRead) {
      if (this.#reads === readsMax) break;
      this.#waitingToRead.delete(source);
      this.#reads++;
      source.read();
    }
    this.#isStartingReads = false;
  }

  /** A buffer to read into, for `wanted` bytes or fewer, of whatever content; it must be given back. */
  takeBuffer(wanted: number): Buffer {
    const isSmall = wanted <= smallBufferBytes || this.#buffered + bufferBytes > bufferBytesMax;
    const length = isSmall ? smallBufferBytes : bufferBytes;
    this.#buffered += length;
    return (isSmall ? undefined : this.#spare.pop()) ?? Buffer.allocUnsafeSlow(length);
  }

  /** Nobody looks at the buffer any more. */
  giveBack(buffer: Buffer): void {
    this.#buffered -= buffer.length;
    if (buffer.length === bufferBytes && this.#spare.length < spareMax) this.#spare.push(buffer);
  }

  #planTurn(): void {
    if (this.#isTurnPlanned) return;
    this.#isTurnPlanned = true;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#isTurnPlanned = false;
    this.#left = turnBytesMax;
    const drained = [...this.#drained];
    this.#drained.clear();
    for (const source of drained) source.tellDrained();
    const ready = this.#ready;
    this.#ready = [];
    const share = Math.max(shareBytesMin, Math.floor(turnBytesMax / Math.max(1, ready.length)));
    let at = 0;
    while (at < ready.length && this.#left >= shareBytesMin) this.#send(ready[at++]!, Math.min(share, this.#left));
    // Those that had no turn come before those that want another one.
    if (at < ready.length) this.#ready = ready.slice(at).concat(this.#ready);
    if (this.#ready.length > 0) this.#planTurn();
  };

  /** A source that wants to send more while it sends gets another turn. */
  #send(source: RegionSource, bytesMax: number): void {
    this.#isSending = true;
    this.#left -= source.send(bytesMax);
    this.#isSending = false;
  }
}
