import { cpSync, lstatSync } from 'node:fs';

/** A copy of a folder as a crash would leave it; the sockets by which a process holds it are none of it. */
export function copyFolder(from: string, to: string): void {
  cpSync(from, to, { recursive: true, filter: (path) => !lstatSync(path).isSocket() });
}
