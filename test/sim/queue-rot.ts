import { readBatch } from '../../src/batch/header.js';
import type { Random } from '../../src/runtime/random.js';
import type { SimDisk } from '../../src/runtime/sim/sim-disk.js';
import { queueFolder } from './queue.js';
import type { Damaged } from './queue-records.js';

interface OnDisk {
  readonly path: string;
  readonly position: number;
  readonly length: number;
  readonly base: number;
  readonly end: number;
  readonly groupStart: number;
}

/**
 * Turns bits over in batches that were surely on disk: somebody outside knows of a record in a later write group. No rule
 * can know of rot in the last group. One batch a partition: with more of them gone, the proof may be gone too.
 */
export class QueueRot implements Damaged {
  readonly #rotten = new Map<number, { readonly from: number; readonly to: number }>();

  /** Of `offset`; any rot in the partition for -1. */
  has(partition: number, offset: number): boolean {
    const rotten = this.#rotten.get(partition);
    return rotten !== undefined && (offset < 0 || (offset >= rotten.from && offset < rotten.to));
  }

  /** Damages one batch; false when there is none that may be. */
  strike(disk: SimDisk, topicId: number, knownEnd: (partition: number) => number, random: Random): boolean {
    const folder = `${queueFolder}/data/${topicId}`;
    if (!disk.exists(folder)) return false;
    const logs = disk.list(folder).filter(({ name }) => !this.#rotten.has(Number(name.split('-')[0])));
    const log = logs[random.below(Math.max(1, logs.length))];
    if (log === undefined) return false;
    const partition = Number(log.name.split('-')[0]);
    const batches = readLog(disk, `${folder}/${log.name}`);
    const known = batches.filter(({ base }) => base < knownEnd(partition));
    const last = known.at(-1);
    const mayRot = known.filter((each) => each.path !== last!.path || last!.groupStart > each.position);
    // Mostly a late one, which the next start looks at.
    const victim = mayRot[mayRot.length - 1 - Math.floor(random.unit() ** 3 * mayRot.length)];
    if (victim === undefined) return false;
    const at = victim.position + random.below(victim.length);
    disk.file(victim.path).flipBit(at, random.below(8));
    // The replica-local fields are under no CRC of the batch's own: nothing is lost with them.
    if (at - victim.position < 4 || at - victim.position >= 12) {
      this.#rotten.set(partition, { from: victim.base, to: victim.end });
    }
    return true;
  }
}

function readLog(disk: SimDisk, folder: string): OnDisk[] {
  const batches: OnDisk[] = [];
  for (const { name } of disk.list(folder)) {
    if (!name.endsWith('.log')) continue;
    const path = `${folder}/${name}`;
    const file = disk.file(path);
    const bytes = new Uint8Array(file.size);
    file.read(bytes, 0);
    for (let position = 0; ; ) {
      const header = readBatch(bytes, position);
      if (typeof header === 'string') break;
      const { baseOffset: base, length } = header;
      const place = { path, position, length, base, end: base + header.recordCount };
      batches.push({ ...place, groupStart: position - header.groupStart });
      position += length;
    }
  }
  return batches;
}
