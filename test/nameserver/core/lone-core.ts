import { RegistryCore } from '../../../src/nameserver/core/registry-core.js';
import { SeededRandom } from '../../../src/runtime/sim/seeded-random.js';

/** The core of a name server without others, ready from `nowMs` on. */
export function loneCore(nowMs: number): RegistryCore {
  const options = { peers: 0, onPeerLoss: 'freeze', storedIncarnation: 0, random: new SeededRandom(1) } as const;
  const core = new RegistryCore({ nodeId: 'n1' }, options, nowMs, 1_000_000);
  for (const effect of core.takeEffects()) {
    if (effect.kind === 'store') core.incarnationStored(effect.incarnation, nowMs);
  }
  core.takeEffects();
  return core;
}
