import { ErrorCode, TaskdError } from '../base/errors.js';
import { daysFromCivil } from './civil-date.js';

/** A stretch of time in which a zone's offset from UTC is the same. Neighbours may have the same offset. */
export interface ZoneSegment {
  /** Seconds since the epoch; the end is exclusive. */
  readonly startSec: number;
  readonly endSec: number;
  /** Wall time = UTC + offset. */
  readonly offsetSec: number;
}

/** No zone was ever further from UTC: a wall time read as UTC is less than this away from its instant. */
export const offsetSecMax: number = 16 * 3_600;

const daySec = 86_400;
/** Segments are found a block at a time. */
const blockSec = 366 * daySec;
/** Two changes closer than this could hide each other; the closest pairs in the database are a few weeks apart. */
const sampleSec = 3 * daySec;
const blocksMax = 256;
const zonesMax = 1_024;

const zones = new Map<string, ZoneOffsets>();

/**
 * The offset changes of one zone of the IANA database, read from the `Intl` of this Node (and so from its ICU data),
 * block by block when asked and kept. Finding a block costs about a millisecond, using it a few nanoseconds.
 */
export class ZoneOffsets {
  readonly #format: Intl.DateTimeFormat;
  readonly #blocks = new Map<number, ZoneSegment[]>();

  private constructor(format: Intl.DateTimeFormat) {
    this.#format = format;
  }

  /** The zone of this name, `UTC` and offsets like `+05:30` (where Node knows them) included. INVALID when unknown. */
  static of(name: string): ZoneOffsets {
    const known = zones.get(name);
    if (known !== undefined) return known;
    let format: Intl.DateTimeFormat;
    try {
      format = new Intl.DateTimeFormat('en-US', {
        timeZone: name,
        calendar: 'gregory',
        numberingSystem: 'latn',
        hourCycle: 'h23',
        year: 'numeric',
        month: 'numeric',
        day: 'numeric',
        hour: 'numeric',
        minute: 'numeric',
        second: 'numeric',
      });
    } catch {
      throw new TaskdError(
        ErrorCode.INVALID,
        `zone "${name.slice(0, 64)}" is not known; use a name of the IANA database such as Europe/Berlin, or UTC`,
      );
    }
    const zone = new ZoneOffsets(format);
    if (zones.size >= zonesMax) zones.clear();
    zones.set(name, zone);
    return zone;
  }

  /** The segment that holds this instant. The one after it is the segment at its end. */
  segmentAt(sec: number): ZoneSegment {
    const number = Math.floor(sec / blockSec);
    let block = this.#blocks.get(number);
    if (block === undefined) {
      block = this.#find(number * blockSec);
      if (this.#blocks.size >= blocksMax) this.#blocks.clear();
      this.#blocks.set(number, block);
    }
    let i = 0;
    while (sec >= block[i]!.endSec) i++;
    return block[i]!;
  }

  #find(blockStart: number): ZoneSegment[] {
    const segments: ZoneSegment[] = [];
    const blockEnd = blockStart + blockSec;
    let startSec = blockStart;
    let offsetSec = this.#offsetAt(blockStart);
    for (let from = blockStart; from < blockEnd; ) {
      const to = Math.min(from + sampleSec, blockEnd);
      if (this.#offsetAt(to) === offsetSec) {
        from = to;
        continue;
      }
      // The change lies in (from, to]: halve until its second is found.
      let before = from;
      let after = to;
      while (after - before > 1) {
        const middle = Math.floor((before + after) / 2);
        if (this.#offsetAt(middle) === offsetSec) before = middle;
        else after = middle;
      }
      if (after === blockEnd) break;
      segments.push({ startSec, endSec: after, offsetSec });
      startSec = from = after;
      offsetSec = this.#offsetAt(after);
    }
    segments.push({ startSec, endSec: blockEnd, offsetSec });
    return segments;
  }

  #offsetAt(sec: number): number {
    let year = 0;
    let month = 0;
    let day = 0;
    let time = 0;
    for (const part of this.#format.formatToParts(sec * 1_000)) {
      if (part.type === 'year') year = Number(part.value);
      else if (part.type === 'month') month = Number(part.value);
      else if (part.type === 'day') day = Number(part.value);
      else if (part.type === 'hour') time += Number(part.value) * 3_600;
      else if (part.type === 'minute') time += Number(part.value) * 60;
      else if (part.type === 'second') time += Number(part.value);
    }
    return daysFromCivil(year, month, day) * daySec + time - sec;
  }
}
