import type { Test } from 'tap';
import { type Connection, type ConnectionEvents, type Listener, NetError } from '../../src/runtime/net.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import type { InRuntime } from './in-runtime.js';

const loopback = { host: '127.0.0.1', port: 0 };

/** An end of a connection that keeps what it was told and lets tests wait for it. */
class Recorder implements ConnectionEvents {
  readonly connection: Connection;
  readonly told: string[] = [];
  receivedBytes = 0;
  readonly #received: Uint8Array[] = [];
  error: Error | undefined;
  #isInsideCall = false;
  #waiting: { readonly until: () => boolean; readonly resolve: () => void }[] = [];
  onData: ((chunk: Uint8Array) => void) | undefined;

  constructor(connection: Connection) {
    this.connection = connection;
    connection.start(this);
  }

  /** Runs `call` and notices callbacks from inside it. */
  call(call: (connection: Connection) => void): void {
    this.#isInsideCall = true;
    call(this.connection);
    this.#isInsideCall = false;
  }

  wait(until: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      if (until()) resolve();
      else this.#waiting.push({ until, resolve });
    });
  }

  received(): Buffer {
    return Buffer.concat(this.#received);
  }

  has(what: string): () => boolean {
    return () => this.told.includes(what);
  }

  data(chunk: Uint8Array): void {
    this.#received.push(chunk.slice());
    this.receivedBytes += chunk.length;
    this.onData?.(chunk);
    this.#tell('data');
  }

  end(): void {
    this.#tell('end');
  }

  drained(): void {
    this.#tell('drained');
  }

  closed(error: Error | undefined): void {
    this.error = error;
    this.#tell('closed');
  }

  #tell(what: string): void {
    this.told.push(this.#isInsideCall ? `${what} inside a call` : what);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) {
      if (one.until()) one.resolve();
      else this.#waiting.push(one);
    }
  }
}

interface Pair {
  readonly client: Recorder;
  readonly server: Recorder;
  readonly listener: Listener;
}

async function connect({ net }: Runtime): Promise<Pair> {
  let accepted: (connection: Connection) => void = () => {};
  const server = new Promise<Recorder>((resolve) => {
    accepted = (connection) => resolve(new Recorder(connection));
  });
  const listener = await net.listen(loopback, (connection) => accepted(connection));
  const client = new Recorder(await net.dial(listener.address, 5_000));
  return { client, server: await server, listener };
}

async function rejects(t: Test, what: Promise<unknown>, code: string): Promise<void> {
  try {
    await what;
    t.fail(`no error, expected ${code}`);
  } catch (error) {
    t.ok(error instanceof NetError && error.code === code, `${code}, got ${error}`);
  }
}

const bothWays: readonly (readonly ['client' | 'server', 'client' | 'server'])[] = [
  ['client', 'server'],
  ['server', 'client'],
];

/** What every `Net` does. */
export async function netConformance(t: Test, run: InRuntime): Promise<void> {
  await t.test('net: bytes arrive whole and in order, both ways at once', (t) =>
    run(async (runtime) => {
      const pair = await connect(runtime);
      const sent: Record<string, Buffer> = {};
      for (const [from] of bothWays) {
        const chunks: Uint8Array[] = [];
        for (let i = 0; i < 400; i++)
          chunks.push(runtime.random.bytes(runtime.random.below(i % 10 === 0 ? 20_000 : 200)));
        sent[from] = Buffer.concat(chunks);
        for (let i = 0; i < chunks.length; i += 7) pair[from].call((c) => c.write(chunks.slice(i, i + 7)));
      }
      for (const [from, to] of bothWays) {
        await pair[to].wait(() => pair[to].receivedBytes >= sent[from]!.length);
        t.ok(sent[from]!.equals(pair[to].received()));
        await pair[from].wait(() => pair[from].connection.queuedBytes === 0);
        t.ok(pair[from].told.includes('drained'));
      }
      t.same(pair.client.connection.remote, pair.listener.address);
      t.same(pair.server.connection.remote, pair.client.connection.local);
      pair.client.call((c) => c.end());
      pair.server.call((c) => c.end());
      await pair.client.wait(pair.client.has('closed'));
      await pair.listener.close();
    }),
  );

  for (const [first, second] of bothWays) {
    await t.test(`net: half-open when the ${first} ends first, then closed without an error`, (t) =>
      run(async (runtime) => {
        const pair = await connect(runtime);
        pair[first].call((c) => {
          c.write([Buffer.from('last words')]);
          c.end();
          c.write([Buffer.from('dropped')]);
        });
        await pair[second].wait(pair[second].has('end'));
        t.equal(pair[second].received().toString(), 'last words', 'all bytes come before the end');
        pair[second].call((c) => c.write([Buffer.from('still '), Buffer.from('here')]));
        await pair[first].wait(() => pair[first].receivedBytes === 10);
        t.notOk(pair[first].told.includes('end'));
        pair[second].call((c) => c.end());
        await Promise.all([pair[first], pair[second]].map((end) => end.wait(end.has('closed'))));
        for (const end of [pair[first], pair[second]]) {
          t.equal(end.error, undefined);
          t.equal(end.told.filter((what) => what === 'end').length, 1);
          t.equal(end.told.filter((what) => what === 'closed').length, 1);
          t.equal(end.told.at(-1), 'closed');
          t.notOk(end.told.some((what) => what.endsWith('inside a call')));
          end.call((c) => {
            c.write([Buffer.from('x')]);
            c.end();
            c.reset();
          });
        }
        await pair.listener.close();
      }),
    );

    await t.test(`net: a reset by the ${first} is an error for the other only`, (t) =>
      run(async (runtime) => {
        const pair = await connect(runtime);
        pair[first].call((c) => c.reset());
        await Promise.all([pair[first], pair[second]].map((end) => end.wait(end.has('closed'))));
        t.equal(pair[first].error, undefined);
        t.equal((pair[second].error as NetError).code, 'ECONNRESET');
        t.notOk(pair[first].told.includes('closed inside a call'));
        t.notOk(pair[second].told.includes('end'));
        await pair.listener.close();
      }),
    );

    await t.test(`net: a paused ${second} is told nothing and the ${first}'s queue grows`, (t) =>
      run(async (runtime) => {
        const pair = await connect(runtime);
        pair[second].call((c) => c.pause());
        const block = runtime.random.bytes(1024 * 1024);
        let writes = 0;
        // The kernels hold a few MiB; then bytes stay queued, whatever was drained before.
        while (writes < 64) {
          pair[first].call((c) => c.write([block]));
          writes++;
          await new Promise<void>((resolve) => {
            runtime.clock.timer(1, resolve);
          });
          if (pair[first].connection.queuedBytes > 4 * block.length) break;
        }
        pair[first].call((c) => c.end());
        t.ok(writes < 64, 'the queue grew');
        t.same(pair[second].told, []);
        pair[second].call((c) => c.resume());
        await pair[second].wait(pair[second].has('end'));
        t.equal(pair[second].receivedBytes, writes * block.length);
        t.equal(pair[first].connection.queuedBytes, 0);
        pair[second].call((c) => c.end());
        await pair[first].wait(pair[first].has('closed'));
        await pair.listener.close();
      }),
    );
  }

  await t.test('net: pausing inside data holds back what follows', (t) =>
    run(async (runtime) => {
      const pair = await connect(runtime);
      let calls = 0;
      pair.client.onData = () => {
        calls++;
        pair.client.connection.pause();
      };
      pair.server.call((c) => c.write([runtime.random.bytes(3_000_000)]));
      pair.server.call((c) => c.end());
      await pair.client.wait(() => calls === 1);
      for (let i = 0; i < 3; i++) {
        await new Promise<void>((resolve) => {
          runtime.clock.timer(2, resolve);
        });
      }
      t.equal(calls, 1);
      pair.client.onData = undefined;
      pair.client.call((c) => c.resume());
      await pair.client.wait(pair.client.has('end'));
      t.equal(pair.client.receivedBytes, 3_000_000);
      pair.client.call((c) => c.end());
      await pair.server.wait(pair.server.has('closed'));
      await pair.listener.close();
    }),
  );

  await t.test('net: refused, in use, closed listeners', (t) =>
    run(async ({ net }) => {
      const accepted: Recorder[] = [];
      const listener = await net.listen(loopback, (connection) => accepted.push(new Recorder(connection)));
      t.ok(listener.address.port > 0);
      await rejects(
        t,
        net.listen(listener.address, () => {}),
        'EADDRINUSE',
      );
      const client = new Recorder(await net.dial(listener.address, 5_000));
      client.call((c) => c.write([Buffer.from('x')]));
      await listener.close();
      await rejects(t, net.dial(listener.address, 5_000), 'ECONNREFUSED');
      t.equal(accepted.length, 1);
      const server = accepted[0]!;
      await server.wait(server.has('data'));
      server.call((c) => c.write([Buffer.from('accepted connections live on')]));
      await client.wait(client.has('data'));
      client.call((c) => c.end());
      server.call((c) => c.end());
      await client.wait(client.has('closed'));
      const again = await net.listen(listener.address, () => {});
      t.same(again.address, listener.address, 'the port can be bound again at once');
      await again.close();
    }),
  );
}
