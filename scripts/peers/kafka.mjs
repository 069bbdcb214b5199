/**
 * Kafka for `npm run bench -- produce --peer kafka`: one node (KRaft) from its Maven jars, a topic with one partition
 * that is flushed at each append, and Kafka's own Java client with acks=all. The jars are fetched once, into
 * scripts/peers/kafka/jars.
 */
import { existsSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { batch, dial, freePort, inFlight, output, peer, seconds, size, start, Unavailable } from './peer.mjs';

const here = join(dirname(fileURLToPath(import.meta.url)), 'kafka');
const jars = join(here, 'jars');
const remedy = 'apt-get install openjdk-17-jdk-headless maven';

async function fetchJars() {
  if (existsSync(jars)) return;
  process.stderr.write('taskd: fetching the jars of Kafka (mvn in scripts/peers/kafka)\n');
  const part = `${jars}.part`;
  rmSync(part, { recursive: true, force: true });
  const argv = ['-q', '-B', '-f', join(here, 'pom.xml'), 'dependency:copy-dependencies'];
  try {
    await output('mvn', [...argv, '-DincludeScope=runtime', `-DoutputDirectory=${part}`], remedy);
  } catch (error) {
    if (error instanceof Unavailable) throw error;
    const reason = error.message.match(/\[ERROR\] .{0,200}/)?.[0] ?? error.message;
    throw new Unavailable(`its jars could not be had from Maven Central: ${reason}`);
  }
  renameSync(part, jars);
}

await peer(async (folder, keep) => {
  await output('javac', ['-version'], remedy);
  await fetchJars();
  const version = readdirSync(jars)
    .join(' ')
    .match(/kafka-clients-([\d.]+)\.jar/)?.[1];
  const [port, controllerPort] = [await freePort(), await freePort()];
  const properties = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': join(folder, 'logs'),
    'log.flush.interval.messages': 1,
    'num.partitions': 1,
    'message.max.bytes': 16 << 20,
    'socket.request.max.bytes': 64 << 20,
    'offsets.topic.replication.factor': 1,
  };
  const file = join(folder, 'server.properties');
  writeFileSync(
    file,
    Object.entries(properties)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  );
  const java = ['-cp', `${jars}/*`];
  const quiet = ['-Dlog4j2.level=ERROR', '-Dlog4j2.StatusLogger.level=OFF'];
  const id = ['-t', 'taskdBenchPeerKafka000', '-c', file];
  await output('java', [...java, ...quiet, 'kafka.tools.StorageTool', 'format', ...id], remedy);
  const kafka = keep(await start('java', ['-Xms1g', '-Xmx1g', ...java, ...quiet, 'kafka.Kafka', file], remedy));
  (await dial(port, kafka)).destroy();
  const load = [port, kafka.pid, size, batch, inFlight, seconds].map(String);
  const heap = ['-Xms512m', '-Xmx512m'];
  const printed = await output('java', [...heap, ...java, ...quiet, join(here, 'KafkaLoad.java'), ...load], remedy);
  const figures = JSON.parse(printed.split('\n').find((line) => line.startsWith('{"callsPerSec"')));
  const durability = 'acks=all, log.flush.interval.messages=1: flushed at each append, before the answer';
  return { server: `Kafka ${version}`, durability, ...figures };
});
