// node server.mjs [id]: answers prices, and registers itself so that callers find it.
import { createServer } from 'node:net';
import { Discovery } from 'taskd/discovery';
import { Ask, Price, receive, send } from './wire.mjs';

const instanceId = process.argv[2] ?? `js-${process.pid}`;
const cents = { apple: 50, pear: 70 };

const server = createServer((socket) => {
  socket.on('error', () => {}); // a caller that is gone is no reason to end
  receive(socket, Ask, ({ id, sku }) => {
    const known = Object.hasOwn(cents, sku);
    send(socket, Price, { id, cents: known ? cents[sku] : 0, instanceId, problem: known ? '' : `no ${sku} here` });
  });
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const { port } = server.address();

const discovery = new Discovery({ servers: (process.env.TASKD_SERVER ?? '127.0.0.1:7400').split(',') });
const registration = discovery.registry.register({
  service: 'prices',
  instanceId,
  addresses: [{ host: '127.0.0.1', port }],
  metadata: { language: 'js' },
});
await registration.registered;
console.log(`serving ${instanceId} at ${port}`);

// First out of the list, so that nobody is sent here any more; then the door is closed.
process.once('SIGTERM', async () => {
  await discovery.close();
  server.close();
  setTimeout(() => process.exit(0), 500).unref();
});
