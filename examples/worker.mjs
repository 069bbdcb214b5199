import { Worker } from 'taskd/worker';

const worker = new Worker({
  servers: [process.env.TASKD_SERVER ?? '127.0.0.1:7400'],
  app: 'hello',
  processors: {
    greet: async ({ name }, context) => `hello ${name}, at try ${context.attempt}`,
  },
});
await worker.start();
console.log('working');
process.once('SIGTERM', () => worker.drain());
