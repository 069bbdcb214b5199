import { hostname } from 'node:os';
import type { Process } from '../process.js';

export class NodeProcess implements Process {
  readonly pid: number = process.pid;
  readonly hostName: string = hostname();

  residentBytes(): number {
    return process.memoryUsage.rss();
  }

  onStop(callback: (signal: string) => void): void {
    process.on('SIGTERM', callback);
    process.on('SIGINT', callback);
  }

  exit(code: number): never {
    process.exit(code);
  }
}
