import { closeSync, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { FileRegion } from '../../../src/runtime/file-region.js';
import { NetError } from '../../../src/runtime/net.js';
import type { KernelCalls, SendProblem } from '../../../src/runtime/node/kernel-calls.js';
import { NodeFileHandle } from '../../../src/runtime/node/node-files.js';
import { RegionSender } from '../../../src/runtime/node/region-sender.js';
import { SocketQueue } from '../../../src/runtime/node/socket-queue.js';
import { MemoryLogger } from '../../support/rpc-pair.js';

/** A socket that takes nothing until it is told to. */
class FakeSocket {
  readonly _handle = { fd: 3 };
  readonly destroyed = false;
  readonly writable = true;
  writableLength = 0;
  readonly log: string[];
  #callbacks: (() => void)[] = [];

  constructor(log: string[]) {
    this.log = log;
  }
  cork(): void {}
  uncork(): void {}
  end(): void {
    this.log.push('end');
  }
  write(bytes: Uint8Array, callback: () => void): void {
    this.log.push(`write ${bytes.length}`);
    this.writableLength += bytes.length;
    this.#callbacks.push(callback);
  }
  /** The system takes all that was written. */
  drain(): void {
    this.writableLength = 0;
    for (const callback of this.#callbacks.splice(0)) callback();
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function setUp(t: Test, answer: (length: number) => number | SendProblem = (length) => length) {
  const log: string[] = [];
  const logger = new MemoryLogger();
  const sender = new RegionSender(logger);
  const kernel = {
    residentBytes: (_file: number, _position: number, length: number) => length,
    sendfile: (_socket: number, _file: number, position: number, length: number) => {
      const sent = answer(length);
      log.push(`sendfile ${position} ${typeof sent === 'number' ? sent : JSON.stringify(sent)}`);
      return sent;
    },
  };
  sender.useKernel(kernel as unknown as KernelCalls);
  const fd = openSync(process.execPath, 'r');
  t.teardown(() => closeSync(fd));
  const file = new NodeFileHandle(process.execPath, fd);
  const open = () => {
    const socket = new FakeSocket(log);
    const failed: string[] = [];
    const errors: Error[] = [];
    const drained = (): void => {};
    const queue = new SocketQueue(socket as unknown as Socket, sender, drained, (error) => {
      failed.push(error.message);
      errors.push(error);
    });
    return { socket, queue, failed, errors };
  };
  let out = 0;
  const region = (position: number, length: number): FileRegion => {
    out++;
    return new FileRegion(file, position, length, () => void out--);
  };
  return { log, logger, sender, open, region, regionsOut: () => out };
}

t.test('a region waits until nothing is queued on the socket', async (t) => {
  const { log, open, region, regionsOut } = setUp(t);
  const { socket, queue } = open();
  queue.add([Buffer.alloc(10), region(7, 100), Buffer.alloc(5), region(50, 1)]);
  queue.end();
  await turn();
  t.same(log, ['write 10']);
  socket.drain();
  await turn();
  t.same(log, ['write 10', 'sendfile 7 100', 'write 5']);
  t.equal(queue.bytes, 1);
  socket.drain();
  t.same(log.slice(3), ['sendfile 50 1', 'end']);
  t.equal(regionsOut(), 0);
});

t.test('a socket that is full gets a few bytes, and goes on when it took them', async (t) => {
  const answers: (number | SendProblem)[] = [100, 'full', 'full', 6_000];
  const { log, open, region } = setUp(t, (length) => answers.shift() ?? length);
  const { socket, queue } = open();
  queue.add([region(0, 20_000)]);
  await turn();
  t.same(log, ['sendfile 0 100', 'sendfile 100 "full"', 'write 4096']);
  socket.drain();
  await turn();
  t.same(log.slice(3), ['sendfile 4196 "full"', 'write 4096']);
  socket.drain();
  await turn();
  t.same(log.slice(5), ['sendfile 8292 6000', 'sendfile 14292 5708'], 'a short count is no end');
  t.ok(queue.isEmpty);
});

t.test('a file that is too short, and an error, end it', async (t) => {
  for (const [answer, why] of [
    [0, /shorter/],
    [{ errno: 32 }, /errno 32/],
  ] as const) {
    const { open, region, regionsOut, sender } = setUp(t, () => answer);
    const { queue, failed } = open();
    queue.add([region(0, 20), Buffer.alloc(4), region(1, 1)]);
    t.match(failed, [why]);
    t.equal(regionsOut(), 0);
    t.equal(sender.queued, 0);
    queue.add([region(0, 20)]);
    t.equal(regionsOut(), 0, 'nothing is kept any more');
  }
});

t.test('a peer that is gone, and a disk that does not give a byte, end one connection each', (t) => {
  const gone = setUp(t, () => 'gone');
  const first = gone.open();
  first.queue.add([gone.region(0, 20)]);
  t.match(first.failed, [/the peer was gone/]);
  t.ok(first.errors[0] instanceof NetError, 'which is no error of ours');
  const full = setUp(t, () => 'full');
  const second = full.open();
  const file = new NodeFileHandle('/a/file', 1_000_000);
  let isReleased = false;
  second.queue.add([
    new FileRegion(file, 0, 20, () => {
      isReleased = true;
    }),
  ]);
  t.match(second.failed, [/EBADF/]);
  t.notOk(second.errors[0] instanceof NetError);
  t.ok(isReleased);
  const third = full.open();
  third.queue.add([full.region(0, 20)]);
  t.match(full.log.at(-1), /write 20/, 'others go on');
  t.end();
});

t.test('where the kernel can not send after all, files are read and written', async (t) => {
  const { log, logger, open, region, regionsOut } = setUp(t, () => 'unsupported');
  const { socket, queue } = open();
  queue.add([region(5, 300)]);
  while (log.length < 2) await turn();
  t.same(log, ['sendfile 5 "unsupported"', 'write 300']);
  socket.drain();
  queue.add([region(9, 40)]);
  while (log.length < 3) await turn();
  t.equal(log[2], 'write 40');
  t.equal(regionsOut(), 0);
  t.match(logger.lines, [{ level: 'warn' }]);
});

t.test('a turn sends at most 1 MiB, and every socket has its share', async (t) => {
  const mib = 1024 * 1024;
  let bytes = 0;
  const { open, region } = setUp(t, (length) => {
    bytes += length;
    return length;
  });
  const queues = Array.from({ length: 40 }, () => open().queue);
  for (const queue of queues) queue.add([region(0, 2 * mib)]);
  t.ok(bytes <= mib);
  for (let turns = 1; queues.some(({ isEmpty }) => !isEmpty); turns++) {
    await turn();
    t.ok(bytes <= (turns + 1) * mib, `${bytes} bytes in ${turns} turns`);
    if (turns === 12) {
      const left = queues.slice(1).map((queue) => queue.bytes);
      t.ok(Math.max(...left) - Math.min(...left) <= 3 * 64 * 1024, 'none is far ahead of another');
    }
  }
  t.equal(bytes, 80 * mib);
});

t.test('any number of sockets that died while they waited for a read give their turns back', (t) => {
  const sender = new RegionSender(new MemoryLogger());
  const idle = { send: () => 0, tellDrained: () => {} };
  for (let i = 0; i < 6; i++) sender.wantRead({ ...idle, read: () => {} });
  let returned = 0;
  for (let i = 0; i < 20_000; i++) {
    const read = (): void => {
      returned++;
      sender.readDone();
    };
    sender.wantRead({ ...idle, read });
  }
  const gone = { ...idle, read: () => t.fail('it has nothing to read') };
  sender.wantRead(gone);
  sender.forget(gone);
  let isLast = false;
  sender.wantRead({
    ...idle,
    read: () => {
      isLast = true;
    },
  });
  sender.readDone();
  t.equal(returned, 20_000);
  t.ok(isLast);
  t.end();
});
