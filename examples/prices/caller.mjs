// node caller.mjs [count] [selector]: asks for prices, each time whom the picker chooses, and says who answered.
import { once } from 'node:events';
import { connect } from 'node:net';
import { Discovery } from 'taskd/discovery';
import { Ask, Price, receive, send } from './wire.mjs';

const [count = '20', selector = ''] = process.argv.slice(2);
const discovery = new Discovery({ servers: (process.env.TASKD_SERVER ?? '127.0.0.1:7400').split(',') });
const prices = discovery.service('prices', { picker: 'round-robin', selector });
await prices.known;

/** A connection to each instance that was called. */
const sockets = new Map();
let lastId = 0;

async function ask({ host, port }, sku) {
  const key = `${host}:${port}`;
  let socket = sockets.get(key);
  if (socket === undefined || socket.destroyed) {
    socket = connect(port, host);
    await once(socket, 'connect');
    socket.on('error', () => {}); // whoever waits for an answer is told by 'close'
    receive(socket, Price, (price) => socket.emit(`price ${price.id}`, price));
    sockets.set(key, socket);
  }
  const id = ++lastId;
  send(socket, Ask, { id, sku });
  return await new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(), 2_000);
    const gone = () => {
      clearTimeout(timer);
      reject(new Error(`no answer from ${key}`));
    };
    socket.once('close', gone);
    socket.once(`price ${id}`, (price) => {
      clearTimeout(timer);
      socket.off('close', gone);
      resolve(price);
    });
  });
}

const answers = {};
for (let i = 0; i < Number(count); i++) {
  const instance = prices.pick();
  if (instance === undefined) throw new Error('nobody serves prices now');
  const startMs = performance.now();
  try {
    const price = await ask(instance.addresses[0], 'apple');
    // That it has no apples would be an answer too: only silence speaks against the instance.
    prices.done(instance, { latencyMs: performance.now() - startMs, isOk: true });
    if (price.problem !== '') throw new Error(price.problem);
    answers[price.instanceId] = (answers[price.instanceId] ?? 0) + 1;
  } catch (error) {
    prices.done(instance, { latencyMs: performance.now() - startMs, isOk: false });
    console.error(`${instance.instanceId}: ${error.message}`);
  }
}
for (const id of Object.keys(answers).sort()) console.log(`${id} answered ${answers[id]}`);
for (const socket of sockets.values()) socket.destroy();
await discovery.close();
