/**
 * Clients that watch and look up, as programs do with `Registry`: `viewer.js SHAPE`, the shape as JSON. Tells its parent
 * {} once every watcher has all instances of its services; from then on counts what is wrong, and answers anything with
 * what it has counted so far (`Seen`).
 */
import { silentLogger } from '../../src/base/logger.js';
import type { Instance } from '../../src/discovery/instance.js';
import { Registry } from '../../src/discovery/registry.js';
import { Connections } from '../../src/rpc/connections.js';
import { parseAddress } from '../../src/runtime/net.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { sleep } from '../bench/closed-loop.js';
import type { FleetShape, Seen } from './fleet.js';

/** Services that each watcher watches. */
const servicesEach = 10;
/** Between two look-ups; the watchers do them in turn. */
const lookUpMs = 50;
/** A look-up that fails is done again, as a program would. */
const triesMax = 4;
const againMs = 250;

const { servers, namespace, watchers, instances, services } = JSON.parse(process.argv[2]!) as FleetShape;
const addresses = servers.map((server) => parseAddress(server)!);
const runtime = nodeRuntime(silentLogger);
const scope = { namespace };
const seen = { lists: 0, emptyLists: 0, missing: 0, lookUps: 0, failedLookUps: 0, missingInLookUps: 0, trouble: '' };
const registries: Registry[] = [];
let isCounting = false;
let whole = 0;
let onWhole: () => void = () => {};

function expectedOf(service: number): number {
  return Math.floor((instances - service - 1) / services) + 1;
}

function note(text: string): void {
  if (seen.trouble === '') seen.trouble = text;
}

function look(service: number, list: readonly Instance[], who: string): number {
  const missing = expectedOf(service) - list.length;
  if (missing > 0) note(`${who} lacks ${missing} of ${expectedOf(service)} instances of service-${service}`);
  return Math.max(0, missing);
}

for (let watcher = 0; watcher < watchers; watcher++) {
  const self = { clientId: `viewer-${watcher}`, kind: 'client' };
  const registry = new Registry(runtime, new Connections(runtime, self), addresses, self);
  registries.push(registry);
  for (let i = 0; i < servicesEach; i++) {
    const service = (watcher * servicesEach + i) % services;
    let isWhole = false;
    const listener = (list: readonly Instance[]): void => {
      if (!isWhole && list.length === expectedOf(service)) {
        isWhole = true;
        if (++whole === watchers * servicesEach) onWhole();
      }
      if (!isCounting) return;
      seen.lists++;
      if (list.length === 0) seen.emptyLists++;
      seen.missing += look(service, list, `watcher ${watcher}`);
    };
    registry.watch(`service-${service}`, listener, scope);
  }
}
await new Promise<void>((resolve) => {
  onWhole = resolve;
});
isCounting = true;

async function lookUp(watcher: number, service: number): Promise<void> {
  seen.lookUps++;
  for (let tries = 1; ; tries++) {
    try {
      const list = await registries[watcher]!.list(`service-${service}`, scope);
      seen.missingInLookUps += look(service, list, 'a look-up');
      return;
    } catch (error) {
      if (tries === triesMax) {
        seen.failedLookUps++;
        note(`a look-up failed ${triesMax} times: ${(error as Error).message}`);
        return;
      }
      await sleep(againMs);
    }
  }
}

let turn = 0;
setInterval(() => {
  void lookUp(turn % watchers, turn % services);
  turn++;
}, lookUpMs);

process.on('message', () => process.send!(seen satisfies Seen));
process.on('disconnect', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));
process.send!({});
