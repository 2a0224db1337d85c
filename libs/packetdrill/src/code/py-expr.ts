import { PyError, type PyToken } from './py-lexer.ts';

export type PyValue = number | string | boolean | null | PyValue[];

/** Where names get their values; undefined: nobody knows the name. */
export type PyScope = (name: string) => PyValue | undefined;

type Calls = Readonly<Record<string, (args: PyValue[]) => PyValue>>;

const CALLS: Calls = {
  abs: ([x]) => Math.abs(num(x)),
  int: ([x]) => Math.trunc(typeof x === 'string' ? Number(x) : num(x)),
  float: ([x]) => (typeof x === 'string' ? Number(x) : num(x)),
  round: ([x]) => Math.round(num(x)),
  min: (a) => Math.min(...flat(a).map(num)),
  max: (a) => Math.max(...flat(a).map(num)),
  len: ([x]) => (typeof x === 'string' || Array.isArray(x) ? x.length : 0),
  str: ([x]) => pyText(x ?? null),
  repr: ([x]) => pyText(x ?? null),
  bool: ([x]) => truthy(x ?? null),
  range: (a) =>
    Array.from(
      { length: num(a[1] ?? a[0]) - (a[1] === undefined ? 0 : num(a[0])) },
      (_, i) => i + (a[1] === undefined ? 0 : num(a[0])),
    ),
};

const flat = (a: PyValue[]): PyValue[] => (a.length === 1 && Array.isArray(a[0]) ? a[0] : a);

export function truthy(v: PyValue): boolean {
  return Array.isArray(v) ? v.length > 0 : Boolean(v);
}

function num(v: PyValue | undefined): number {
  if (typeof v === 'number') return v;
  if (typeof v === 'boolean') return v ? 1 : 0;
  throw new TypeError(`expected a number, found ${pyText(v ?? null)}`);
}

export function pyText(v: PyValue): string {
  if (v === null) return 'None';
  if (v === true) return 'True';
  if (v === false) return 'False';
  return Array.isArray(v) ? `[${v.map(pyText).join(', ')}]` : String(v);
}

const BINARY: readonly (readonly string[])[] = [['|'], ['^'], ['&'], ['<<', '>>'], ['+', '-'], ['*', '/', '//', '%']];
const COMPARE = ['==', '!=', '<', '<=', '>', '>='];

/** Reads and evaluates in one go: a block runs once. */
export class PyExpr {
  private readonly tokens: readonly PyToken[];
  private readonly scope: PyScope;
  private readonly line: number;
  private at: number;

  constructor(tokens: readonly PyToken[], at: number, scope: PyScope, line: number) {
    this.tokens = tokens;
    this.at = at;
    this.scope = scope;
    this.line = line;
  }

  get peek(): PyToken {
    return this.tokens[this.at] ?? { kind: 'end', text: 'the end of the line' };
  }

  take(text: string): boolean {
    const t = this.peek;
    if (t.text !== text || t.kind === 'string' || t.kind === 'end') return false;
    this.at++;
    return true;
  }

  expect(text: string): void {
    if (!this.take(text)) this.fail(`expected '${text}', found ${this.peek.text}`);
  }

  fail(what: string): never {
    throw new PyError(this.line, what);
  }

  end(): void {
    if (this.peek.kind !== 'end') this.fail(`'${this.peek.text}' is not understood here`);
  }

  /** A comma makes a tuple. */
  tuple(): PyValue {
    const first = this.test();
    if (!this.take(',')) return first;
    const all = [first];
    do {
      if (this.peek.kind === 'end' || this.peek.text === ')') break;
      all.push(this.test());
    } while (this.take(','));
    return all;
  }

  /** Both sides of `and`, `or` and `if` are evaluated: there are no side effects. */
  test(): PyValue {
    const value = this.or();
    if (!this.take('if')) return value;
    const cond = this.or();
    this.expect('else');
    const other = this.test();
    return truthy(cond) ? value : other;
  }

  private or(): PyValue {
    let left = this.and();
    while (this.take('or')) {
      const right = this.and();
      left = truthy(left) ? left : right;
    }
    return left;
  }

  private and(): PyValue {
    let left = this.not();
    while (this.take('and')) {
      const right = this.not();
      left = truthy(left) ? right : left;
    }
    return left;
  }

  private not(): PyValue {
    return this.take('not') ? !truthy(this.not()) : this.comparison();
  }

  /** `a < b <= c` holds if every neighbouring pair does. */
  private comparison(): PyValue {
    let left = this.binary(0);
    let result: boolean | undefined;
    for (;;) {
      const op = this.compareOp();
      if (op === undefined) return result ?? left;
      const right = this.binary(0);
      result = (result ?? true) && compare(op, left, right);
      left = right;
    }
  }

  private compareOp(): string | undefined {
    const op = COMPARE.find((o) => this.take(o));
    if (op !== undefined) return op;
    if (this.take('in')) return 'in';
    if (this.take('is')) return this.take('not') ? '!=' : '==';
    if (this.peek.text !== 'not') return undefined;
    this.at++;
    this.expect('in');
    return 'not in';
  }

  private binary(level: number): PyValue {
    const ops = BINARY[level];
    if (ops === undefined) return this.unary();
    let left = this.binary(level + 1);
    for (;;) {
      const op = ops.find((o) => this.take(o));
      if (op === undefined) return left;
      left = this.guard(() => arithmetic(op, left, this.binary(level + 1)));
    }
  }

  private unary(): PyValue {
    if (this.take('-')) return -this.guard(() => num(this.unary()));
    if (this.take('+')) return this.guard(() => num(this.unary()));
    if (this.take('~')) return ~this.guard(() => num(this.unary()));
    const base = this.postfix();
    return this.take('**') ? this.guard(() => num(base) ** num(this.unary())) : base;
  }

  private postfix(): PyValue {
    let value = this.atom();
    while (this.take('[')) {
      const i = this.test();
      this.expect(']');
      if (typeof value !== 'string' && !Array.isArray(value)) this.fail('only lists and strings have elements');
      const n = this.guard(() => num(i));
      value = value.at(n) ?? this.fail(`index ${n} is out of range`);
    }
    return value;
  }

  private atom(): PyValue {
    const t = this.peek;
    this.at++;
    if (t.kind === 'number') return Number(t.text);
    if (t.kind === 'string') return this.strings(t);
    if (t.kind === 'name') return this.name(t.text);
    if (t.text === '(') {
      if (this.take(')')) return [];
      const v = this.tuple();
      this.expect(')');
      return v;
    }
    if (t.text === '[') {
      const all: PyValue[] = [];
      while (!this.take(']')) {
        all.push(this.test());
        if (!this.take(',') && this.peek.text !== ']') this.fail(`expected ',' or ']', found ${this.peek.text}`);
      }
      return all;
    }
    return this.fail(`expected a value, found ${t.text}`);
  }

  private strings(first: PyToken): PyValue {
    let s = this.text(first.text);
    for (; this.peek.kind === 'string'; this.at++) s += this.text(this.peek.text);
    return s;
  }

  private text(literal: string): string {
    const m = /^([a-zA-Z]?)("""|'''|"|')([\s\S]*)\2$/.exec(literal)!;
    const plain = m[3]!.replace(/\\([\s\S])/g, (_, c: string) => (c === 'n' ? '\n' : c === 't' ? '\t' : c));
    return m[1]!.toLowerCase() === 'f' ? plain.replace(/\{(\w+)\}/g, (_, n: string) => pyText(this.lookup(n))) : plain;
  }

  private name(name: string): PyValue {
    if (name === 'True') return true;
    if (name === 'False') return false;
    if (name === 'None') return null;
    if (!this.take('(')) return this.lookup(name);
    const call = CALLS[name];
    if (call === undefined) this.fail(`the function ${name}() is not known in %{ code }%`);
    const args: PyValue[] = [];
    while (!this.take(')')) {
      args.push(this.test());
      if (!this.take(',') && this.peek.text !== ')') this.fail(`expected ',' or ')', found ${this.peek.text}`);
    }
    return this.guard(() => call(args));
  }

  private lookup(name: string): PyValue {
    const v = this.scope(name);
    if (v === undefined) this.fail(`the name '${name}' is not known in %{ code }%`);
    return v;
  }

  private guard<T>(fn: () => T): T {
    try {
      return fn();
    } catch (e) {
      if (e instanceof TypeError) this.fail(e.message);
      throw e;
    }
  }
}

function arithmetic(op: string, a: PyValue, b: PyValue): PyValue {
  if (op === '%' && typeof a === 'string') return format(a, Array.isArray(b) ? b : [b]);
  if (op === '+' && typeof a === 'string' && typeof b === 'string') return a + b;
  const x = num(a);
  const y = num(b);
  if (y === 0 && (op === '/' || op === '//' || op === '%')) throw new TypeError('division by zero');
  switch (op) {
    case '|':
      return Number(BigInt(x) | BigInt(y));
    case '^':
      return Number(BigInt(x) ^ BigInt(y));
    case '&':
      return Number(BigInt(x) & BigInt(y));
    case '<<':
      return x * 2 ** y;
    case '>>':
      return Math.floor(x / 2 ** y);
    case '+':
      return x + y;
    case '-':
      return x - y;
    case '*':
      return x * y;
    case '/':
      return x / y;
    case '//':
      return Math.floor(x / y);
    default:
      return x - Math.floor(x / y) * y;
  }
}

/** `'cwnd %d' % tcpi_snd_cwnd` */
function format(text: string, args: readonly PyValue[]): string {
  let i = 0;
  return text.replace(/%[-+ 0#]*\d*(?:\.(\d+))?([diusrxXf%])/g, (_, digits: string | undefined, kind: string) => {
    if (kind === '%') return '%';
    const v = args[i++] ?? null;
    if (kind === 'x' || kind === 'X') return num(v).toString(16);
    if (kind === 'f') return num(v).toFixed(digits === undefined ? 6 : Number(digits));
    return kind === 's' || kind === 'r' ? pyText(v) : String(Math.trunc(num(v)));
  });
}

function compare(op: string, a: PyValue, b: PyValue): boolean {
  switch (op) {
    case '==':
      return equal(a, b);
    case '!=':
      return !equal(a, b);
    case 'in':
    case 'not in': {
      const found = typeof b === 'string' ? b.includes(String(a)) : Array.isArray(b) && b.some((x) => equal(a, x));
      return found === (op === 'in');
    }
    case '<':
      return a! < b!;
    case '<=':
      return a! <= b!;
    case '>':
      return a! > b!;
    default:
      return a! >= b!;
  }
}

function equal(a: PyValue, b: PyValue): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((x, i) => equal(x, b[i]!));
  if (typeof a === 'boolean' || typeof b === 'boolean') return Number(a) === Number(b);
  return a === b;
}
