import { json, TaskdClient } from 'taskd/client';

const client = new TaskdClient({ servers: [process.env.TASKD_SERVER ?? '127.0.0.1:7400'] });
await client.topics.create('orders', { partitions: 4, ifAbsent: true });

const producer = client.producer();
for (let id = 0; id < 1_000; id++) {
  await producer.room(); // as fast as the broker takes them
  producer.send('orders', { key: `customer-${id % 10}`, value: json({ id }) }).catch(console.error);
}
await producer.flush();

let orders = 0;
await client.consumer({ topics: ['orders'], stopAtEnd: true }).run(() => void orders++);
console.log(`${orders} orders are stored`);
await client.close();
