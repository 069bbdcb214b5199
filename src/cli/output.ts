/** What taskctl prints: a table or lines for people, one JSON document for programs. */

export interface Sink {
  out(text: string): void;
  err(text: string): void;
}

/** One column of a table: its title and the text of a row. */
export type Column<T> = readonly [title: string, cell: (item: T) => string | number];

export class Output {
  readonly #sink: Sink;
  readonly isJson: boolean;

  constructor(sink: Sink, isJson: boolean) {
    this.#sink = sink;
    this.isJson = isJson;
  }

  /** A list. `empty` is what a person reads when there is nothing; `json` is what a program gets of each item. */
  list<T>(items: readonly T[], columns: readonly Column<T>[], json: (item: T) => unknown, empty: string): void {
    if (this.isJson) this.#document(items.map(json));
    else if (items.length === 0) this.#sink.err(`${empty}\n`);
    else this.#sink.out(renderTable(items, columns));
  }

  /** One line of a stream, as it is. */
  line(text: string): void {
    this.#sink.out(`${text}\n`);
  }

  /** One thing with all that is known of it. A person doesn't see what is empty. */
  one(fields: Readonly<Record<string, unknown>>): void {
    if (this.isJson) {
      this.#document(fields);
      return;
    }
    const shown = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && value !== '');
    const width = Math.max(...shown.map(([name]) => name.length));
    for (const [name, value] of shown) {
      const text = typeof value === 'string' ? value : JSON.stringify(value);
      this.#sink.out(`${name.padEnd(width)}  ${printable(text, '\n'.padEnd(width + 3))}\n`);
    }
  }

  /** Something was done: a sentence for a person, `fields` for a program. */
  done(sentence: string, fields: Readonly<Record<string, unknown>>): void {
    if (this.isJson) this.#document(fields);
    else this.#sink.out(`${printable(sentence, ' ')}\n`);
  }

  /** Something to know while the command goes on; not part of what it answers. */
  note(message: string): void {
    if (this.isJson) this.#sink.err(`${JSON.stringify({ warning: message })}\n`);
    else this.#sink.err(`taskctl: ${printable(message, ' ')}\n`);
  }

  /** One line of a stream that holds what others have written. */
  text(text: string): void {
    this.#sink.out(`${printable(text, ' ')}\n`);
  }

  /** Control sequences and all, for a terminal. */
  frame(text: string): void {
    this.#sink.out(text);
  }

  failed(code: string, message: string): void {
    if (this.isJson) this.#sink.err(`${JSON.stringify({ error: { code, message } })}\n`);
    else this.#sink.err(`taskctl: ${printable(message, ' ')}\n`);
  }

  #document(value: unknown): void {
    this.#sink.out(`${JSON.stringify(value, null, 2)}\n`);
  }
}

/** Columns side by side, as wide as their widest cell; numbers to the right. */
export function renderTable<T>(items: readonly T[], columns: readonly Column<T>[]): string {
  const rows = items.map((item) => columns.map(([, cell]) => cell(item)));
  const lines = [
    columns.map(([title]) => title),
    ...rows.map((row) => row.map((cell) => printable(String(cell), ' '))),
  ];
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => line[at]!.length)));
  const isNumber = columns.map((_, at) => rows.every((row) => typeof row[at] === 'number'));
  const padded = (text: string, at: number): string =>
    isNumber[at] ? text.padStart(widths[at]!) : text.padEnd(widths[at]!);
  return `${lines.map((line) => line.map(padded).join('  ').trimEnd()).join('\n')}\n`;
}

/** `text` without what would move a terminal's cursor or colours; its line breaks become `lineBreak`. */
function printable(text: string, lineBreak: string): string {
  return text
    .replace(/\r?\n/g, lineBreak)
    .replace(/[\p{Cc}\u2028\u2029]/gu, (character) => (character === '\n' ? '\n' : '�'));
}
