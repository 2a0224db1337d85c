import { compile } from './compile.ts';
import { FilterFailure } from './failure.ts';
import { PacketView } from './packet-view.ts';
import { parse } from './parser.ts';
import type { FilterSubject } from './subject.ts';

export type { FilterSubject, HeaderStart } from './subject.ts';

/** A compiled display filter; pure, may be asked any number of times. */
export interface Filter {
  readonly text: string;
  matches(subject: FilterSubject): boolean;
}

/** Where in the text it went wrong (from 0), how much of it, and one sentence. */
export interface FilterError {
  column: number;
  length: number;
  message: string;
}

export type CompiledFilter = { filter: Filter; error?: undefined } | { filter?: undefined; error: FilterError };

/**
 * Compiles a display filter: the language of Wireshark 4 over the fields of FILTER_FIELDS. An empty text matches everything.
 */
export function compileFilter(text: string): CompiledFilter {
  try {
    const expr = parse(text);
    if (expr === undefined) return { filter: { text, matches: () => true } };
    const test = compile(expr);
    const view = new PacketView();
    return {
      filter: {
        text,
        matches(subject) {
          view.look(subject);
          return test(view);
        },
      },
    };
  } catch (e) {
    if (e instanceof FilterFailure) return { error: { column: e.column, length: e.length, message: e.message } };
    throw e;
  }
}

/** The text, and under it a caret at the fault, as tshark and compilers print it. */
export function formatFilterError(text: string, error: FilterError): string {
  const tail = '~'.repeat(Math.max(0, error.length - 1));
  // A tab in the text stays one below it, so that the caret stands right however wide tabs are.
  const indent = text.slice(0, error.column).replaceAll(/[^\t]/g, ' ');
  return `${error.message}\n    ${text}\n    ${indent.padEnd(error.column)}^${tail}`;
}
