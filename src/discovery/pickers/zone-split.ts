/** Where the calls of one zone's callers go. */
export interface ZoneSplit {
  /** The chance that a call stays in the caller's zone. */
  readonly local: number;
  /** By zone, in the order given: the chances of those that leave it; they add up to 1 unless all stay. */
  readonly residual: readonly number[];
}

/**
 * Envoy's zone-aware split, see `load_balancer_impl.cc` there. With L_z and U_z the shares of the callers and of the
 * weight that stand in zone z, and one's own zone `own`:
 *
 *   U_own ≥ L_own: all calls stay. Else a call stays with the chance U_own ÷ L_own, and the others go to zone z with
 *   chances in proportion to max(0, U_z − L_z), the room that its own callers leave there.
 *
 * So every unit of weight gets the same load, as long as each zone's callers keep to this, and the least of it crosses.
 * Callers 40, 40, 20 and weights 25, 50, 25 give the first zone: 62.5 % stay, the others go by 0, 10, 5.
 *
 * `callers` and `weights` are counts by zone, in the same order, in any unit; a zone without callers has 0.
 */
export function zoneSplit(own: number, callers: readonly number[], weights: readonly number[]): ZoneSplit {
  const allCallers = sum(callers);
  const allWeight = sum(weights);
  const callersHere = allCallers === 0 ? 0 : callers[own]! / allCallers;
  const weightHere = weights[own]! / allWeight;
  if (weightHere >= callersHere) return { local: 1, residual: weights.map(() => 0) };
  const room = weights.map((weight, zone) =>
    zone === own ? 0 : Math.max(0, weight / allWeight - callers[zone]! / allCallers),
  );
  const allRoom = sum(room);
  return { local: weightHere / callersHere, residual: room.map((each) => each / allRoom) };
}

function sum(values: readonly number[]): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
