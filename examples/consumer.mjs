import { TaskdClient } from 'taskd/client';

const client = new TaskdClient({ servers: [process.env.TASKD_SERVER ?? '127.0.0.1:7400'] });
await client.topics.create('orders', { partitions: 4, ifAbsent: true });

const consumer = client.consumer({ group: 'billing', topics: ['orders'], order: 'key' });
process.once('SIGTERM', () => consumer.close());
await consumer.run(async (record, context) => {
  const order = record.json();
  if (order.amount < 0) return context.deadLetter('a negative amount');
  if (order.amount > 1000 && record.attempt === 1) throw new Error('the bank does not answer');
  console.log(`billed ${order.id} at try ${record.attempt}`);
});
await client.close();
