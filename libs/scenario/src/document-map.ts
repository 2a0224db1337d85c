import { isMap, isNode, isPair, isScalar, isSeq, type Document, type LineCounter } from 'yaml';
import type { YamlBlock } from './markdown.ts';

export type Path = readonly (string | number)[];

/** What is wrong with a scenario, where (from 1), and in which field. */
export class ScenarioProblem extends Error {
  override name = 'ScenarioProblem';
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly field: string;

  constructor(file: string, line: number, column: number, field: string, message: string) {
    super(`${file}:${line}:${column}: ${field === '' ? '' : `${field}: `}${message}`);
    this.file = file;
    this.line = line;
    this.column = column;
    this.field = field;
  }
}

/** One document of YAML, and where everything in it stands. */
export class DocumentMap {
  readonly file: string;
  private readonly doc: Document.Parsed;
  private readonly lines: LineCounter;
  private readonly block: YamlBlock;

  constructor(doc: Document.Parsed, lines: LineCounter, file: string, block: YamlBlock) {
    this.doc = doc;
    this.lines = lines;
    this.file = file;
    this.block = block;
  }

  get isEmpty(): boolean {
    return (
      this.doc.errors.length === 0 &&
      (this.doc.contents === null || (isScalar(this.doc.contents) && this.doc.contents.value === null))
    );
  }

  get firstLine(): number {
    return this.lineOf(this.doc.contents?.range?.[0] ?? 0).line;
  }

  syntaxProblems(): ScenarioProblem[] {
    const { errors, contents } = this.doc;
    if (errors.length === 0 && !isMap(contents))
      return [this.at(contents?.range[0] ?? 0, '', 'a scenario is a mapping: name, workload, steps, expect')];
    return errors.map((e) => this.at(e.pos[0], '', `no YAML: ${e.message.split('\n')[0]}`));
  }

  /** The fields of the document without those whose key `isStep` knows, and the keys of those. */
  split(isStep: RegExp): { fields: Record<string, unknown>; steps: string[] } {
    const all = this.doc.toJS() as Record<string, unknown>;
    const steps = Object.keys(all).filter((k) => isStep.test(k));
    return { fields: Object.fromEntries(Object.entries(all).filter(([k]) => !steps.includes(k))), steps };
  }

  has = (path: Path): boolean => this.doc.hasIn(path);

  get(path: Path): unknown {
    const node: unknown = this.doc.getIn(path, true);
    return isNode(node) ? node.toJS(this.doc) : node;
  }

  /** `key`: it is the name of the field that is wrong; `offset`: where inside of its text. */
  problem(path: Path, message: string, { key = false, offset = 0 } = {}): ScenarioProblem {
    const field = path.map((p, i) => (typeof p === 'number' ? `[${p + 1}]` : i === 0 ? p : `.${p}`)).join('');
    return this.at(this.offsetOf(path, key, offset), field, message);
  }

  /** Of what is not there: where its parent begins. */
  private offsetOf(path: Path, key: boolean, offset: number): number {
    for (let n = path.length; n > 0; n--) {
      const parent: unknown = n === 1 ? this.doc.contents : this.doc.getIn(path.slice(0, n - 1), true);
      const last = path[n - 1]!;
      const whole = n === path.length;
      const pair = isMap(parent) ? parent.items.find((p) => isScalar(p.key) && p.key.value === last) : undefined;
      if (isPair(pair)) return start(whole && key ? pair.key : (pair.value ?? pair.key), whole ? offset : 0);
      const item = isSeq(parent) ? parent.items[last as number] : undefined;
      if (item !== undefined) return start(item, whole ? offset : 0);
    }
    return this.doc.contents?.range[0] ?? 0;
  }

  private at(offset: number, field: string, message: string): ScenarioProblem {
    const { line, col } = this.lineOf(offset);
    return new ScenarioProblem(this.file, line, col, field, message);
  }

  private lineOf(offset: number): { line: number; col: number } {
    const { line, col } = this.lines.linePos(offset);
    return { line: line + this.block.line, col };
  }
}

/** Where a node begins; inside of a text, as far as it stands on one line as it is. */
function start(node: unknown, offset: number): number {
  if (!isNode(node) || !node.range) return 0;
  const [from, to] = node.range;
  if (!isScalar(node) || offset === 0) return from;
  const quoted = node.type === 'QUOTE_DOUBLE' || node.type === 'QUOTE_SINGLE';
  return node.type === 'PLAIN' || quoted ? Math.min(from + (quoted ? 1 : 0) + offset, to) : from;
}
