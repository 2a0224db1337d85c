import type { Expr } from '../lang/ast.ts';
import type { SysResult, SysTicket, Target } from '../target.ts';
import type { RunConfig } from './config.ts';
import type { Conns } from './conn.ts';
import type { Fds } from './fds.ts';
import { number } from './values.ts';

/** A call that was made: its ticket, and what else has to hold or to be done once it has come back. */
export interface Call {
  ticket: SysTicket;
  /** What differs, beyond the return value; undefined: nothing. */
  check?: (r: SysResult) => string | undefined;
  /** The call returns a descriptor of this kind. */
  gives?: 'socket' | 'epoll' | 'file';
}

/** What calls work with. */
export interface CallContext {
  target: Target;
  conns: Conns;
  fds: Fds;
  config: RunConfig;
}

/** Argument `i`; the sentence if it is missing has no place of its own, the call has. */
export function arg(args: readonly Expr[], i: number): Expr {
  const a = args[i];
  if (a === undefined) throw new Error(`expected at least ${i + 1} arguments`);
  return a;
}

export const fdArg = (cx: CallContext, args: readonly Expr[], i = 0): number => cx.fds.live(number(arg(args, i)));
export const intArg = (args: readonly Expr[], i: number, fallback?: number): number =>
  args[i] === undefined && fallback !== undefined ? fallback : number(arg(args, i));

export const settled = (r: SysResult, at: number): SysTicket => ({
  result: r,
  doneUs: at,
  settled: Promise.resolve(r),
});
