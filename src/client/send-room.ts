/**
 * The memory of a producer: who is in, who waits for room, who waits until all is over. Pure; time is a parameter.
 *
 * ```
 *  arrive ──room, and nobody waits──▶ in ──leave──▶ over
 *     │                               ▲
 *     ├──as much waits already──▶ refused with BUSY
 *     └──▶ waiting ──room─────────────┘
 *             └──too long, or closed──▶ refused
 * ```
 *
 * At most `bytesMax` are in, and a fixed number of bytes wait: a program that never awaits anything gets BUSY, and not the
 * end of its memory. One call that is larger than everything goes alone.
 */
import { ErrorCode, Retry, TaskdError } from '../base/errors.js';

/** Those that came between two calls of `whenOver`. */
export interface Round {
  left: number;
  readonly over: (() => void)[];
}

/** The records of one call. */
export interface Guest {
  readonly bytes: number;
  /** When the call was made. */
  readonly sinceMs: number;
  /** The room's own; undefined before and after. */
  round: Round | undefined;
  /** Called once there is room. */
  enter(): void;
  /** Called instead, when it may wait no longer. */
  refuse(error: TaskdError): void;
}

/** Calls that wait for room, and their records' bytes. */
const waitingMax = 65_536;
const waitingBytesMax = 64 * 1024 * 1024;

export class SendRoom<G extends Guest> {
  readonly #bytesMax: number;
  readonly #waitingBytesMax: number;
  #bytes = 0;
  #waitingBytes = 0;
  #waiting: G[] = [];
  /** The last one is open. */
  #rounds: Round[] = [{ left: 0, over: [] }];
  #wantRoom: (() => void)[] = [];

  constructor(bytesMax: number, bytesWaitingMax: number = waitingBytesMax) {
    this.#bytesMax = bytesMax;
    this.#waitingBytesMax = bytesWaitingMax;
  }

  /** Of those that are in. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Of those that wait. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Lets it in, or has it wait behind the others. Throws BUSY when too much waits already. */
  arrive(guest: G): void {
    const isIn = this.#waiting.length === 0 && this.#hasRoom(guest.bytes);
    if (!isIn && this.#waiting.length > 0) {
      if (this.#waiting.length >= waitingMax || this.#waitingBytes + guest.bytes > this.#waitingBytesMax) {
        throw busy(this.#waiting.length, this.#waitingBytes);
      }
    }
    guest.round = this.#rounds[this.#rounds.length - 1]!;
    guest.round.left++;
    if (isIn) this.#admit(guest);
    else {
      this.#waiting.push(guest);
      this.#waitingBytes += guest.bytes;
    }
  }

  /** One that was in has its outcome. */
  leave(guest: G): void {
    this.#bytes -= guest.bytes;
    let admitted = 0;
    while (admitted < this.#waiting.length && this.#hasRoom(this.#waiting[admitted]!.bytes)) {
      const next = this.#waiting[admitted++]!;
      this.#waitingBytes -= next.bytes;
      this.#admit(next);
    }
    if (admitted > 0) this.#waiting = this.#waiting.slice(admitted);
    this.#depart(guest);
    this.#tellRoom();
  }

  /** Refuses those that have waited since `beforeMs` or longer. */
  expire(beforeMs: number, error: () => TaskdError): void {
    while (this.#waiting.length > 0 && this.#waiting[0]!.sinceMs <= beforeMs) this.#refuse(error());
  }

  /** Refuses all that wait, and lets everybody else go who waits for something. */
  close(error: TaskdError): void {
    while (this.#waiting.length > 0) this.#refuse(error);
    for (const tell of this.#wantRoom.splice(0)) tell();
  }

  /** Calls back, perhaps at once, when all that arrived before has left. */
  whenOver(over: () => void): void {
    const last = this.#rounds[this.#rounds.length - 1]!;
    if (this.#rounds.length === 1 && last.left === 0) over();
    else {
      last.over.push(over);
      this.#rounds.push({ left: 0, over: [] });
      this.#endRounds();
    }
  }

  /** Calls back, perhaps at once, when the next call would not have to wait. */
  whenRoom(tell: () => void): void {
    this.#wantRoom.push(tell);
    this.#tellRoom();
  }

  /** A call larger than everything goes alone. */
  #hasRoom(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#bytesMax;
  }

  #admit(guest: G): void {
    this.#bytes += guest.bytes;
    guest.enter();
  }

  #refuse(error: TaskdError): void {
    const guest = this.#waiting.shift()!;
    this.#waitingBytes -= guest.bytes;
    guest.refuse(error);
    this.#depart(guest);
  }

  #depart(guest: G): void {
    const { round } = guest;
    guest.round = undefined;
    if (round === undefined) return;
    round.left--;
    if (round.left === 0) this.#endRounds();
  }

  #endRounds(): void {
    while (this.#rounds.length > 1 && this.#rounds[0]!.left === 0)
      for (const tell of this.#rounds.shift()!.over) tell();
  }

  #tellRoom(): void {
    if (this.#waiting.length > 0 || this.#bytes >= this.#bytesMax) return;
    for (const tell of this.#wantRoom.splice(0)) tell();
  }
}

function busy(calls: number, bytes: number): TaskdError {
  const message =
    `${calls} calls with ${bytes} bytes wait for room in the producer (at most ${waitingMax} and ${waitingBytesMax}): ` +
    'await them, or room(), before sending more';
  return new TaskdError(ErrorCode.BUSY, message, { retry: Retry.AFTER, retryAfterMs: 100 });
}
