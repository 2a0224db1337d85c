/** A statement of Python: one logical line, with its indentation. */
export interface PyLine {
  indent: number;
  /** Lines below the first one. */
  line: number;
  tokens: PyToken[];
}

export interface PyToken {
  kind: 'number' | 'string' | 'name' | 'op' | 'end';
  text: string;
}

/** Python that is not understood; `line` counts from the block's first. */
export class PyError extends Error {
  override name = 'PyError';
  readonly line: number;

  constructor(line: number, what: string) {
    super(what);
    this.line = line;
  }
}

const TOKEN =
  /[ \t]+|\\\r?\n|(#[^\n]*)|(\r?\n)|(0[xX][0-9a-fA-F]+|\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+|\d+(?:[eE][+-]?\d+)?)|([rRbBfFuU]?(?:"""[\s\S]*?"""|'''[\s\S]*?'''|"(?:\\[\s\S]|[^"\\\n])*"|'(?:\\[\s\S]|[^'\\\n])*'))|([A-Za-z_]\w*)|(\*\*=?|\/\/=?|<<=?|>>=?|[-+*/%&|^=!<>]=|[-+*/%&|^~<>=()[\]{},:;.])/y;

export function pyLines(text: string): PyLine[] {
  const lines: PyLine[] = [];
  let tokens: PyToken[] = [];
  let line = 0;
  let first = 0;
  let indent = 0;
  let depth = 0;
  /** A statement behind a `;` is as far in as the one before it. */
  let behind = false;
  const flush = (): void => {
    if (tokens.length > 0) lines.push({ indent, line: first, tokens });
    tokens = [];
  };
  const push = (kind: PyToken['kind'], t: string, at: number): void => {
    if (tokens.length === 0) {
      first = line;
      const start = text.lastIndexOf('\n', at - 1) + 1;
      const before = text.slice(start, at);
      // What stands behind %{ is at the beginning, however far it was moved there.
      if (!behind) indent = start === 0 || before.trim() !== '' ? 0 : before.length;
      behind = false;
    }
    tokens.push({ kind, text: t });
  };
  for (TOKEN.lastIndex = 0; TOKEN.lastIndex < text.length;) {
    const at = TOKEN.lastIndex;
    const m = TOKEN.exec(text);
    if (m === null) throw new PyError(line, `'${text[at]}' is not understood in %{ code }%`);
    const [all, , newline, num, str, name, op] = m;
    if (newline !== undefined) {
      if (depth === 0) {
        flush();
        behind = false;
      }
    } else if (num !== undefined) push('number', num, at);
    else if (str !== undefined) push('string', str, at);
    else if (name !== undefined) push('name', name, at);
    else if (op === ';' && depth === 0) {
      flush();
      behind = true;
    } else if (op !== undefined) {
      if ('([{'.includes(op)) depth++;
      if (')]}'.includes(op)) depth--;
      push('op', op, at);
    }
    line += all.split('\n').length - 1;
  }
  flush();
  return lines;
}
