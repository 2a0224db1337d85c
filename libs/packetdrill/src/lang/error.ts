import type { Place } from './ast.ts';

/** Something in a script that is wrong, or did not come out as the script says. */
export class ScriptError extends Error {
  override name = 'ScriptError';
  readonly file: string;
  readonly line: number;
  readonly column: number;

  constructor(file: string, at: Place, what: string) {
    super(`${file}:${at.line}:${at.column}: ${what}`);
    this.file = file;
    this.line = at.line;
    this.column = at.column;
  }
}
