import type { FilterField } from './field.ts';
import type { Token } from './lexer.ts';

/** What the parser makes of a text; types are checked when it is compiled. */
export type Expr =
  | { op: 'and' | 'or'; left: Expr; right: Expr }
  | { op: 'not'; arg: Expr }
  /** A field alone: it is there. With `&`: the result is not zero. */
  | { op: 'test'; arg: Operand }
  | { op: 'compare'; relation: Relation; quantifier: Quantifier; at: Token; left: Operand; right: Operand }
  | { op: 'contains' | 'matches'; at: Token; left: Operand; right: Operand }
  | { op: 'in'; left: Operand; set: readonly SetItem[] };

export type Relation = '==' | '!=' | '<' | '<=' | '>' | '>=';

/** Of a field that a packet has more than once: whether one of them is enough. */
export type Quantifier = 'any' | 'all';

export type Operand =
  | { kind: 'field'; field: FilterField; token: Token }
  | { kind: 'slice'; of: FilterField; token: Token; ranges: readonly SliceRange[] }
  | { kind: 'mask'; token: Token; left: Operand; right: Operand }
  /** What it means depends on what it is compared with. */
  | { kind: 'literal'; token: Token };

/** A negative `from` counts from the end; no `length`: to the end. */
export interface SliceRange {
  from: number;
  length?: number;
}

export type SetItem = { from: Operand; to?: Operand };
