import t from 'tap';
import { reservePort } from '../../src/cli/reserved-port.js';
import { noRegions } from '../../src/runtime/file-region.js';
import type { Address, Connection, Net } from '../../src/runtime/net.js';

function fakeNet(): { net: Net; accept: (connection: Connection) => void; listens: number; closes: number } {
  const fake = {
    listens: 0,
    closes: 0,
    accept: (_connection: Connection): void => {},
    net: {
      async listen(address: Address, accept: (connection: Connection) => void) {
        fake.listens++;
        fake.accept = accept;
        return {
          address: { host: address.host, port: address.port === 0 ? 4_242 : address.port },
          async close() {
            fake.closes++;
          },
        };
      },
      dial: () => Promise.reject(new Error('not here')),
      regions: noRegions,
    } satisfies Net,
  };
  return fake;
}

t.test('the first listen to the address is handed the open socket', async (t) => {
  const fake = fakeNet();
  const reserved = await reservePort(fake.net, { host: '127.0.0.1', port: 0 });
  t.equal(reserved.address.port, 4_242);

  const calls: string[] = [];
  const connection = { start: () => calls.push('start'), reset: () => calls.push('reset') } as unknown as Connection;
  fake.accept(connection);
  t.strictSame(calls, ['start', 'reset'], 'who comes too early is cut');

  const listener = await reserved.net.listen(reserved.address, () => calls.push('accepted'));
  t.equal(fake.listens, 1);
  t.strictSame(listener.address, reserved.address);
  fake.accept(connection);
  t.strictSame(calls.slice(2), ['accepted']);

  await reserved.net.listen({ host: '127.0.0.1', port: 1 }, () => {});
  t.equal(fake.listens, 2, 'another address is another socket');
  await reserved.release();
  t.equal(fake.closes, 0, 'the socket belongs to who took it over');
});

t.test('release gives the address back', async (t) => {
  const fake = fakeNet();
  const reserved = await reservePort(fake.net, { host: '127.0.0.1', port: 7 });
  await reserved.release();
  t.equal(fake.closes, 1);
});
