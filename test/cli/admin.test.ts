import t from 'tap';
import { MetricSet } from '../../src/base/counters.js';
import { AdminServer, type Health } from '../../src/cli/admin.js';

t.test('metrics and health', async (t) => {
  const metrics = new MetricSet();
  let calls = 1;
  metrics.counter('calls_total', 'Calls.', () => calls, { role: 'broker' });
  let health: Health = { status: 'starting', roles: { broker: 'starting' } };
  const admin = new AdminServer(metrics, () => health);
  const port = await admin.listen(0);
  t.teardown(() => admin.close());
  const get = async (path: string, method = 'GET'): Promise<{ status: number; text: string }> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method });
    return { status: response.status, text: await response.text() };
  };

  t.match((await get('/metrics')).text, /^taskd_calls_total\{role="broker"\} 1$/m);
  calls = 5;
  metrics.counter('calls_total', 'Calls.', () => 7, { role: 'scheduler' });
  metrics.gauge('open', 'Open.', () => 3);
  const { text } = await get('/metrics');
  t.match(text, /^taskd_calls_total\{role="broker"\} 5$/m, 'read anew at each scrape');
  t.match(text, /^taskd_calls_total\{role="scheduler"\} 7$/m, 'a role that came later');
  t.match(text, /^# TYPE taskd_open gauge$/m);
  t.match(text, /^process_resident_memory_bytes /m);

  let lags: [string, number][] = [['a', 1]];
  metrics.gauges({ name: 'lag', help: 'Lag.', label: 'group', read: () => lags });
  t.match((await get('/metrics')).text, /^taskd_lag\{group="a"\} 1$/m);
  lags = [['b', 2]];
  const later = (await get('/metrics')).text;
  t.match(later, /^taskd_lag\{group="b"\} 2$/m);
  t.notMatch(later, /group="a"/, 'a row that is gone is gone');

  t.match(await get('/healthz'), { status: 503, text: /"starting"/ });
  health = { status: 'ready', roles: { broker: 'ready' } };
  const ready = await get('/healthz');
  t.equal(ready.status, 200);
  t.strictSame(JSON.parse(ready.text), health);

  t.equal((await get('/')).status, 404);
  t.equal((await get('/metrics', 'POST')).status, 405);
});

t.test('a port in use is told', async (t) => {
  const first = new AdminServer(new MetricSet(), () => ({ status: 'ready', roles: {} }));
  const port = await first.listen(0);
  const second = new AdminServer(new MetricSet(), () => ({ status: 'ready', roles: {} }));
  await t.rejects(second.listen(port), { code: 'EADDRINUSE' });
  first.close();
  second.close();
});
