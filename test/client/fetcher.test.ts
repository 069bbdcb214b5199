import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ErrorCode, type TaskdError } from '../../src/base/errors.js';
import { BatchClass, type BatchHeader, headerBytes, readBatch, readHeader } from '../../src/batch/header.js';
import { Fetcher } from '../../src/client/fetcher.js';
import { nodeRuntime } from '../../src/runtime/node/node-runtime.js';
import { tryZeroCopy } from '../../src/runtime/node/zero-copy.js';
import { BrokerNode, ClientKit, temporaryFolder } from '../support/broker-node.js';
import { MemoryLogger } from '../support/rpc-pair.js';

const segmentBytes = 256 * 1024;
const records = 200;

/** Reads from `offset` until the end of the log, or until something is lost. */
function readOn(client: ClientKit, topicId: number, offset: number, bytesMax: number) {
  return new Promise<{ offsets: number[]; lost: TaskdError | undefined; troubles: number }>((resolve) => {
    const offsets: number[] = [];
    let troubles = 0;
    const done = (lost?: TaskdError): void => {
      fetcher.close();
      resolve({ offsets, lost, troubles });
    };
    const events = {
      batch(header: BatchHeader, bytes: Uint8Array) {
        if (typeof readBatch(bytes, 0) === 'string') throw new Error('a damaged batch was told');
        for (let i = 0; i < header.recordCount; i++) offsets.push(header.baseOffset + i);
      },
      caughtUp: () => done(),
      lost: (_logStart: number, error: TaskdError) => done(error),
      trouble: () => void troubles++,
    };
    const place = { topicId, partition: 0, offset };
    const fetcher = new Fetcher(client.runtime, client.connections, client.topics, place, events, { bytesMax });
  });
}

for (const isZeroCopy of [true, false]) {
  t.test(`a batch that is damaged on disk is never told (${isZeroCopy ? 'by the kernel' : 'copied'})`, async (t) => {
    const folder = temporaryFolder(t);
    const log = new MemoryLogger();
    const runtime = nodeRuntime(log);
    if (isZeroCopy) {
      await tryZeroCopy(log).then(
        (kernel) => runtime.net.useKernel(kernel),
        () => {},
      );
    }
    let node = await BrokerNode.start(runtime, folder, { segmentBytes });
    const topicId = await node.broker.ensureTopic('words', 1);
    const writer = node.broker.taskLog(topicId, 0);
    const appends: Promise<readonly number[]>[] = [];
    for (let i = 0; i < records; i++)
      appends.push(writer.append([{ value: runtime.random.bytes(4_000) }], BatchClass.CLIENT));
    const offsets = (await Promise.all(appends)).flat();
    await node.stop();

    // Rot in the body of a batch in the middle of the first segment.
    const topicFolder = join(folder, 'data', `${topicId}`);
    const logFolder = join(topicFolder, readdirSync(topicFolder)[0]!);
    const name = readdirSync(logFolder).filter((each) => each.endsWith('.log'))[0]!;
    const bytes = readFileSync(join(logFolder, name));
    let victim = 0;
    let next = 0;
    for (let at = 0; at < segmentBytes / 2; ) {
      const header = readHeader(bytes, at) as BatchHeader;
      victim = header.baseOffset;
      next = victim + header.recordCount;
      if (at + header.length >= segmentBytes / 2) bytes[at + headerBytes + 9]! ^= 4;
      at += header.length;
    }

    node = await BrokerNode.start(runtime, folder, { segmentBytes });
    t.teardown(() => node.stop());
    const client = new ClientKit(runtime, node.address);
    t.teardown(() => client.close());
    const whole = await readOn(client, topicId, 0, 100_000);
    t.same(whole.offsets, offsets, 'all of it is there at first');
    writeFileSync(join(logFolder, name), bytes);

    const before = await readOn(client, topicId, 0, 100_000);
    t.match(before.lost, { code: ErrorCode.DATA_LOSS, hint: `${victim}-${next}` });
    t.same(
      before.offsets,
      offsets.filter((offset) => offset < victim),
    );
    t.equal(before.troubles, 1, 'it looked twice');
    const after = await readOn(client, topicId, next, 100_000);
    t.equal(after.lost, undefined);
    t.same(
      after.offsets,
      offsets.filter((offset) => offset >= next),
    );
    if (isZeroCopy && runtime.net.regions.zeroCopyBytes === 0) t.comment('the kernel sends nothing here');
  });
}
