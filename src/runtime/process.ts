/** The process around us. */
export interface Process {
  readonly pid: number;
  readonly hostName: string;
  /** Bytes of memory that the process occupies. */
  residentBytes(): number;
  /** Calls back at each request to stop (SIGTERM or SIGINT). */
  onStop(callback: (signal: string) => void): void;
  /** Ends the process at once with this code. */
  exit(code: number): never;
}
