/**
 * A load process of the registry bench on taskd's side: `registry-client.js load|watch PART PARTS SHAPE`, the shape as
 * JSON. Each connection is one client of its own; an instance counts as seen when it is read from its event.
 */
import { silentLogger } from '../../src/base/logger.js';
import type { ClientStream, OwnConnection } from '../../src/rpc/caller.js';
import { Connections } from '../../src/rpc/connections.js';
import { parseAddress } from '../../src/runtime/net.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import type { taskd } from '../../src/wire/generated/messages.js';
import { beat, register } from '../../src/wire/methods.js';
import { RegistryLoad } from './registry-load.js';
import {
  connectionOf,
  metadataOf,
  type RegistryShape,
  serverOf,
  serviceOf,
  sharedUs,
  type Turn,
} from './registry-shape.js';
import { RegistryWatch } from './registry-watch.js';
import { scan, watchRaw } from './watch-scan.js';

const namespace = 'bench';
const beatMs = 3_000;
const [role, partText, partsText, shapeText] = process.argv.slice(2) as [string, string, string, string];
const [part, parts] = [Number(partText), Number(partsText)];
const shape = JSON.parse(shapeText) as RegistryShape;
const runtime = nodeRuntime(silentLogger);
const connections = new Connections(runtime, { clientId: `bench-${process.pid}`, kind: 'client' });

async function dial(connection: number): Promise<OwnConnection> {
  const dialled = await connections.dial(parseAddress(serverOf(connection, shape))!, 10_000);
  dialled.onClose((error) => {
    console.error(`a connection of the load is over: ${error?.message}`);
    process.exit(1);
  });
  setInterval(() => void dialled.call(beat, {}).catch(() => {}), beatMs);
  return dialled;
}

async function load(): Promise<void> {
  const dialled: OwnConnection[] = [];
  for (let i = 0; i < shape.connections; i++) if (i % parts === part) dialled[i] = await dial(i);
  const incarnation = Date.now();
  const counters = new Uint32Array(shape.instances);
  const put = ({ instance, number }: Turn): Promise<unknown> => {
    const message: taskd.Instance.$Properties = {
      namespace,
      service: serviceOf(instance, shape),
      instanceId: String(instance),
      addresses: [{ host: '10.0.0.1', port: 1 + (instance % 60_000) }],
      metadata: metadataOf(number),
      version: { incarnation, counter: ++counters[instance]! },
    };
    return dialled[connectionOf(instance, shape)]!.call(register, { instance: message });
  };
  new RegistryLoad(shape, part, parts, put).serve();
}

async function watch(): Promise<void> {
  const seen = new RegistryWatch(shape.instances, shape.watchers / parts);
  for (let i = 0; i < shape.watchers; i++) {
    if (i % parts !== part) continue;
    const watcher = Math.floor(i / parts);
    const connection = await dial(i);
    const stream: ClientStream = connection.open(watchRaw, { namespace, service: '' }, 16, {
      push: (event) => {
        stream.credit(1);
        scan(event, watcher, seen, sharedUs());
      },
      end: (error) => {
        console.error(`a watch is over: ${error?.message}`);
        process.exit(1);
      },
    });
  }
  seen.serve();
}

await (role === 'load' ? load() : watch());
