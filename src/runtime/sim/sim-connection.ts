import { FileRegion, type Piece, releasePieces } from '../file-region.js';
import { type Address, type Connection, type ConnectionEvents, NetError } from '../net.js';
import type { Random } from '../random.js';
import type { EventLoop } from './event-loop.js';
import type { Holding, SimIncarnation } from './sim-incarnation.js';

/** Bytes that one direction holds in the kernels and on the way; more waits in the sender. */
const windowBytes = 256 * 1024;
/** The most that one callback hands over, as a real read does. */
const readBytesMax = 64 * 1024;
/** The most of a file that is read at once to be sent. */
const regionReadBytesMax = 32 * 1024;

/** What travels to the other end. */
export type Segment = { readonly data: Uint8Array } | 'fin' | 'rst';

/** What carries segments: the network between two ends. */
export interface Carrier {
  carry(from: SimConnection, segment: Segment): void;
}

/**
 * One end of a simulated TCP connection.
 *
 * - open: data flows both ways, in order
 * - ended here (`end`) or there (FIN told): the other direction goes on; both → closed
 * - cut (reset here, RST from there, owner dead): whatever was under way is lost → closed
 *
 * Bytes are copied when the simulated kernel takes them, which may be after `write` returned, and the chunk given to
 * `data` is overwritten when its turn is over: code that breaks the ownership rules meets garbage here. Regions of files
 * are read when the simulated kernel has room for them, a part at a time.
 */
export class SimConnection implements Connection, Holding {
  readonly held = 1;
  readonly local: Address;
  readonly remote: Address;
  readonly owner: SimIncarnation;
  peer!: SimConnection;
  /** When the last segment to the other end arrives: later ones never overtake it. */
  lastArrivalMs = 0;
  /** Segments on their way to the other end, in order. */
  readonly underWay: Segment[] = [];
  /** Until when a block that they met keeps them back. */
  heldUntilMs = 0;
  /** The host of this end lost its power: nothing is sent again. */
  isHostLost = false;
  readonly #loop: EventLoop;
  readonly #carrier: Carrier;
  readonly #random: Random;
  #events: ConnectionEvents | undefined;
  #unsent: Piece[] = [];
  /** The first piece is a region that is being read. */
  #isReading = false;
  /** Bytes of that region that were read before. */
  #regionSent = 0;
  #unsentBytes = 0;
  #inFlightBytes = 0;
  #received: Uint8Array[] = [];
  #receivedBytes = 0;
  #isPaused = false;
  #isEnding = false;
  #finSent = false;
  #finReceived = false;
  #finTold = false;
  /** An RST came after the FIN was told: nobody reads any more, so only the next write finds out. */
  #isResetUnseen = false;
  #isOver = false;
  #error: Error | undefined;
  #deliveryPlanned = false;
  #pumpPlanned = false;

  constructor(
    loop: EventLoop,
    carrier: Carrier,
    random: Random,
    owner: SimIncarnation,
    addresses: { readonly local: Address; readonly remote: Address },
  ) {
    this.#loop = loop;
    this.#carrier = carrier;
    this.#random = random;
    this.owner = owner;
    this.local = addresses.local;
    this.remote = addresses.remote;
  }

  /** Closed, cut, or its owner is dead. */
  get isOver(): boolean {
    return this.#isOver;
  }

  get isStarted(): boolean {
    return this.#events !== undefined;
  }

  get queuedBytes(): number {
    return this.#unsentBytes;
  }

  start(events: ConnectionEvents): void {
    if (this.#events !== undefined) throw new Error('taskd bug: a connection was started twice');
    this.#events = events;
    if (this.#isOver) this.#planClosed();
    else this.#planDelivery();
  }

  write(pieces: readonly Piece[]): void {
    if (this.#isOver || this.#isEnding || !this.owner.mayOperate()) {
      releasePieces(pieces);
      return;
    }
    if (this.#isResetUnseen) {
      releasePieces(pieces);
      this.cut('reset by the peer');
      return;
    }
    for (const piece of pieces) {
      if (piece.length === 0) continue;
      this.#unsent.push(piece);
      this.#unsentBytes += piece.length;
    }
    if (this.#random.below(2) === 0) this.#pump();
    else this.#planPump();
  }

  end(): void {
    if (this.#isOver || this.#isEnding || !this.owner.mayOperate()) return;
    this.#isEnding = true;
    this.#planPump();
  }

  reset(): void {
    if (this.#isOver || !this.owner.mayOperate()) return;
    this.#carrier.carry(this, 'rst');
    this.#over(undefined);
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#planDelivery();
  }

  /** The network delivers a segment to this end's kernel. */
  arrive(segment: Segment): void {
    if (this.#isOver) {
      if (segment !== 'rst' && segment !== 'fin') this.#carrier.carry(this, 'rst');
    } else if (segment === 'rst') {
      if (this.#finTold) this.#isResetUnseen = true;
      else this.cut('reset by the peer');
    } else {
      if (segment === 'fin') this.#finReceived = true;
      else {
        this.#received.push(segment.data);
        this.#receivedBytes += segment.data.length;
      }
      this.#planDelivery();
    }
  }

  /** Ends the connection here, with what was received and not told lost. */
  cut(why: string): void {
    if (this.#isOver) return;
    this.#over(new NetError('ECONNRESET', `connection with ${this.remote.host}:${this.remote.port}: ${why}`));
  }

  /** The process is gone: its kernel says goodbye, or, without power, nothing. */
  abandon(powerLoss: boolean): void {
    if (this.#isOver) return;
    // A kernel that closes a socket with unread bytes sends RST, else FIN.
    const isRude = this.#receivedBytes > 0 || this.#random.below(2) === 0;
    if (!powerLoss) this.#carrier.carry(this, isRude || this.#finSent ? 'rst' : 'fin');
    this.#isOver = true;
    this.#events = undefined;
  }

  #over(error: Error | undefined): void {
    this.#isOver = true;
    this.#error = error;
    // A read under way lets go of its own region.
    releasePieces(this.#isReading ? this.#unsent.slice(1) : this.#unsent);
    this.#unsent = [];
    this.#unsentBytes = 0;
    this.#received = [];
    this.#receivedBytes = 0;
    if (this.#events !== undefined) this.#planClosed();
    else this.owner.holdings.delete(this);
  }

  #planClosed(): void {
    this.#loop.at(0, this.owner, () => {
      this.owner.holdings.delete(this);
      this.#events?.closed(this.#error);
    });
  }

  /** For the owner's set of holdings. */
  ownerDied(powerLoss: boolean): void {
    this.abandon(powerLoss);
  }

  #planPump(): void {
    if (this.#pumpPlanned) return;
    this.#pumpPlanned = true;
    this.#loop.at(this.#random.unit() * 0.02, undefined, () => {
      this.#pumpPlanned = false;
      this.#pump();
    });
  }

  /** The kernel takes what fits in the window. */
  #pump(): void {
    if (this.#isOver || this.#isReading) return;
    let taken = false;
    while (this.#unsent.length > 0 && this.#inFlightBytes < windowBytes) {
      const chunk = this.#unsent[0]!;
      if (chunk instanceof FileRegion) {
        this.#readRegion(chunk);
        break;
      }
      const bytes = Math.min(chunk.length, windowBytes - this.#inFlightBytes);
      if (bytes === chunk.length) this.#unsent.shift();
      else this.#unsent[0] = chunk.subarray(bytes);
      this.#unsentBytes -= bytes;
      this.#inFlightBytes += bytes;
      this.#carrier.carry(this, { data: chunk.slice(0, bytes) });
      taken = true;
    }
    if (taken) {
      this.#loop.at(0, this.owner, () => {
        if (!this.#isOver) this.#events?.drained();
      });
    }
    if (this.#isEnding && !this.#finSent && this.#unsent.length === 0) {
      this.#finSent = true;
      this.#carrier.carry(this, 'fin');
      this.#closeWhenBothEnded();
    }
  }

  /** Puts the next bytes of the first piece before it. */
  #readRegion(region: FileRegion): void {
    const left = region.length - this.#regionSent;
    const most = Math.min(left, regionReadBytesMax);
    const bytes = new Uint8Array(this.#random.below(2) === 0 ? most : 1 + this.#random.below(most));
    this.#isReading = true;
    void region.file.read(bytes, region.position + this.#regionSent).then(
      (count) => this.#regionRead(region, bytes, count === bytes.length ? undefined : 'the file ends early'),
      (error) => this.#regionRead(region, bytes, (error as Error).message),
    );
  }

  #regionRead(region: FileRegion, bytes: Uint8Array, problem: string | undefined): void {
    this.#isReading = false;
    if (this.#isOver) region.release();
    else if (problem !== undefined) {
      this.#carrier.carry(this, 'rst');
      this.cut(problem);
    } else {
      this.#regionSent += bytes.length;
      if (this.#regionSent < region.length) this.#unsent.unshift(bytes);
      else {
        this.#regionSent = 0;
        this.#unsent[0] = bytes;
        region.release();
      }
      this.#pump();
    }
  }

  #planDelivery(): void {
    if (this.#deliveryPlanned || this.#isPaused || this.#isOver || this.#events === undefined) return;
    if (this.#receivedBytes === 0 && (!this.#finReceived || this.#finTold)) return;
    this.#deliveryPlanned = true;
    this.#loop.at(0, this.owner, () => {
      this.#deliveryPlanned = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    if (this.#isPaused || this.#isOver) return;
    const events = this.#events!;
    if (this.#receivedBytes > 0) {
      const chunk = this.#take();
      this.#receivedBytes -= chunk.length;
      this.peer.#acknowledge(chunk.length);
      for (let i = 0; i < chunk.length; i += 64) this.#loop.note(chunk[i]!);
      this.owner.atTurnEnd(() => chunk.fill(0xdb));
      events.data(chunk);
      this.#planDelivery();
    } else if (this.#finReceived && !this.#finTold) {
      this.#finTold = true;
      events.end();
      this.#closeWhenBothEnded();
    }
  }

  /** Some of what was received, mostly all: a read ends where it likes. */
  #take(): Uint8Array {
    const most = Math.min(this.#receivedBytes, readBytesMax);
    const bytes = this.#random.below(4) === 0 ? 1 + this.#random.below(most) : most;
    const chunk = new Uint8Array(bytes);
    for (let at = 0; at < bytes; ) {
      const first = this.#received[0]!;
      const part = first.subarray(0, bytes - at);
      chunk.set(part, at);
      at += part.length;
      if (part.length === first.length) this.#received.shift();
      else this.#received[0] = first.subarray(part.length);
    }
    return chunk;
  }

  #acknowledge(bytes: number): void {
    this.#inFlightBytes -= bytes;
    if (this.#unsent.length > 0) this.#planPump();
  }

  #closeWhenBothEnded(): void {
    if (this.#finTold && this.#finSent && !this.#isOver) this.#over(undefined);
  }
}
