/** Two phases of the registry bench on any registry: as fast as it goes, and by a timetable. */
import { cpuUs, sleep } from './closed-loop.js';
import { Histogram } from './histogram.js';
import { LoadProcess } from './load-process.js';
import type { TimetableEnd } from './registry-load.js';
import { type RegistryShape, sharedUs } from './registry-shape.js';
import type { Sightings } from './registry-watch.js';

const loadParts = 2;
const inFlightEach = 128;
const settleMs = 1_000;
/** From the order to the first registration that is due. */
const aheadUs = 500_000;

export interface RegistryFigures {
  readonly registrationsPerSec: number;
  /** By the timetable: registrations due a second. */
  readonly ratePerSec: number;
  /** From when a registration was due to when the last watcher saw it. */
  readonly visibleP50ms: number;
  readonly visibleP99ms: number;
  /** Processor time of all servers for each registration of the timetable, with telling its watchers. */
  readonly serverCpuUs: number;
}

/** The processes that register and watch. `script` is started as `script load|watch PART PARTS SHAPE`. */
export class RegistryProcesses {
  readonly shape: RegistryShape;
  readonly loads: readonly LoadProcess[];
  readonly watches: readonly LoadProcess[];

  private constructor(script: string, shape: RegistryShape) {
    const start = (role: string, part: number, parts: number): LoadProcess =>
      new LoadProcess(script, [role, String(part), String(parts), JSON.stringify(shape)]);
    this.shape = shape;
    this.loads = Array.from({ length: loadParts }, (_, part) => start('load', part, loadParts));
    // One process for the watchers of each server.
    const parts = shape.servers.length;
    this.watches = Array.from({ length: parts }, (_, part) => start('watch', part, parts));
  }

  /** Resolves when all are connected and all instances are registered. */
  static async start(script: string, shape: RegistryShape): Promise<RegistryProcesses> {
    const processes = new RegistryProcesses(script, shape);
    try {
      await Promise.all([...processes.loads, ...processes.watches].map((each) => each.message()));
      await processes.load('fill');
    } catch (error) {
      processes.stop();
      throw error;
    }
    return processes;
  }

  /** Says something to all that register. */
  load<T>(message: string | object): Promise<T[]> {
    return Promise.all(this.loads.map((each) => each.ask<T>(message)));
  }

  /** Says something to all that watch. */
  watch<T>(message: string | object): Promise<T[]> {
    return Promise.all(this.watches.map((each) => each.ask<T>(message)));
  }

  /** Registers by a timetable that begins soon; when it does. */
  async begin(perSec: number): Promise<number> {
    const beginUs = sharedUs() + aheadUs;
    await this.load({ beginUs, perSec });
    return beginUs;
  }

  /** Ends the timetable. Rejects when a registration failed. */
  async end(): Promise<number> {
    const ends = await this.load<TimetableEnd>('stop');
    const failed = ends.find(({ errors }) => errors > 0);
    if (failed !== undefined) throw new Error(`${failed.errors} registrations failed; the last: ${failed.error}`);
    return ends.reduce((sum, { sent }) => sum + sent, 0);
  }

  stop(): void {
    for (const each of [...this.loads, ...this.watches]) each.stop();
  }
}

/** `rateOf`: the timetable's rate, from what was reached before. */
export async function measure(
  processes: RegistryProcesses,
  serverPids: readonly number[],
  seconds: number,
  rateOf: (saturatedPerSec: number) => number,
): Promise<RegistryFigures> {
  const saturated = await processes.load<{ perSec: number }>({ saturate: seconds, inFlight: inFlightEach });
  const registrationsPerSec = saturated.reduce((sum, { perSec }) => sum + perSec, 0);
  await sleep(settleMs);
  const ratePerSec = rateOf(registrationsPerSec);
  const count = Math.floor(seconds * ratePerSec);
  await processes.watch({ count });
  const cpu = (): number => serverPids.reduce((sum, pid) => sum + cpuUs(pid), 0);
  const cpuBefore = cpu();
  const beginUs = await processes.begin(ratePerSec);
  const endUs = beginUs + (count * 1e6) / ratePerSec;
  await sleep((endUs - sharedUs()) / 1e3 + 50);
  const sent = await processes.end();
  const sightings = await processes.watch<Sightings>('stop');
  const serverCpuUs = (cpu() - cpuBefore) / sent;
  const missing = sightings.reduce((sum, each) => sum + each.missing, 0);
  if (missing > 0) throw new Error(`${missing} of ${count * processes.shape.watchers} sightings never came`);
  const latencies = new Histogram();
  for (let number = 0; number < count; number++) {
    const seenUs = Math.max(...sightings.map((each) => each.seenUs[number]!));
    latencies.record(seenUs - (beginUs + (number * 1e6) / ratePerSec));
  }
  const visible = { visibleP50ms: latencies.percentile(50) / 1e3, visibleP99ms: latencies.percentile(99) / 1e3 };
  return { registrationsPerSec, ratePerSec, ...visible, serverCpuUs };
}
