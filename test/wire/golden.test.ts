import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ErrorCode, Retry } from '../../src/base/errors.js';
import { correlationOf, Flag, type Frame, Kind } from '../../src/wire/frame.js';
import { FrameDecoder } from '../../src/wire/frame-decoder.js';
import { openLimits } from '../../src/wire/frame-limits.js';
import { taskd } from '../../src/wire/generated/messages.js';
import { draining, hello, produce, resolveApp, watchInstances } from '../../src/wire/methods.js';
import { preface } from '../../src/wire/preface.js';
import { frameBytes } from '../support/raw-peer.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const lines = readFileSync(join(root, 'test', 'golden', 'frames.txt'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => line.split(' = ') as [string, string]);
const golden = new Map(lines);

const error = { code: ErrorCode.NOT_LEADER, message: 'ask the leader', retry: Retry.OTHER, hint: '127.0.0.1:7402' };
const first = correlationOf(0, 1);
const other = correlationOf(3, 0x102);
const frames: Record<string, Record<string, unknown>> = {
  'hello request': {
    kind: Kind.REQ,
    method: hello.id,
    correlation: first,
    codec: taskd.Hello,
    message: { clientId: 'c1', kind: 'client', software: 'x/1' },
    deadlineMs: 5_000,
  },
  'hello answer': {
    kind: Kind.RES,
    method: hello.id,
    correlation: first,
    codec: taskd.HelloOk,
    message: {
      nodeId: 'n1',
      incarnation: 2 ** 40,
      roles: ['broker', 'scheduler'],
      clusterId: 'k1',
      controlFrameBytesMax: 1_048_576,
      dataFrameBytesMax: 16_777_216,
      heartbeatMs: 3_000,
      inFlightMax: 4_096,
      serverTimeMs: 1_700_000_000_000,
    },
  },
  request: {
    kind: Kind.REQ,
    method: resolveApp.id,
    correlation: other,
    codec: taskd.ResolveAppRequest,
    message: { app: 'mail', create: true },
    deadlineMs: 10_000,
  },
  answer: {
    kind: Kind.RES,
    method: resolveApp.id,
    correlation: other,
    codec: taskd.ResolveAppResponse,
    message: { appId: Number.MAX_SAFE_INTEGER, shard: 2 },
  },
  'request with payload': {
    kind: Kind.REQ,
    method: produce.id,
    correlation: other,
    codec: taskd.ProduceRequest,
    message: { topicId: 1, partition: 2 },
    deadlineMs: 30_000,
    payload: [Uint8Array.of(0xca, 0xfe)],
  },
  'payload with crc': {
    kind: Kind.RES,
    method: produce.id,
    correlation: other,
    flags: Flag.CRC,
    codec: taskd.ProduceResponse,
    message: { baseOffset: 7 },
    payload: [Uint8Array.of(1, 2), Uint8Array.of(3)],
  },
  error: { kind: Kind.ERR, method: resolveApp.id, correlation: other, codec: taskd.ErrorInfo, message: error },
  oneway: { kind: Kind.ONEWAY, method: draining.id, codec: taskd.Draining, message: { shard: 3 } },
  'stream request': {
    kind: Kind.REQ,
    method: watchInstances.id,
    correlation: other,
    codec: taskd.WatchRequest,
    message: { namespace: 'taskd', service: 'taskd.broker' },
    credit: 8,
  },
  push: {
    kind: Kind.PUSH,
    method: watchInstances.id,
    correlation: other,
    codec: taskd.WatchEvent,
    message: { full: true, removed: [{ service: 's', instanceId: 'i' }] },
  },
  credit: {
    kind: Kind.CREDIT,
    method: watchInstances.id,
    correlation: other,
    codec: taskd.Credit,
    message: { pushes: 4 },
  },
  cancel: { kind: Kind.CANCEL, method: watchInstances.id, correlation: other },
  end: { kind: Kind.END, method: watchInstances.id, correlation: other },
  'end with error': {
    kind: Kind.END,
    method: watchInstances.id,
    correlation: other,
    codec: taskd.ErrorInfo,
    message: error,
  },
  ping: { kind: Kind.PING, codec: taskd.Heartbeat, message: { opaque: 5 } },
  pong: { kind: Kind.PONG, codec: taskd.Heartbeat, message: { opaque: 5, serverMonotonicMs: 1.5 } },
  goaway: { kind: Kind.GOAWAY, codec: taskd.GoAway, message: { reason: 'leaving', leaveWithinMs: 10_000 } },
};

t.test('every kind of frame has the bytes that it always had', (t) => {
  t.equal(golden.get('preface'), Buffer.from(preface).toString('hex'));
  for (const [name, fields] of Object.entries(frames))
    t.equal(frameBytes(fields).toString('hex'), golden.get(name), name);
  t.same([...golden.keys()].sort(), ['preface', ...Object.keys(frames)].sort(), 'and the file names no others');
  t.end();
});

t.test('and they are read back', (t) => {
  for (const [name, fields] of Object.entries(frames)) {
    const decoder = new FrameDecoder(openLimits, (frame: Frame) => {
      t.equal(frame.kind, fields['kind'], name);
      t.equal(frame.correlation, fields['correlation'] ?? 0);
      const codec = fields['codec'] as typeof taskd.Hello | undefined;
      if (codec !== undefined) t.match(frame.decode(codec), fields['message'] as object);
      t.equal(
        frame.payload.length,
        ((fields['payload'] ?? []) as Uint8Array[]).reduce((sum, part) => sum + part.length, 0),
      );
    });
    decoder.feed(Buffer.from(golden.get(name)!, 'hex'));
  }
  t.end();
});
