/**
 * The load processes of grpc-js for `npm run bench -- rpc --peer grpc`: the same call with the same Protobuf codec as
 * the taskd side, unary, on one connection.
 *   node grpc.mjs server              sends its parent { port }
 *   node grpc.mjs client PORT N S     keeps N calls in flight for S seconds, sends its parent the figures
 */

import * as grpc from '@grpc/grpc-js';
import { closedLoop } from '../../build/scripts/bench/closed-loop.js';
import { taskd } from '../../build/src/wire/generated/messages.js';

const serialize = (type) => (message) => type.encode(message).finish();
const deserialize = (type) => (bytes) => type.decode(bytes);
const service = {
  resolveApp: {
    path: '/taskd.Scheduler/ResolveApp',
    requestStream: false,
    responseStream: false,
    requestSerialize: serialize(taskd.ResolveAppRequest),
    requestDeserialize: deserialize(taskd.ResolveAppRequest),
    responseSerialize: serialize(taskd.ResolveAppResponse),
    responseDeserialize: deserialize(taskd.ResolveAppResponse),
  },
};

const [role, port, inFlight, seconds] = process.argv.slice(2);
if (role === 'server') {
  const server = new grpc.Server();
  server.addService(service, {
    resolveApp: (call, answer) => answer(null, { appId: call.request.app.length, shard: 3 }),
  });
  server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => {
    if (error) throw error;
    process.send({ port: bound });
  });
  process.on('SIGTERM', () => process.exit(0));
  process.on('disconnect', () => process.exit(0));
} else {
  const Client = grpc.makeClientConstructor(service, 'Scheduler');
  const client = new Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  const call = () =>
    new Promise((resolve, reject) => {
      const deadline = Date.now() + 10_000;
      client.resolveApp({ app: 'mail', create: false }, { deadline }, (error, answer) => {
        if (error) reject(error);
        else resolve(answer);
      });
    });
  const result = await closedLoop(Number(inFlight), Number(seconds), call);
  process.send(result, () => process.exit(0));
}
