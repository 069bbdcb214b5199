import { createServer, type Server, type ServerResponse } from 'node:http';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { GaugeFamily, Metric, MetricSet } from '../base/counters.js';

/** What `/healthz` says. */
export interface Health {
  /** `starting` and `draining` are answered with 503, so that a load balancer looks elsewhere. */
  readonly status: 'starting' | 'ready' | 'draining';
  readonly roles: Readonly<Record<string, 'starting' | 'ready' | 'draining'>>;
}

/** The admin port: `/metrics` for Prometheus and `/healthz` for whoever watches. Plain HTTP, loopback only. */
export class AdminServer {
  readonly #server: Server;
  readonly #registry: Registry = new Registry();
  #closed = false;

  /** `health` is asked at each request, each metric of `metrics` at each scrape and at no other time. */
  constructor(metrics: MetricSet, health: () => Health) {
    collectDefaultMetrics({ register: this.#registry });
    let registered = 0;
    this.#server = createServer((request, response) => {
      const path = (request.url ?? '/').split('?')[0];
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        answer(response, 405, 'text/plain', 'only GET\n');
      } else if (path === '/metrics') {
        // Roles add theirs as they come up.
        const all = metrics.all();
        const families = metrics.families();
        if (all.length + families.length !== registered) {
          registered = all.length + families.length;
          this.#show(all);
          for (const family of families) this.#showFamily(family);
        }
        this.#registry.metrics().then(
          (text) => answer(response, 200, this.#registry.contentType, text),
          (error: unknown) => answer(response, 500, 'text/plain', `${error}\n`),
        );
      } else if (path === '/healthz') {
        const now = health();
        answer(response, now.status === 'ready' ? 200 : 503, 'application/json', `${JSON.stringify(now)}\n`);
      } else {
        answer(response, 404, 'text/plain', 'there are /metrics and /healthz\n');
      }
    });
    this.#server.headersTimeout = 5_000;
    this.#server.requestTimeout = 10_000;
    this.#server.maxConnections = 64;
  }

  /** Listens on 127.0.0.1; resolves with the port. Rejects with the system's error. */
  listen(port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, '127.0.0.1', () => {
        this.#server.off('error', reject);
        const address = this.#server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#server.close();
    this.#server.closeAllConnections();
    this.#registry.clear();
  }

  #showFamily({ name, help, label, read }: GaugeFamily): void {
    this.#registry.removeSingleMetric(`taskd_${name}`);
    const gauge: Gauge = new Gauge({
      name: `taskd_${name}`,
      help,
      labelNames: [label],
      registers: [this.#registry],
      collect() {
        gauge.reset();
        for (const [row, value] of read()) gauge.set({ [label]: row }, value);
      },
    });
  }

  #show(all: readonly Metric[]): void {
    const byName = new Map<string, Metric[]>();
    for (const metric of all) {
      const name = `taskd_${metric.name}`;
      const same = byName.get(name);
      if (same === undefined) byName.set(name, [metric]);
      else same.push(metric);
    }
    for (const [name, same] of byName) {
      const first = same[0]!;
      this.#registry.removeSingleMetric(name);
      const common = {
        name,
        help: first.help,
        labelNames: [...new Set(same.flatMap((metric) => Object.keys(metric.labels)))],
        registers: [this.#registry],
      };
      if (first.kind === 'gauge') {
        const gauge: Gauge = new Gauge({
          ...common,
          collect() {
            for (const metric of same) gauge.set(metric.labels, metric.read());
          },
        });
      } else {
        const counter: Counter = new Counter({
          ...common,
          collect() {
            counter.reset();
            for (const metric of same) counter.inc(metric.labels, metric.read());
          },
        });
      }
    }
  }
}

function answer(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store', connection: 'close' });
  response.end(body);
}
