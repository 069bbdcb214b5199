/**
 * Metrics as plain number fields: a hot path does `counters.framesIn++` and nothing else. A `MetricSet` names such
 * fields for the scrape, which reads them when asked; nothing is computed in between.
 */
export type MetricKind = 'counter' | 'gauge';

export interface Metric {
  /** Prometheus name without the `taskd_` prefix, such as `rpc_frames_in_total`. */
  readonly name: string;
  readonly help: string;
  readonly kind: MetricKind;
  readonly labels: Readonly<Record<string, string>>;
  /** Reads the value of this moment. */
  readonly read: () => number;
}

/** A gauge whose rows come and go, such as one a group: whoever owns it bounds how many there are. */
export interface GaugeFamily {
  readonly name: string;
  readonly help: string;
  /** The one label that tells the rows apart. */
  readonly label: string;
  /** Reads all rows of this moment: the label's value and the number. */
  readonly read: () => Iterable<readonly [string, number]>;
}

/** The metrics of one process, registered once by whoever owns the numbers. */
export class MetricSet {
  readonly #metrics: Metric[] = [];
  readonly #families: GaugeFamily[] = [];

  counter(name: string, help: string, read: () => number, labels: Record<string, string> = {}): void {
    this.#metrics.push({ name, help, kind: 'counter', labels, read });
  }

  gauge(name: string, help: string, read: () => number, labels: Record<string, string> = {}): void {
    this.#metrics.push({ name, help, kind: 'gauge', labels, read });
  }

  gauges(family: GaugeFamily): void {
    this.#families.push(family);
  }

  all(): readonly Metric[] {
    return this.#metrics;
  }

  families(): readonly GaugeFamily[] {
    return this.#families;
  }
}
