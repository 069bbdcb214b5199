/** What the demo shows: steps, a progress bar where there is a terminal (plain lines otherwise), and a table. */

const barWidth = 24;
const plainLineMs = 2_000;

export class Screen {
  readonly #isTerminal: boolean = process.stdout.isTTY === true;
  readonly #startMs: number = performance.now();
  #barShown = false;
  #plainAtMs = 0;

  /** A step of the demo, with the seconds since its start. */
  step(text: string): void {
    this.#clearBar();
    process.stdout.write(`${this.#seconds()}  ${text}\n`);
  }

  bar(done: number, total: number, note: string): void {
    const share = total === 0 ? 1 : done / total;
    const text = `${String(Math.floor(share * 100)).padStart(3)} %  ${done}/${total}  ${note}`;
    if (this.#isTerminal) {
      const full = Math.round(share * barWidth);
      const line = `${this.#seconds()}  ${'█'.repeat(full)}${'░'.repeat(barWidth - full)} ${text}`;
      process.stdout.write(`\r\u001b[2K${line.slice(0, (process.stdout.columns ?? 80) - 1)}`);
      this.#barShown = true;
    } else if (performance.now() - this.#plainAtMs >= plainLineMs) {
      this.#plainAtMs = performance.now();
      process.stdout.write(`${this.#seconds()}  ${text}\n`);
    }
  }

  table(title: string, rows: readonly (readonly string[])[]): void {
    this.#clearBar();
    const widths = rows[0]!.map((_, at) => Math.max(...rows.map((row) => row[at]!.length)));
    const lines = rows.map((row) => `  ${row.map((cell, at) => cell.padEnd(widths[at]!)).join('  ')}`.trimEnd());
    process.stdout.write(`\n${title}\n${lines.join('\n')}\n`);
  }

  #seconds(): string {
    return `${((performance.now() - this.#startMs) / 1_000).toFixed(1).padStart(5)} s`;
  }

  #clearBar(): void {
    if (this.#barShown) process.stdout.write('\r\u001b[2K');
    this.#barShown = false;
  }
}

/** The value below which `share` of the numbers lie. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0;
}
