/**
 * `kill -9` of standalone under a load of submits, again and again, and the account afterwards: every acknowledged
 * submit reached an end, and none was started after it had succeeded.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TaskdClient } from '../src/client/client.js';
import { readStarts } from './demo/starts.js';
import { Program, root, startTaskd } from './programs.js';

const submitsInFlight = 64;
/** Acknowledged submits between one start of the server and its next kill: from so many to so many. */
const submitsMin = 200;
const submitsSpread = 400;

export interface KillAccount {
  readonly kills: number;
  readonly acknowledged: number;
  /** Submits that were refused or whose outcome is unknown: nothing was promised about them. */
  readonly notAcknowledged: number;
  /** Acknowledged, and the server says SUCCEEDED. */
  readonly succeeded: number;
  readonly starts: number;
  /** Acknowledged runs that ended otherwise or never, and those that no worker has seen. */
  readonly lost: readonly string[];
  /** Runs that were started after the server had their success. */
  readonly startedAfterSuccess: readonly string[];
}

/** `seed` decides how long each round lasts. `told` hears of each kill. */
export async function killRounds(rounds: number, seed: number, told: (text: string) => void): Promise<KillAccount> {
  const folder = mkdtempSync(join(tmpdir(), 'taskd-kill-'));
  const argv = ['standalone', '--data', join(folder, 'data'), '--admin-port', '0', '--log-format', 'json'];
  let server = await startTaskd([...argv, '--listen', '127.0.0.1:0']);
  const { listen } = server;
  const startsFolder = join(folder, 'starts');
  mkdirSync(startsFolder);
  const script = join(root, 'build', 'scripts', 'demo', 'worker.js');
  const workers = ['w1', 'w2'].map(
    (name) => new Program(name, script, [name, listen, folder, join(startsFolder, name)]),
  );
  const client = new TaskdClient({ servers: [listen] });
  try {
    await Promise.all(workers.map((worker) => worker.waitFor('it worked', (line) => line === 'working' || undefined)));
    const acknowledged: string[] = [];
    let notAcknowledged = 0;
    let isOver = false;
    const whenMore: (() => void)[] = [];
    const load = async (): Promise<void> => {
      while (!isOver) {
        try {
          acknowledged.push(
            (await client.runs.submit('demo', { processor: 'echo', arguments: acknowledged.length })).id,
          );
        } catch {
          notAcknowledged++;
        }
        for (const wake of whenMore.splice(0)) wake();
      }
    };
    const lanes = Array.from({ length: submitsInFlight }, load);
    const reach = async (count: number): Promise<void> => {
      while (acknowledged.length < count) await new Promise<void>((resolve) => whenMore.push(resolve));
    };
    for (let round = 0; round < rounds; round++) {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      await reach(acknowledged.length + submitsMin + (seed % submitsSpread));
      // A little later, so that kills fall before, into and after the writes of what is in flight.
      await new Promise((resolve) => setTimeout(resolve, (seed >>> 16) % 12));
      await server.program.stop('SIGKILL');
      told(`kill ${round + 1} of ${rounds} after ${acknowledged.length} acknowledged submits`);
      server = await startTaskd([...argv, '--listen', listen]);
    }
    await reach(acknowledged.length + submitsMin);
    isOver = true;
    await Promise.all(lanes);

    const lost: string[] = [];
    const startedAfterSuccess: string[] = [];
    const ends = new Map<string, number>();
    let next = 0;
    const ask = async (): Promise<void> => {
      for (let id = acknowledged[next++]; id !== undefined; id = acknowledged[next++]) {
        const run = await client.runs.result(id, 60_000);
        if (run.state === 'SUCCEEDED') ends.set(id, run.endedMs);
        else lost.push(id);
      }
    };
    await Promise.all(Array.from({ length: submitsInFlight }, ask));
    const starts = readStarts(startsFolder);
    let total = 0;
    for (const [id, endedMs] of ends) {
      const own = starts.get(id) ?? [];
      total += own.length;
      if (own.length === 0) lost.push(id);
      if (own.some((start) => start.wallMs > endedMs)) startedAfterSuccess.push(id);
    }
    await client.close();
    await Promise.all(workers.map((worker) => worker.stop()));
    await server.program.stop();
    return {
      kills: rounds,
      acknowledged: acknowledged.length,
      notAcknowledged,
      succeeded: ends.size,
      starts: total,
      lost,
      startedAfterSuccess,
    };
  } finally {
    for (const program of [server.program, ...workers]) if (program.isRunning) program.process.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}
