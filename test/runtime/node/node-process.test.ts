import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { silentLogger } from '../../../src/base/logger.js';
import type { FileError } from '../../../src/runtime/files.js';
import type { NetError } from '../../../src/runtime/net.js';
import { nodeRuntime } from '../../../src/runtime/node/node-runtime.js';

const script = fileURLToPath(new URL('./child.js', import.meta.url));
const runtime = nodeRuntime(silentLogger);

interface Child {
  readonly process: ChildProcess;
  readonly firstLine: string;
  /** All that it printed so far. */
  output(): string;
}

async function start(...args: string[]): Promise<Child> {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  let output = '';
  await new Promise<void>((resolve) => {
    child.stdout!.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes('\n')) resolve();
    });
  });
  return { process: child, firstLine: output.split('\n')[0]!, output: () => output };
}

async function kill(child: Child): Promise<void> {
  const gone = once(child.process, 'exit');
  child.process.kill('SIGKILL');
  await gone;
}

// What the simulator claims of Linux, shown on Linux.

await t.test('a folder lock dies with its process', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'taskd-lock-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const child = await start('lock', folder);
  const locked = await runtime.files.lock(folder).catch((error: FileError) => error.code);
  t.equal(locked, 'LOCKED', 'held by another process');
  await kill(child);
  const lock = await runtime.files.lock(folder);
  await lock.release();
});

await t.test('a killed peer is noticed, and its port refuses', async (t) => {
  const child = await start('echo');
  const address = { host: '127.0.0.1', port: Number(child.firstLine) };
  const connection = await runtime.net.dial(address, 5_000);
  const told: string[] = [];
  let gotData: () => void;
  const data = new Promise<void>((resolve) => {
    gotData = resolve;
  });
  const closed = new Promise<void>((resolve) => {
    connection.start({
      data: () => gotData(),
      end: () => {
        told.push('end');
        // A write to a peer that is gone brings its RST, and the next one finds that.
        const ask = (): void => {
          if (told.length > 1) return;
          connection.write([Buffer.from('anyone?')]);
          runtime.clock.timer(1, ask);
        };
        ask();
      },
      drained() {},
      closed: (error) => {
        told.push((error as NetError | undefined)?.code ?? 'closed');
        resolve();
      },
    });
  });
  connection.write([Buffer.from('x')]);
  await data;
  await kill(child);
  await closed;
  t.ok(['end ECONNRESET', 'ECONNRESET'].includes(told.join(' ')), told.join(' '));
  await t.rejects(runtime.net.dial(address, 5_000), { code: 'ECONNREFUSED' });
});

await t.test('a stopped process: its kernel takes connections and bytes, it answers when it goes on', async (t) => {
  const child = await start('echo');
  child.process.kill('SIGSTOP');
  const connection = await runtime.net.dial({ host: '127.0.0.1', port: Number(child.firstLine) }, 5_000);
  let text = '';
  const answered = new Promise<void>((resolve) => {
    connection.start({
      data: (chunk) => {
        text += Buffer.from(chunk).toString();
        if (text === 'hello') resolve();
      },
      end() {},
      drained: () => {
        if (text === '') child.process.kill('SIGCONT');
      },
      closed() {},
    });
  });
  connection.write([Buffer.from('hello')]);
  await answered;
  t.equal(text, 'hello');
  connection.reset();
  await kill(child);
});

await t.test('stop signals and exit codes', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const child = await start('stop');
    const exit = once(child.process, 'exit');
    child.process.kill(signal);
    t.same(await exit, [3, null]);
    t.ok(child.output().endsWith(`${signal}\n`));
  }
});
