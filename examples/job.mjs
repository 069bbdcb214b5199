import { TaskdClient } from 'taskd/client';

const client = new TaskdClient({ servers: [process.env.TASKD_SERVER ?? '127.0.0.1:7400'] });
await client.jobs.put('hello', 'each-minute', { processor: 'greet', arguments: { name: 'cron' }, cron: '* * * * *' });
const { id } = await client.runs.submit('hello', { processor: 'greet', arguments: { name: 'you' } });
const run = await client.runs.result(id);
console.log(run.state, run.value);
await client.close();
