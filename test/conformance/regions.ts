import type { Test } from 'tap';
import { FileRegion, type Piece } from '../../src/runtime/file-region.js';
import type { FileHandle } from '../../src/runtime/files.js';
import type { Connection } from '../../src/runtime/net.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import type { InRuntime } from './in-runtime.js';

const fileBytes = 3_000_000;

/** Two ends of a connection; the far one keeps what it got. */
class Line {
  readonly received: Uint8Array[] = [];
  receivedBytes = 0;
  isClosed = false;
  farError: Error | undefined;
  hasEnd = false;
  near!: Connection;
  far!: Connection;
  #changed: () => void = () => {};

  static async open({ net }: Runtime): Promise<Line> {
    const line = new Line();
    const listener = await net.listen({ host: '127.0.0.1', port: 0 }, (connection) => {
      line.near = connection;
      connection.start({
        data: () => {},
        end: () => {},
        drained: () => line.#changed(),
        closed: () => {
          line.isClosed = true;
          line.#changed();
        },
      });
      line.#changed();
    });
    line.far = await net.dial(listener.address, 5_000);
    line.far.start({
      data: (chunk) => {
        line.received.push(chunk.slice());
        line.receivedBytes += chunk.length;
        line.#changed();
      },
      end: () => {
        line.hasEnd = true;
        line.#changed();
      },
      drained: () => {},
      closed: (error) => {
        line.farError = error;
        line.#changed();
      },
    });
    await line.until(() => line.near !== undefined);
    await listener.close();
    return line;
  }

  async until(isDone: () => boolean): Promise<void> {
    while (!isDone()) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }
}

/** A file with random bytes, and regions of it that are counted until they are released. */
class Source {
  readonly path: string;
  readonly file: FileHandle;
  readonly content: Uint8Array;
  out = 0;
  releases = 0;

  constructor(path: string, file: FileHandle, content: Uint8Array) {
    this.path = path;
    this.file = file;
    this.content = content;
  }

  static async make({ files, random }: Runtime, folder: string): Promise<Source> {
    await files.makeFolder(folder);
    const name = `${folder}/${random.below(1e9)}`;
    const file = await files.open(name, 'create');
    const content = random.bytes(fileBytes);
    await file.write([content], 0);
    return new Source(name, file, content);
  }

  region(from: number, length: number): FileRegion {
    this.out++;
    return new FileRegion(this.file, from, length, () => {
      this.out--;
      this.releases++;
    });
  }
}

/** What every `Connection` does with regions of files. `folder` as for the files. */
export async function regionConformance(t: Test, run: InRuntime, folder: string): Promise<void> {
  await t.test('regions: bytes and regions leave in the order in which they were written', (t) =>
    run(async (runtime) => {
      const { random } = runtime;
      const source = await Source.make(runtime, folder);
      const line = await Line.open(runtime);
      const expected: Uint8Array[] = [];
      let isPaused = false;
      for (let i = 0; i < 120; i++) {
        const pieces: Piece[] = [];
        for (let n = random.below(4); n >= 0; n--) {
          if (random.below(3) === 0) {
            const bytes = random.bytes(random.below(5) === 0 ? 100_000 : random.below(300));
            pieces.push(bytes);
            expected.push(bytes);
          } else {
            const from = random.below(fileBytes - 200_000);
            const length = 1 + random.below(random.below(4) === 0 ? 200_000 : 9_000);
            pieces.push(source.region(from, length));
            expected.push(source.content.subarray(from, from + length));
          }
        }
        const before = line.near.queuedBytes;
        line.near.write(pieces);
        t.ok(line.near.queuedBytes <= before + pieces.reduce((sum, { length }) => sum + length, 0));
        if (random.below(6) === 0) {
          if (isPaused) line.far.resume();
          else line.far.pause();
          isPaused = !isPaused;
        }
        if (random.below(3) === 0) await new Promise<void>((resolve) => runtime.clock.timer(random.below(3), resolve));
      }
      line.far.resume();
      line.near.end();
      line.near.write([source.region(0, 10)]);
      const all = Buffer.concat(expected);
      await line.until(() => line.hasEnd);
      t.ok(all.equals(Buffer.concat(line.received)), `${all.length} bytes, ${line.receivedBytes} came`);
      line.far.end();
      await line.until(() => line.isClosed);
      t.equal(source.out, 0, 'every region was released');
      await source.file.close();
    }),
  );

  await t.test('regions: nobody needs the file any more once the region is released', (t) =>
    run(async (runtime) => {
      const source = await Source.make(runtime, folder);
      const line = await Line.open(runtime);
      const expected: Uint8Array[] = [];
      let closed = 0;
      for (let i = 0; i < 12; i++) {
        const file = await runtime.files.open(source.path, 'read');
        const length = 1 + runtime.random.below(i % 3 === 0 ? fileBytes - 100 : 5_000);
        expected.push(source.content.subarray(i, i + length));
        line.near.write([new FileRegion(file, i, length, () => void file.close().then(() => closed++))]);
      }
      const wanted = Buffer.concat(expected);
      await line.until(() => line.receivedBytes === wanted.length);
      t.ok(wanted.equals(Buffer.concat(line.received)));
      while (closed < 12) await new Promise<void>((resolve) => runtime.clock.timer(1, resolve));
      line.near.reset();
      await line.until(() => line.isClosed);
      await source.file.close();
    }),
  );

  await t.test('regions: a peer that does not read leaves them queued, and reset lets go of all', (t) =>
    run(async (runtime) => {
      const source = await Source.make(runtime, folder);
      const line = await Line.open(runtime);
      line.far.pause();
      line.near.write([source.region(0, 1_000)]);
      for (let i = 0; i < 40; i++) line.near.write([Buffer.from('head'), source.region(1, fileBytes - 1)]);
      await line.until(() => source.releases > 0);
      t.ok(source.out > 20, 'the kernels hold a few MiB');
      t.ok(line.near.queuedBytes > 20 * fileBytes);
      line.near.reset();
      line.near.write([source.region(0, 5)]);
      await line.until(() => line.isClosed);
      // A read that was under way may end a little later.
      while (source.out > 0) await new Promise<void>((resolve) => runtime.clock.timer(1, resolve));
      t.equal(line.near.queuedBytes, 0);
      await source.file.close();
    }),
  );

  await t.test('regions: a peer that goes away in the middle', (t) =>
    run(async (runtime) => {
      const source = await Source.make(runtime, folder);
      const line = await Line.open(runtime);
      for (let i = 0; i < 20; i++) line.near.write([source.region(i, fileBytes - 100), Buffer.from('between')]);
      await line.until(() => line.receivedBytes > fileBytes / 2);
      line.far.reset();
      await line.until(() => line.isClosed);
      while (source.out > 0) await new Promise<void>((resolve) => runtime.clock.timer(1, resolve));
      t.equal(source.releases, 20);
      await source.file.close();
    }),
  );

  await t.test('regions: a file that ends too early cuts the connection', (t) =>
    run(async (runtime) => {
      const source = await Source.make(runtime, folder);
      const line = await Line.open(runtime);
      line.near.write([source.region(fileBytes - 1_000, 2_000), Buffer.from('never')]);
      await line.until(() => line.isClosed && line.farError !== undefined);
      t.ok(line.receivedBytes <= 1_000, 'what is not in the file is not sent');
      t.equal(source.out, 0);
      await source.file.close();
    }),
  );
}
