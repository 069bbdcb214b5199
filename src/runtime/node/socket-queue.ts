/**
 * What waits to leave a socket once a region of a file is among it. Everything leaves in the order in which it came.
 *
 * ```
 *  empty ──pieces──► pumping ──first is bytes──► written to the socket; on to the next piece
 *                      │  first is a region, the socket's own queue is not empty ──► waiting for its callback ─► pumping
 *                      │  … it is empty, pages in memory ──► sending: a share a turn by the kernel
 *                      │        └─ the socket is full ──► a few bytes by an ordinary write; its callback ─► sending
 *                      │  … pages not in memory, or no kernel calls ──► reading (thread pool) ──► written ─► pumping
 *                      └─ nothing left ──► empty, then FIN if that was asked for
 *  each ──socket gone, file shorter than promised, read error──► dead: every region released
 * ```
 *
 * A region is released when its last byte was handed to the kernel by `sendfile`, or copied; not while a read of it is
 * under way. The descriptor is looked up anew for each call, which is synchronous: nothing can close it in between.
 */
import type * as net from 'node:net';
import { bytesOf, FileRegion, type Piece, releasePieces } from '../file-region.js';
import { NetError } from '../net.js';
import { NodeFileHandle } from './node-files.js';
import type { RegionSender, RegionSource } from './region-sender.js';

/** What tells by its callback that a full socket takes bytes again. */
const bounceBytes = 4 * 1024;

/** A socket with the part of Node's handle that is needed here. */
type SocketWithHandle = net.Socket & { readonly _handle?: { readonly fd?: number } | null };

export class SocketQueue implements RegionSource {
  readonly #socket: SocketWithHandle;
  readonly #sender: RegionSender;
  readonly #drained: () => void;
  readonly #failed: (error: Error) => void;
  #pieces: Piece[] = [];
  /** Bytes of the first piece, a region, that have left. */
  #sent = 0;
  #bytes = 0;
  #state: 'idle' | 'writing' | 'sending' | 'reading' | 'dead' = 'idle';
  #isPumping = false;
  #mustEnd = false;
  /** The region of which bytes are being read. */
  #beingRead: FileRegion | undefined;

  /**
   * `drained` is called in turns of its own when bytes left; `failed` when the promised bytes can't be had, and with a
   * `NetError` when the peer is gone.
   */
  constructor(socket: net.Socket, sender: RegionSender, drained: () => void, failed: (error: Error) => void) {
    this.#socket = socket;
    this.#sender = sender;
    this.#drained = drained;
    this.#failed = failed;
  }

  get isEmpty(): boolean {
    return this.#pieces.length === 0;
  }

  /** Bytes here, besides those in the socket's own queue. */
  get bytes(): number {
    return this.#bytes;
  }

  add(pieces: readonly Piece[]): void {
    if (this.#state === 'dead') {
      releasePieces(pieces);
      return;
    }
    for (const piece of pieces) {
      this.#pieces.push(piece);
      if (piece instanceof FileRegion) this.#sender.queued++;
    }
    this.#bytes += bytesOf(pieces);
    this.#pump();
  }

  /** Sends FIN behind what waits. */
  end(): void {
    this.#mustEnd = true;
    this.#pump();
  }

  /** The socket is gone. */
  die(): void {
    if (this.#state === 'dead') return;
    this.#state = 'dead';
    this.#sender.forget(this);
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#bytes = 0;
    for (const piece of pieces) {
      if (!(piece instanceof FileRegion)) continue;
      this.#sender.queued--;
      if (piece !== this.#beingRead) piece.release();
    }
  }

  tellDrained(): void {
    if (this.#state !== 'dead') this.#drained();
  }

  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (this.#state === 'idle') {
      const first = this.#pieces[0];
      if (first === undefined) {
        if (this.#mustEnd && this.#socket.writable) this.#socket.end();
        break;
      }
      if (!(first instanceof FileRegion)) this.#writeBytes();
      else if (this.#socket.writableLength > 0) this.#state = 'writing';
      else if (this.#sender.kernel === undefined || !(first.file instanceof NodeFileHandle)) this.#startRead();
      else {
        this.#state = 'sending';
        this.#sender.ready(this);
      }
    }
    this.#isPumping = false;
  }

  /** Hands the bytes before the next region to the socket. */
  #writeBytes(): void {
    const pieces = this.#pieces;
    let count = 1;
    while (count < pieces.length && !(pieces[count] instanceof FileRegion)) count++;
    const chunks = pieces.splice(0, count) as Uint8Array[];
    this.#bytes -= bytesOf(chunks);
    const socket = this.#socket;
    socket.cork();
    for (const chunk of chunks) socket.write(chunk, this.#written);
    socket.uncork();
  }

  readonly #written = (error: Error | null | undefined): void => {
    if (error || this.#state === 'dead') return;
    this.#drained();
    this.socketDrained();
  };

  /** The socket's own queue is shorter than before. */
  socketDrained(): void {
    if (this.#state !== 'writing' || this.#socket.writableLength > 0) return;
    this.#state = 'idle';
    this.#pump();
  }

  send(bytesMax: number): number {
    const region = this.#pieces[0];
    if (this.#state !== 'sending' || !(region instanceof FileRegion)) return 0;
    const kernel = this.#sender.kernel;
    const file = region.file as NodeFileHandle;
    const socketFd = this.#socket._handle?.fd;
    if (socketFd === undefined || socketFd < 0 || this.#socket.destroyed) return 0; // `die` follows.
    const position = region.position + this.#sent;
    const wanted = Math.min(bytesMax, region.length - this.#sent);
    const resident = kernel === undefined ? 0 : kernel.residentBytes(file.fd, position, wanted);
    if (resident === 0) {
      if (kernel !== undefined) this.#sender.coldReads++;
      this.#startRead();
      return 0;
    }
    const sent = kernel!.sendfile(socketFd, file.fd, position, resident);
    if (sent === 'full') this.#bounce(region, file, position);
    else if (sent === 'unsupported') {
      this.#sender.unsupported();
      this.#startRead();
    } else if (sent === 'gone') {
      this.die();
      this.#failed(new NetError('ECONNRESET', 'the peer was gone while bytes of a file were sent to it'));
    } else if (typeof sent !== 'number') this.#fail(`sendfile failed with errno ${sent.errno}`);
    else if (sent === 0) this.#fail('the file is shorter than what was promised of it');
    else {
      this.#sender.zeroCopyBytes += sent;
      this.#gone(region, sent);
      this.#sender.noteDrained(this);
      this.#state = 'idle';
      this.#pump();
      return sent;
    }
    return 0;
  }

  /** The socket is full: its next bytes go by a write that Node finishes when there is room. */
  #bounce(region: FileRegion, file: NodeFileHandle, position: number): void {
    const bytes = Buffer.allocUnsafe(Math.min(bounceBytes, region.length - this.#sent));
    let count: number;
    try {
      count = file.readResident(bytes, position);
    } catch (error) {
      this.#fail((error as Error).message);
      return;
    }
    if (count < bytes.length) {
      this.#fail('the file is shorter than what was promised of it');
      return;
    }
    this.#copied(region, bytes);
  }

  #startRead(): void {
    this.#state = 'reading';
    this.#sender.wantRead(this);
  }

  read(): void {
    const region = this.#pieces[0];
    if (this.#state !== 'reading' || !(region instanceof FileRegion)) {
      this.#sender.readDone();
      return;
    }
    this.#beingRead = region;
    const left = region.length - this.#sent;
    const buffer = this.#sender.takeBuffer(left);
    const bytes = buffer.subarray(0, Math.min(left, buffer.length));
    void region.file.read(bytes, region.position + this.#sent).then(
      (count) => this.#readDone(region, buffer, bytes, count === bytes.length ? undefined : 'the file ends early'),
      (error) => this.#readDone(region, buffer, bytes, (error as Error).message),
    );
  }

  #readDone(region: FileRegion, buffer: Buffer, bytes: Uint8Array, problem: string | undefined): void {
    this.#beingRead = undefined;
    this.#sender.readDone();
    if (this.#state === 'dead' || problem !== undefined) this.#sender.giveBack(buffer);
    if (this.#state === 'dead') region.release();
    else if (problem !== undefined) {
      this.#state = 'idle';
      this.#fail(problem);
    } else this.#copied(region, bytes, () => this.#sender.giveBack(buffer));
  }

  /** Writes bytes that were read from the first region, and waits until the socket took them. */
  #copied(region: FileRegion, bytes: Uint8Array, left?: () => void): void {
    this.#sender.copiedBytes += bytes.length;
    this.#gone(region, bytes.length);
    this.#state = 'writing';
    this.#socket.write(bytes, (error) => {
      left?.();
      this.#written(error);
    });
  }

  #gone(region: FileRegion, bytes: number): void {
    this.#sent += bytes;
    this.#bytes -= bytes;
    if (this.#sent < region.length) return;
    this.#sent = 0;
    this.#pieces.shift();
    this.#sender.queued--;
    region.release();
  }

  #fail(why: string): void {
    this.die();
    this.#failed(new Error(`bytes of a file could not be sent: ${why}`));
  }
}
