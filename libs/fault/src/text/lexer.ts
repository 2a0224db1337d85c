/** What is wrong with a rule's text: where (from 0), how much of it, and what would be possible. */
export interface RuleError {
  column: number;
  length: number;
  message: string;
}

/** Thrown inside the parser only; parseRule() turns it into a RuleError. */
export class RuleFailure extends Error {
  readonly column: number;
  readonly length: number;

  constructor(at: { column: number; length: number }, message: string) {
    super(message);
    this.name = 'RuleFailure';
    this.column = at.column;
    this.length = at.length;
  }
}

export interface Word {
  text: string;
  column: number;
  /** As it stands in the text, quotes included. */
  length: number;
  quoted: boolean;
}

/**
 * Words between blanks; `'…'` and `"…"` hold blanks. Inside quotes a backslash before that quote stands for the quote, and
 * every other backslash for itself, as filters have backslashes of their own.
 */
export function words(text: string): Word[] {
  const out: Word[] = [];
  let at = 0;
  while (at < text.length) {
    if (/\s/.test(text[at]!)) {
      at++;
      continue;
    }
    const word = text[at] === "'" || text[at] === '"' ? quotedWord(text, at) : plainWord(text, at);
    out.push(word);
    at += word.length;
  }
  return out;
}

function plainWord(text: string, column: number): Word {
  let end = column;
  while (end < text.length && !/\s/.test(text[end]!)) end++;
  return { text: text.slice(column, end), column, length: end - column, quoted: false };
}

function quotedWord(text: string, column: number): Word {
  const quote = text[column]!;
  let value = '';
  for (let i = column + 1; i < text.length; i++) {
    if (text[i] === '\\' && text[i + 1] === quote) value += text[++i];
    else if (text[i] === quote) return { text: value, column, length: i + 1 - column, quoted: true };
    else value += text[i];
  }
  throw new RuleFailure({ column, length: text.length - column }, `the ${quote} has no end`);
}

/** In the quotes that need least escaping. */
export function quote(text: string): string {
  const q = text.includes("'") && !text.includes('"') ? '"' : "'";
  return q + text.replaceAll(q, `\\${q}`) + q;
}

/** The text, and under it a caret at the fault. */
export function formatRuleError(text: string, e: RuleError): string {
  const indent = text.slice(0, e.column).replaceAll(/[^\t]/g, ' ').padEnd(e.column);
  return `${e.message}\n    ${text}\n    ${indent}^${'~'.repeat(Math.max(0, e.length - 1))}`;
}
