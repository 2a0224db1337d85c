import { PyExpr, pyText, truthy, type PyScope, type PyValue } from './py-expr.ts';
import { PyError, pyLines, type PyLine } from './py-lexer.ts';

/** An `assert` that did not hold. */
export class AssertionFailed extends PyError {
  override name = 'AssertionFailed';
}

export interface PyEnv {
  /** Names that the block does not define itself. */
  outer: PyScope;
  /** Its own variables; they live on in later blocks. */
  variables: Map<string, PyValue>;
  print: (line: string) => void;
}

const ASSIGN = /^(?:[-+*/%&|^]|\/\/|<<|>>)?=$/;

/** Runs the Python that stands in a script's %{ … }%: the subset that scripts use. */
export function runPython(text: string, env: PyEnv): void {
  block(pyLines(text), 0, Number.POSITIVE_INFINITY, env, true);
}

/** Runs (or only skips) the lines from `at` that are indented like the first. Returns where it stopped. */
function block(lines: readonly PyLine[], from: number, max: number, env: PyEnv, run: boolean): number {
  const { indent } = lines[from] ?? { indent: 0 };
  let at = from;
  while (at < lines.length && lines[at]!.indent >= indent && at < max) {
    const head = lines[at]!.tokens[0]!.text;
    if (lines[at]!.indent > indent) throw new PyError(lines[at]!.line, 'unexpected indentation');
    if (head === 'if') at = branches(lines, at, env, run);
    else {
      if (run) statement(lines[at]!, env);
      at++;
    }
  }
  return at;
}

/** if, elif, else. */
function branches(lines: readonly PyLine[], from: number, env: PyEnv, run: boolean): number {
  let at = from;
  let done = false;
  const { indent } = lines[from]!;
  for (let word = 'if'; ;) {
    const line = lines[at]!;
    const e = new PyExpr(line.tokens, 1, scopeOf(env), line.line);
    const holds = word === 'else' || truthy(e.test());
    e.expect(':');
    const take = run && holds && !done;
    done ||= holds;
    if (e.peek.kind === 'end') at = block(lines, at + 1, Number.POSITIVE_INFINITY, env, take);
    else {
      const rest = line.tokens.slice(line.tokens.findLastIndex((t) => t.text === ':' && t.kind === 'op') + 1);
      if (take) statement({ ...line, tokens: rest }, env);
      at++;
    }
    const next = lines[at];
    word = next?.indent === indent ? next.tokens[0]!.text : '';
    if (word !== 'elif' && word !== 'else') return at;
  }
}

const scopeOf =
  (env: PyEnv): PyScope =>
  (name) =>
    env.variables.get(name) ?? env.outer(name);

function statement(line: PyLine, env: PyEnv): void {
  const { tokens } = line;
  const word = tokens[0]!.text;
  const e = new PyExpr(tokens, 1, scopeOf(env), line.line);
  switch (word) {
    case 'assert':
      assertion(line, e);
      return;
    case 'print': {
      const v = e.peek.kind === 'end' ? '' : e.tuple();
      env.print((Array.isArray(v) ? v : [v]).map(pyText).join(' '));
      return;
    }
    case 'pass':
    case 'import':
    case 'from':
      return;
    default:
      break;
  }
  const op = tokens[1];
  if (tokens[0]!.kind !== 'name' || op?.kind !== 'op' || !ASSIGN.test(op.text)) {
    const value = new PyExpr(tokens, 0, scopeOf(env), line.line);
    value.tuple();
    value.end();
    return;
  }
  const plain = op.text === '=';
  const operation = plain
    ? tokens.slice(2)
    : [
        tokens[0]!,
        { kind: 'op' as const, text: op.text.slice(0, -1) },
        { kind: 'op' as const, text: '(' },
        ...tokens.slice(2),
        { kind: 'op' as const, text: ')' },
      ];
  const value = new PyExpr(operation, 0, scopeOf(env), line.line);
  env.variables.set(word, value.tuple());
  value.end();
}

function assertion(line: PyLine, e: PyExpr): void {
  const value = e.test();
  const message = e.take(',') ? e.test() : undefined;
  e.end();
  if (truthy(value)) return;
  const text = line.tokens
    .slice(1)
    .map((t) => t.text)
    .join(' ');
  throw new AssertionFailed(line.line, `assert ${text}${message === undefined ? '' : `: ${pyText(message)}`}`);
}
