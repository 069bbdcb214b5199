/** Programs that use the registry in great numbers, in processes of their own: some hold instances, some watch them. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LoadProcess } from '../bench/load-process.js';
import { sharedUs } from '../bench/registry-shape.js';

export interface FleetShape {
  /** `host:port` of the name servers. */
  readonly servers: readonly string[];
  readonly namespace: string;
  /** Each has a session of its own, and its share of the instances. */
  readonly clients: number;
  readonly instances: number;
  readonly services: number;
  readonly watchers: number;
  /** Processes over which the clients are spread. */
  readonly parts: number;
}

/** Counted since all instances were known to every watcher. All but `lists` and `lookUps` must be 0. */
export interface Seen {
  /** Told to listeners. */
  readonly lists: number;
  readonly emptyLists: number;
  /** Instances that were missing in lists told to listeners; all of them lived all the time. */
  readonly missing: number;
  readonly lookUps: number;
  /** After repeats. */
  readonly failedLookUps: number;
  readonly missingInLookUps: number;
  /** The first thing that was wrong. */
  readonly trouble: string;
}

export interface Moved {
  /** Instances that were registered at the server. */
  readonly victims: number;
  /** When the last of them was registered elsewhere, as `sharedUs` tells it; 0 without victims. */
  readonly lastUs: number;
}

const here = dirname(fileURLToPath(import.meta.url));

export class Fleet {
  readonly #holders: readonly LoadProcess[];
  readonly #viewer: LoadProcess;

  private constructor(holders: readonly LoadProcess[], viewer: LoadProcess) {
    this.#holders = holders;
    this.#viewer = viewer;
  }

  /** Resolves when all instances are registered and known to all watchers. */
  static async start(servers: readonly string[]): Promise<Fleet> {
    const counts = { clients: 200, instances: 10_000, services: 100, watchers: 100, parts: 2 };
    const shape: FleetShape = { servers, namespace: 'fleet', ...counts };
    const json = JSON.stringify(shape);
    const holders = Array.from(
      { length: shape.parts },
      (_, part) => new LoadProcess(join(here, 'holder.js'), [String(part), json]),
    );
    const fleet = new Fleet(holders, new LoadProcess(join(here, 'viewer.js'), [json]));
    try {
      await Promise.all([...holders, fleet.#viewer].map((each) => each.message()));
    } catch (error) {
      fleet.stop();
      throw error;
    }
    return fleet;
  }

  /** What was seen so far. */
  seen(): Promise<Seen> {
    return this.#viewer.ask<Seen>('seen');
  }

  /**
   * To be called when a name server is killed: how many instances were registered there, and how many milliseconds
   * later the last of them is registered elsewhere.
   */
  async moved(killed: string): Promise<{ victims: number; gapMs: number }> {
    const atUs = sharedUs();
    const all = await Promise.all(this.#holders.map((holder) => holder.ask<Moved>({ killed, atUs })));
    const lastUs = Math.max(...all.map((each) => each.lastUs));
    return {
      victims: all.reduce((sum, { victims }) => sum + victims, 0),
      gapMs: Math.max(0, lastUs - atUs) / 1e3,
    };
  }

  stop(): void {
    for (const each of [...this.#holders, this.#viewer]) each.stop();
  }
}

/** What of it must not be. */
export function wrongs({ emptyLists, missing, failedLookUps, missingInLookUps }: Seen): number {
  return emptyLists + missing + failedLookUps + missingInLookUps;
}
