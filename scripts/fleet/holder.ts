/**
 * Clients that keep instances registered, as programs do with `Registry`: `holder.js PART SHAPE`, the shape as JSON.
 * Tells its parent {} once all are registered. Then { killed, atUs } is answered, once all that was registered at that
 * server then is registered elsewhere, with { victims, lastUs }.
 */
import { silentLogger } from '../../src/base/logger.js';
import { Registry } from '../../src/discovery/registry.js';
import type { OwnConnection } from '../../src/rpc/caller.js';
import { Connections } from '../../src/rpc/connections.js';
import { type Address, formatAddress, parseAddress } from '../../src/runtime/net.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import type { taskd } from '../../src/wire/generated/messages.js';
import { register } from '../../src/wire/methods.js';
import { sharedUs } from '../bench/registry-shape.js';
import type { FleetShape, Moved } from './fleet.js';

/** Who answered the last registration of an instance, and when. */
interface Place {
  readonly server: string;
  readonly atUs: number;
}

const places = new Map<string, Place>();
let onPlaced: (instanceId: string) => void = () => {};

/** Notes which server answers the registrations that go over its connections. */
class NotingConnections extends Connections {
  override async dial(address: Address, timeoutMs: number): Promise<OwnConnection> {
    const connection = await super.dial(address, timeoutMs);
    const server = formatAddress(address);
    const call = connection.call.bind(connection);
    connection.call = async (method, request, options) => {
      const answer = await call(method, request, options);
      if (method.id === register.id) {
        const { instance } = request as taskd.RegisterRequest.$Properties;
        const id = instance!.instanceId!;
        places.set(id, { server, atUs: sharedUs() });
        onPlaced(id);
      }
      return answer;
    };
    return connection;
  }
}

const [partText, shapeText] = process.argv.slice(2) as [string, string];
const part = Number(partText);
const { servers, namespace, clients, instances, services, parts } = JSON.parse(shapeText) as FleetShape;
const addresses = servers.map((server) => parseAddress(server)!);
const runtime = nodeRuntime(silentLogger);
const registered: Promise<void>[] = [];
for (let client = part; client < clients; client += parts) {
  const self = { clientId: `holder-${client}`, kind: 'client' };
  const registry = new Registry(runtime, new NotingConnections(runtime, self), addresses, self);
  for (let i = client; i < instances; i += clients) {
    const service = `service-${i % services}`;
    const instance = { namespace, service, instanceId: String(i), addresses: [{ host: '10.0.0.1', port: 8_080 }] };
    registered.push(registry.register(instance).registered);
  }
}
await Promise.all(registered);

function moved({ killed, atUs }: { killed: string; atUs: number }): Promise<Moved> {
  const victims = [...places].filter(([, place]) => place.server === killed && place.atUs <= atUs).map(([id]) => id);
  const left = new Set(victims);
  return new Promise((resolve) => {
    onPlaced = (id) => {
      left.delete(id);
      if (left.size > 0) return;
      onPlaced = () => {};
      resolve({ victims: victims.length, lastUs: Math.max(0, ...victims.map((each) => places.get(each)!.atUs)) });
    };
    onPlaced('');
  });
}

process.on('message', (killed: { killed: string; atUs: number }) => {
  void moved(killed).then((answer) => process.send!(answer));
});
process.on('disconnect', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));
process.send!({});
