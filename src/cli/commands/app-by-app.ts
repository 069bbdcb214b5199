import { ErrorCode, isTaskdError } from '../../base/errors.js';
import type { AppPlacement } from '../../client/apps.js';
import { ExitCode } from '../exit-codes.js';
import type { Session } from './session.js';

/** What all apps answered, in their order. `exitCode` is set when shards had to be left out. */
export interface AppByApp<T> {
  readonly found: readonly T[];
  readonly exitCode: ExitCode | undefined;
}

/** Asks for each app, the shards side by side; a shard that does not answer is told on stderr, once, and left out. */
export async function appByApp<T>(
  { client, output }: Session,
  ask: (app: AppPlacement) => Promise<T>,
): Promise<AppByApp<T>> {
  const apps = await client.apps.list();
  const answers = new Map<AppPlacement, T>();
  let exitCode: ExitCode | undefined;
  const askShard = async (shard: number): Promise<void> => {
    try {
      for (const app of apps) if (app.shard === shard) answers.set(app, await ask(app));
    } catch (error) {
      if (!isTaskdError(error, ErrorCode.STORAGE_FAILED, ErrorCode.NOT_READY, ErrorCode.NOT_OWNER)) throw error;
      exitCode = ExitCode.FAILED;
      output.failed(error.codeName, `shard ${shard} is left out: ${error.message}`);
    }
  };
  await Promise.all([...new Set(apps.map(({ shard }) => shard))].map(askShard));
  return { found: apps.flatMap((app) => (answers.has(app) ? [answers.get(app)!] : [])), exitCode };
}
