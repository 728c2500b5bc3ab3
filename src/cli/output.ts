// Output: how rows reach standard output, as a table, as one JSON document, or as JSON lines.
//
// Invariants: a listing of any length needs bounded memory: beyond HELD_ROWS rows it is no longer sorted but
// printed as it comes. A JSON document is closed only when all of it has come, so that no reader takes a part for
// the whole.

import { type Order, sorted } from './order.ts';
import { type Column, TablePrinter } from './table.ts';

const HELD_ROWS = 20_000;
const PART_ROWS = 1000;

export function print(text: string): void {
  process.stdout.write(text);
}

export function printJson(value: unknown): void {
  print(`${JSON.stringify(value, undefined, 2)}\n`);
}

export function printJsonLine(value: unknown): void {
  print(`${JSON.stringify(value)}\n`);
}

/** Takes rows one by one; `end` prints what is left. */
export interface RowSink<Row> {
  add(row: Row): void;
  end(): void;
}

/** A JSON array, one row a line. */
export function jsonSink<Row>(): RowSink<Row> {
  let rows = 0;
  return {
    add(row) {
      print(`${rows === 0 ? '[' : ','}\n  ${JSON.stringify(row)}`);
      rows++;
    },
    end() {
      print(rows === 0 ? '[]\n' : '\n]\n');
    },
  };
}

/** A table, sorted while it is of a size that a person reads. */
export function tableSink<Row>(columns: readonly Column<Row>[], orders: readonly Order<Row>[]): RowSink<Row> {
  const printer = new TablePrinter(columns);
  let held: Row[] = [];
  let limit = HELD_ROWS;
  return {
    add(row) {
      held.push(row);
      if (held.length < limit) return;
      if (limit === HELD_ROWS) process.stderr.write(`more than ${HELD_ROWS} rows: shown in the order of lcpd\n`);
      limit = PART_ROWS;
      print(printer.format(held));
      held = [];
    },
    end() {
      print(printer.format(limit === HELD_ROWS ? sorted(held, orders) : held));
      held = [];
    },
  };
}
