// Tables for eyes: columns aligned by display width, numbers to the right, no lines drawn.
//
// Invariants: one row is one line: control characters in values (a netdev name may hold them) are shown as
// escapes and never reach the terminal. A value that is not there is `-`. The last column is not padded.
// Reference: Unicode UAX #11 (wide characters), reduced to the blocks in use.

export type Cell = string | number | boolean | undefined;

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => Cell;
}

const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const zero = /\p{Mn}|\p{Me}|[\u200b-\u200f]/u;

/** Columns that a text takes on a terminal. */
export function displayWidth(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: plain ASCII is its own width
  if (/^[\u0000-\u007e]*$/.test(text)) return text.length;
  let width = 0;
  for (const char of text) width += zero.test(char) ? 0 : wide.test(char) ? 2 : 1;
  return width;
}

/** The text with control characters, and what turns the direction of writing, as escapes. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not reach the terminal
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, (char) => {
    const code = char.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}

export function formatCell(value: Cell): string {
  if (value === undefined || value === '') return '-';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return typeof value === 'number' ? String(value) : printable(value);
}

/** A table that may be printed in parts: widths grow with what has been seen, titles are printed once. */
export class TablePrinter<Row> {
  readonly #columns: readonly Column<Row>[];
  readonly #widths: number[];
  /** A column is right-aligned when it has held numbers, and nothing else but gaps. */
  readonly #kinds: ('empty' | 'numbers' | 'text')[];
  #titled = false;

  constructor(columns: readonly Column<Row>[]) {
    this.#columns = columns;
    this.#widths = columns.map(({ title }) => displayWidth(title));
    this.#kinds = columns.map(() => 'empty');
  }

  /** The lines of these rows, each with its line feed; with the titles in front the first time. */
  format(rows: readonly Row[]): string {
    const lines = rows.map((row) =>
      this.#columns.map(({ value }, i) => {
        const cell = value(row);
        const text = formatCell(cell);
        if (typeof cell !== 'number' && cell !== undefined && cell !== '') this.#kinds[i] = 'text';
        else if (typeof cell === 'number' && this.#kinds[i] === 'empty') this.#kinds[i] = 'numbers';
        this.#widths[i] = Math.max(this.#widths[i] ?? 0, displayWidth(text));
        return text;
      }),
    );
    if (!this.#titled) lines.unshift(this.#columns.map(({ title }) => title));
    this.#titled = true;
    return lines.map((cells) => this.#line(cells)).join('');
  }

  #line(cells: readonly string[]): string {
    const parts = cells.map((text, i) => {
      const space = ' '.repeat(Math.max(0, (this.#widths[i] ?? 0) - displayWidth(text)));
      if (this.#kinds[i] === 'numbers') return space + text;
      return i === cells.length - 1 ? text : text + space;
    });
    return `${parts.join('  ').trimEnd()}\n`;
  }
}

/** A whole table at once. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  return new TablePrinter(columns).format(rows);
}
