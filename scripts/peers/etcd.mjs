/**
 * etcd for `npm run bench -- registry --peer etcd`: Debian's etcd-server, three members on loopback. An instance is a
 * key with its connection's lease; whoever watches, watches the prefix of all.
 *   node etcd.mjs server                        sends its parent { servers, pids, server, durability }, ends with it
 *   node etcd.mjs load|watch PART PARTS SHAPE   as registry-client.js does for taskd
 */
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { RegistryLoad } from '../../build/scripts/bench/registry-load.js';
import { connectionOf, metadataOf, serverOf, serviceOf, sharedUs } from '../../build/scripts/bench/registry-shape.js';
import { RegistryWatch } from '../../build/scripts/bench/registry-watch.js';
import protobuf from '../../build/src/wire/protobuf.js';
import { freePort, output, peer, start } from './peer.mjs';

const members = 3;
const remedy = 'apt-get install etcd-server';
const leaseSeconds = 15;
const keepAliveMs = 3_000;
const prefix = '/bench/';
/** The first key behind all of the prefix. */
const prefixEnd = '/bench0';
/** A value begins with its number. */
const numberAt = '{"n":"'.length;

/** Messages of etcd's rpc.proto, as far as they are needed; numbers are its field numbers. */
const { Writer, Reader } = protobuf;
const bytes = (writer, id, text) => writer.uint32((id << 3) | 2).string(text);
const number = (writer, id, value) => writer.uint32(id << 3).uint64(value);
const encoders = {
  put: ({ key, value, lease }) => number(bytes(bytes(Writer.create(), 1, key), 2, value), 3, lease).finish(),
  grant: ({ ttl, id }) => number(number(Writer.create(), 1, ttl), 2, id).finish(),
  keepAlive: ({ id }) => number(Writer.create(), 1, id).finish(),
  watch: ({ key, end }) => {
    const writer = Writer.create()
      .uint32((1 << 3) | 2)
      .fork();
    return bytes(bytes(writer, 1, key), 2, end)
      .ldelim()
      .finish();
  },
};
const raw = (buffer) => buffer;
const method = (path, requestSerialize, isStream) => ({
  path: `/etcdserverpb.${path}`,
  requestStream: isStream,
  responseStream: isStream,
  requestSerialize: (message) => Buffer.from(requestSerialize(message)),
  requestDeserialize: raw,
  responseSerialize: raw,
  responseDeserialize: raw,
});
const Client = grpc.makeClientConstructor(
  {
    put: method('KV/Put', encoders.put, false),
    grant: method('Lease/LeaseGrant', encoders.grant, false),
    keepAlive: method('Lease/LeaseKeepAlive', encoders.keepAlive, true),
    watch: method('Watch/Watch', encoders.watch, true),
  },
  'etcd',
);

/** A connection of its own. */
function dial(server) {
  const options = { 'grpc.use_local_subchannel_pool': 1, 'grpc.max_receive_message_length': -1 };
  return new Client(server, grpc.credentials.createInsecure(), options);
}

function call(client, name, message) {
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + 30_000 };
    client[name](message, options, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

function fatal(what) {
  return (error) => {
    console.error(`${what}: ${error?.message}`);
    process.exit(1);
  };
}

async function serve() {
  await peer(async (folder, keep) => {
    const version = (await output('etcd', ['--version'], remedy)).match(/etcd Version: (\S+)/)?.[1];
    const urls = [];
    for (let i = 0; i < members; i++)
      urls.push([await freePort(), await freePort()].map((port) => `127.0.0.1:${port}`));
    const cluster = urls.map(([, peers], i) => `m${i}=http://${peers}`).join(',');
    const started = await Promise.all(
      urls.map(([clients, peers], i) => {
        const flags = {
          name: `m${i}`,
          'data-dir': join(folder, `m${i}`),
          'listen-client-urls': `http://${clients}`,
          'advertise-client-urls': `http://${clients}`,
          'listen-peer-urls': `http://${peers}`,
          'initial-advertise-peer-urls': `http://${peers}`,
          'initial-cluster': cluster,
          'initial-cluster-state': 'new',
          logger: 'zap',
          'log-level': 'error',
        };
        return start(
          'etcd',
          Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
          remedy,
        );
      }),
    );
    for (const each of started) {
      keep(each).once('exit', (code) => {
        if (code === null) return;
        console.error(`etcd ended with ${code}: ${each.lines.join(' / ')}`);
        // The others end with us.
        process.kill(process.pid, 'SIGTERM');
      });
    }
    const servers = urls.map(([clients]) => clients);
    for (const server of servers) await isServing(server);
    process.send({
      servers,
      pids: started.map(({ pid }) => pid),
      server: `etcd ${version}, ${members} members`,
      durability: 'fsync of the Raft log at a majority before each answer',
    });
    await new Promise(() => {});
  });
}

/** Resolves when a member has written something. */
async function isServing(server) {
  const client = dial(server);
  for (let left = 300; ; left--) {
    try {
      await call(client, 'put', { key: 'ready', value: '', lease: 0 });
      client.close();
      return;
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function load(part, parts, shape) {
  const clients = [];
  for (let i = 0; i < shape.connections; i++) {
    if (i % parts !== part) continue;
    clients[i] = dial(serverOf(i, shape));
    const lease = { id: i + 1, ttl: leaseSeconds };
    await call(clients[i], 'grant', lease);
    const keeping = clients[i].keepAlive();
    keeping.on('data', () => {});
    keeping.on('error', fatal('keeping a lease'));
    setInterval(() => keeping.write(lease), keepAliveMs);
  }
  new RegistryLoad(shape, part, parts, ({ instance, number: n }) => {
    const connection = connectionOf(instance, shape);
    const addresses = [{ host: '10.0.0.1', port: 1 + (instance % 60_000) }];
    return call(clients[connection], 'put', {
      key: `${prefix}${serviceOf(instance, shape)}/${instance}`,
      value: JSON.stringify({ ...metadataOf(n), addresses }),
      lease: connection + 1,
    });
  }).serve();
}

async function watch(part, parts, shape) {
  const seen = new RegistryWatch(shape.instances, shape.watchers / parts);
  for (let i = part; i < shape.watchers; i += parts) {
    const watcher = Math.floor(i / parts);
    const stream = dial(serverOf(i, shape)).watch();
    const created = new Promise((resolve) => stream.once('data', resolve));
    stream.on('data', (answer) => scan(answer, watcher, seen, sharedUs()));
    stream.on('error', fatal('a watch'));
    stream.write({ key: prefix, end: prefixEnd });
    await created;
  }
  seen.serve();
}

/** WatchResponse.events 11 > Event { type 1, kv 2 } > KeyValue { key 1, value 5 }; the rest is skipped. */
function scan(answer, watcher, seen, nowUs) {
  const reader = Reader.create(answer);
  fields(reader, reader.len, (id) => {
    if (id !== 11) return false;
    let isDelete = false;
    let key = '';
    let value = -1;
    fields(reader, reader.uint32() + reader.pos, (part) => {
      if (part === 1) isDelete = reader.uint32() === 1;
      else if (part !== 2) return false;
      else {
        fields(reader, reader.uint32() + reader.pos, (inner) => {
          if (inner === 1) key = reader.string();
          else if (inner === 5) value = Number.parseInt(reader.string().slice(numberAt), 10);
          else return false;
          return true;
        });
      }
      return true;
    });
    const instance = Number(key.slice(key.lastIndexOf('/') + 1));
    if (isDelete) seen.missed(watcher, instance, nowUs);
    else seen.saw(watcher, instance, value, true, nowUs);
    return true;
  });
}

/** Calls `take` with each field's number up to `end`; what it doesn't take is skipped. */
function fields(reader, end, take) {
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (!take(tag >>> 3)) reader.skipType(tag & 7);
  }
}

const [role, part, parts, shape] = process.argv.slice(2);
if (role === 'server') await serve();
else await (role === 'load' ? load : watch)(Number(part), Number(parts), JSON.parse(shape));
