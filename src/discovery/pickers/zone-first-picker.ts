import type { Random } from '../../runtime/random.js';
import { type Candidate, type Picker, type PickOutcome, usable } from '../picker.js';
import { zoneSplit } from './zone-split.js';

/** Where a process stands among those who call the same candidates. */
export interface CallerZones {
  /** This process's own zone; '' when it has none. */
  readonly zone: string;
  /**
   * How many callers there are by zone, this process included; asked at each new list. Undefined: not known, so they
   * are taken to be spread evenly over the candidates' zones and this one.
   */
  counts?(): ReadonlyMap<string, number> | undefined;
}

/** Key of the one list when the zone doesn't matter; no zone is called so. */
const anyZone = '*';

interface Zone {
  readonly picker: Picker;
  candidates: readonly Candidate[];
  /** All calls below this, in [0, 1), that are not for an earlier zone. */
  below: number;
}

/**
 * `zone-first`: calls stay in the caller's zone as far as the zone's share of the weight is enough for its share of the
 * callers, and spill over to zones with room by Envoy's formula, see `zoneSplit`. Within a zone another picker chooses.
 * Unlike Envoy's it has no least number of candidates: the split is by weight also when there are few. Without a zone
 * of its own, or with nobody usable there, it chooses among all. O(zones) a pick, besides the picker's own cost.
 */
export class ZoneFirstPicker implements Picker {
  readonly #random: Random;
  readonly #callers: CallerZones;
  readonly #within: () => Picker;
  /** By name, for the zones of the latest list; or `anyZone` alone. */
  readonly #zones = new Map<string, Zone>();
  /** Whose picker has a candidate's calls. */
  readonly #zoneOf = new Map<string, Zone>();
  #order: readonly Zone[] = [];
  #given: readonly Candidate[] | undefined;

  /** `within` makes a picker for a zone. */
  constructor(random: Random, callers: CallerZones, within: () => Picker) {
    this.#random = random;
    this.#callers = callers;
    this.#within = within;
  }

  pick<C extends Candidate>(key: string | undefined, candidates: readonly C[]): C | undefined {
    if (candidates !== this.#given) this.#take(candidates);
    const order = this.#order;
    if (order.length === 0) return undefined;
    let at = 0;
    if (order.length > 1) {
      const drawn = this.#random.unit();
      while (at < order.length - 1 && drawn >= order[at]!.below) at++;
    }
    const zone = order[at]!;
    return zone.picker.pick(key, zone.candidates) as C | undefined;
  }

  done(id: string, outcome: PickOutcome): void {
    this.#zoneOf.get(id)?.picker.done?.(id, outcome);
  }

  #take(candidates: readonly Candidate[]): void {
    this.#given = candidates;
    const open = usable(candidates);
    const lists = this.#lists(candidates, open);
    for (const name of this.#zones.keys()) if (!lists.has(name)) this.#zones.delete(name);
    this.#zoneOf.clear();
    for (const [name, list] of lists) {
      let zone = this.#zones.get(name);
      if (zone === undefined) {
        zone = { picker: this.#within(), candidates: list, below: 0 };
        this.#zones.set(name, zone);
      }
      zone.candidates = list;
      for (const { id } of list) this.#zoneOf.set(id, zone);
    }
    this.#order = this.#split(open);
  }

  /** All of the list by zone, also those who are not usable now, so that their zone's picker remembers them. */
  #lists(candidates: readonly Candidate[], open: readonly Candidate[]): Map<string, Candidate[]> {
    const { zone: own } = this.#callers;
    const isHere = own !== '' && open.some(({ zone }) => zone === own);
    const isUsable = new Set(open);
    const lists = new Map<string, Candidate[]>();
    for (const candidate of candidates) {
      const name = isHere ? (candidate.zone ?? '') : anyZone;
      // Suspects are the last choice of all, not of their zone.
      const listed = isUsable.has(candidate) ? candidate : { ...candidate, isDisabled: true };
      const list = lists.get(name);
      if (list === undefined) lists.set(name, [listed]);
      else list.push(listed);
    }
    return lists;
  }

  /** The zones to choose from, each with its bound. */
  #split(open: readonly Candidate[]): readonly Zone[] {
    if (open.length === 0) return [];
    const everywhere = this.#zones.get(anyZone);
    if (everywhere !== undefined) return [everywhere];
    const weights = new Map<string, number>();
    for (const { zone = '', weight } of open) weights.set(zone, (weights.get(zone) ?? 0) + weight);
    const counts = this.#callers.counts?.() ?? new Map([...weights.keys()].map((name) => [name, 1]));
    // Callers may also stand where no candidate is.
    const names = [...new Set([...weights.keys(), ...counts.keys()])];
    const own = names.indexOf(this.#callers.zone);
    const { local, residual } = zoneSplit(
      own,
      names.map((name) => counts.get(name) ?? 0),
      names.map((name) => weights.get(name) ?? 0),
    );
    const zones: Zone[] = [];
    let below = 0;
    names.forEach((name, i) => {
      const chance = i === own ? local : (1 - local) * residual[i]!;
      if (chance === 0) return;
      const zone = this.#zones.get(name)!;
      below += chance;
      zone.below = below;
      zones.push(zone);
    });
    return zones;
  }
}
