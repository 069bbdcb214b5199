/**
 * The trash of a data folder: `trash/<topicId>-<wall ms>`, each the folder of a deleted topic as it was. It is kept for a
 * day, for whoever deleted the wrong one, or until space is short. What has another name is not ours and stays.
 */
import type { Runtime } from '../runtime/runtime.js';
import { describe } from './storage-error.js';

const keptMs = 24 * 3_600_000;
const namePattern = /^(\d{1,16})-(\d{1,16})$/;

export class Trash {
  readonly #runtime: Runtime;
  readonly #folder: string;
  /** Folders removed since the start. */
  removed = 0;

  /** `folder` is the data folder. */
  constructor(runtime: Runtime, folder: string) {
    this.#runtime = runtime;
    this.#folder = folder;
  }

  /** Moves a topic's folder here, durably; no effect when it isn't there (any more). */
  async take(topicId: number): Promise<void> {
    const { files, clock } = this.#runtime;
    const from = `${this.#folder}/data/${topicId}`;
    if (!(await files.exists(from))) return;
    await files.makeFolder(`${this.#folder}/trash`);
    let atMs = clock.wallMs();
    while (await files.exists(`${this.#folder}/trash/${topicId}-${atMs}`)) atMs++;
    await files.rename(from, `${this.#folder}/trash/${topicId}-${atMs}`);
    await files.syncFolder(`${this.#folder}/trash`);
    await files.syncFolder(`${this.#folder}/data`);
    await files.syncFolder(this.#folder);
  }

  /** Removes what has lain here for a day, or all of it. What can't be removed is logged and stays. */
  async empty(all: boolean): Promise<void> {
    const { files, clock, logger } = this.#runtime;
    const folder = `${this.#folder}/trash`;
    if (!(await files.exists(folder))) return;
    for (const { name, isFolder } of await files.list(folder)) {
      const match = namePattern.exec(name);
      if (match === null || !isFolder) continue;
      if (!all && clock.wallMs() - Number(match[2]) < keptMs) continue;
      try {
        await files.removeFolder(`${folder}/${name}`);
        this.removed++;
        logger.info({ folder: `${folder}/${name}` }, 'the files of a deleted topic are gone');
      } catch (error) {
        logger.warn({ folder: `${folder}/${name}`, error: describe(error) }, 'the trash could not be emptied');
      }
    }
  }
}
