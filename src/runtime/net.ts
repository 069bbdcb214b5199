import type { Piece, RegionStats } from './file-region.js';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** What a connection tells its owner. Callbacks run in the loop's own turn, never inside a call to the connection. */
export interface ConnectionEvents {
  /**
   * Bytes came. `chunk` belongs to the connection: it is valid until the callback has returned and the promises that
   * it settled have gone on as far as they can, and no longer; what is deferred meets other bytes in it.
   */
  data(chunk: Uint8Array): void;
  /**
   * The peer sent its FIN: it will send nothing more but may still read. If it is gone altogether, only a later write
   * finds out.
   */
  end(): void;
  /** Bytes left: `queuedBytes` fell. Called at least when it falls to 0. */
  drained(): void;
  /**
   * The connection is over, in whichever way; the last callback. `error` is set when the peer or the network cut it,
   * and not when both sides had ended or this side called `reset`.
   */
  closed(error: Error | undefined): void;
}

/**
 * One TCP connection, half-open by nature: a peer's FIN ends only its own direction. No Nagle delay. There is no
 * buffer limit here: whoever writes watches `queuedBytes`.
 */
export interface Connection {
  readonly local: Address;
  readonly remote: Address;
  /** Bytes written and not yet taken by the kernel. */
  readonly queuedBytes: number;
  /** Must be called once, in the turn in which the connection was handed over. */
  start(events: ConnectionEvents): void;
  /**
   * Queues `pieces` to leave in order, in as few system calls as can be. The connection owns bytes until they left, and
   * releases a region once it left. After `end`, `reset` or `closed` they are dropped, so regions released. A file that
   * can't be read, or ends before its region does, cuts the connection: what was promised can't be sent.
   */
  write(pieces: readonly Piece[]): void;
  /** Sends what is queued, then FIN. Reading goes on. */
  end(): void;
  /** Cuts at once with RST; what is queued is lost. `closed` follows. */
  reset(): void;
  /** Stops and resumes reading. While paused neither data nor end is told, and a cut may be noticed only later. */
  pause(): void;
  resume(): void;
}

export interface Listener {
  /** With the port that the system chose when 0 was asked. */
  readonly address: Address;
  /** Stops accepting. Accepted connections live on. */
  close(): Promise<void>;
}

/** Sockets. `dial` and `listen` reject with a `NetError`. */
export interface Net {
  listen(address: Address, accept: (connection: Connection) => void): Promise<Listener>;
  /** Connects within `timeoutMs`. */
  dial(address: Address, timeoutMs: number): Promise<Connection>;
  readonly regions: RegionStats;
}

export type NetErrorCode =
  | 'ECONNREFUSED'
  | 'ECONNRESET'
  | 'ETIMEDOUT'
  | 'EADDRINUSE'
  | 'EACCES'
  | 'ENOTFOUND'
  | 'OTHER';

export class NetError extends Error {
  override readonly name = 'NetError';
  readonly code: NetErrorCode;

  constructor(code: NetErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** `host:port`, with brackets around an IPv6 host. */
export function formatAddress(address: Address): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** Parses `host:port` or `[v6]:port`; undefined when it is neither. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const port = Number(match[3]);
  return port > 65_535 ? undefined : { host: (match[1] ?? match[2])!, port };
}

/** True for 127.0.0.0/8, ::1 and `localhost`: the only addresses a role listens on without authentication. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
}
