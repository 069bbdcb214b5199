import { open } from 'node:fs/promises';
import type { Logger } from '../../base/logger.js';
import { FileRegion } from '../file-region.js';
import type { Connection } from '../net.js';
import { KernelCalls } from './kernel-calls.js';
import { NodeFileHandle } from './node-files.js';
import { NodeNet } from './node-net.js';

/** A file of several MiB that is surely there, and in memory, since it runs: Node itself. */
const testedFile = process.execPath;
const testedFrom = 4_099;
const testedBytes = 512 * 1024 + 7;
const testMsMax = 2_000;

/**
 * Loads what sends files by the kernel and tries it: a part of a file, between other bytes, must come out of a loopback
 * connection as it went in. Rejects with the reason where it does not work; then regions are read and written.
 */
export async function tryZeroCopy(logger: Logger): Promise<KernelCalls> {
  const kernel = await KernelCalls.load();
  const net = new NodeNet(logger);
  net.useKernel(kernel);
  const file = await open(testedFile, 'r');
  try {
    const part = Buffer.alloc(testedBytes);
    await file.read(part, 0, testedBytes, testedFrom);
    if (kernel.residentBytes(file.fd, testedFrom, testedBytes) !== testedBytes) {
      throw new Error('the system does not tell what part of a file is in memory');
    }
    const before = Buffer.from('before');
    const after = Buffer.from('after');
    const region = new FileRegion(new NodeFileHandle(testedFile, file.fd), testedFrom, testedBytes, () => {});
    const received = await throughLoopback(net, (connection) => connection.write([before, region, after]));
    if (!received.equals(Buffer.concat([before, part, after]))) throw new Error('a file did not arrive as it was sent');
    if (net.regions.zeroCopyBytes === 0) throw new Error('the kernel did not send what it should have');
    return kernel;
  } finally {
    await file.close();
  }
}

/** What comes out of a connection whose other end writes and ends. */
async function throughLoopback(net: NodeNet, write: (connection: Connection) => void): Promise<Buffer> {
  const listener = await net.listen({ host: '127.0.0.1', port: 0 }, (accepted) => {
    accepted.start({ data() {}, end() {}, drained() {}, closed() {} });
    write(accepted);
    accepted.end();
  });
  try {
    const connection = await net.dial(listener.address, testMsMax);
    return await new Promise((resolve, reject) => {
      const chunks: Uint8Array[] = [];
      const timeout = setTimeout(() => {
        connection.reset();
        reject(new Error(`a file did not arrive within ${testMsMax} ms`));
      }, testMsMax);
      connection.start({
        data: (chunk) => void chunks.push(chunk.slice()),
        end: () => connection.end(),
        drained() {},
        closed(error) {
          clearTimeout(timeout);
          if (error === undefined) resolve(Buffer.concat(chunks));
          else reject(error);
        },
      });
    });
  } finally {
    await listener.close();
  }
}
