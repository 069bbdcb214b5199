import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Start {
  readonly token: number;
  readonly wallMs: number;
}

/** What the workers noted in `folder`: for each run, every start of a processor. */
export function readStarts(folder: string): Map<string, Start[]> {
  const starts = new Map<string, Start[]>();
  for (const name of readdirSync(folder)) {
    for (const line of readFileSync(join(folder, name), 'utf8').split('\n')) {
      const [run, token, wallMs] = line.split(' ');
      if (run === undefined || token === undefined || wallMs === undefined) continue;
      const start = { token: Number(token), wallMs: Number(wallMs) };
      const others = starts.get(run);
      if (others === undefined) starts.set(run, [start]);
      else others.push(start);
    }
  }
  return starts;
}
