import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NameServers } from '../name-servers.js';
import { sleep } from './closed-loop.js';
import { LoadProcess } from './load-process.js';

const loadParts = 2;
/** All are held for so long, more than an instance lives after its last beat, before they are counted. */
const holdMs = 20_000;

export interface SessionFigures {
  /** Held at one node at the end. */
  readonly sessions: number;
  readonly residentMb: number;
  /** What its resident memory grew by, for each. One has a connection and an instance. */
  readonly bytesPerSession: number;
  readonly openPerSec: number;
}

/** Opens `count` sessions at one of three name servers and holds them. Rejects when any of them is lost. */
export async function holdSessions(count: number): Promise<SessionFigures> {
  const names = await NameServers.start(3);
  const loads: LoadProcess[] = [];
  try {
    const before = residentBytes(names.pid(0));
    // The name servers are instances themselves.
    const own = await names.nodes(0);
    const from = performance.now();
    const script = join(dirname(fileURLToPath(import.meta.url)), 'session-load.js');
    for (let part = 0; part < loadParts; part++) {
      const share = Math.floor((count + part) / loadParts);
      loads.push(new LoadProcess(script, [names.listens[0]!, String(share), String(part)]));
    }
    await Promise.all(loads.map((load) => load.message()));
    const openPerSec = (count * 1_000) / (performance.now() - from);
    await sleep(holdMs);
    const residentMb = residentBytes(names.pid(0)) / 1e6;
    const nodes = await names.nodes(0);
    const sessions = nodes.sessions - own.sessions;
    const instances = nodes.instances - own.instances;
    const open = await Promise.all(loads.map((load) => load.ask<{ open: number }>('count')));
    const held = open.reduce((sum, each) => sum + each.open, 0);
    if (held !== count || sessions !== count || instances !== count) {
      throw new Error(
        `of ${count} sessions ${held} are open, and the node has ${sessions} with ${instances} instances`,
      );
    }
    return { sessions, residentMb, bytesPerSession: (residentMb * 1e6 - before) / count, openPerSec };
  } finally {
    for (const load of loads) load.stop();
    await names.close();
  }
}

function residentBytes(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))!;
  return Number(kib) * 1_024;
}
