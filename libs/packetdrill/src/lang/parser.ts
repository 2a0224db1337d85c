import type { Event, Place, Script, ScriptOption, SyscallSpec, Us, When } from './ast.ts';
import { parseList, parseUnary } from './parse-expr.ts';
import { parsePacket } from './parse-packet.ts';
import { Tokens } from './tokens.ts';

/** Words that the runner of Linux's own scripts defines on the command line (ksft_runner.sh, for IPv4). */
const USUAL: readonly (readonly [string, string])[] = [
  ['CMSG_LEVEL_IP', 'SOL_IP'],
  ['CMSG_TYPE_RECVERR', 'IP_RECVERR'],
  ['TFO_COOKIE', '3021b9d889017eeb'],
  ['TFO_COOKIE_ZERO', 'b7c12350a90dc8f5'],
];

/**
 * Reads a script. `defines` replaces words, as the script's own `--define=NAME=value` does. Throws a ScriptError with the
 * place of what it does not understand.
 */
export function parseScript(text: string, file: string, defines: ReadonlyMap<string, string> = new Map()): Script {
  const t = new Tokens(text, file, defines, USUAL);
  const options: ScriptOption[] = [];
  while (t.peek().kind === 'option') options.push(parseOption(t));
  const init = parseBareCommand(t);
  const events: Event[] = [];
  let cleanup: Script['cleanup'];
  while (t.peek().kind !== 'end' && cleanup === undefined) {
    cleanup = parseBareCommand(t);
    if (cleanup === undefined) events.push(parseEvent(t));
  }
  if (t.peek().kind !== 'end') t.fail('expected the end of the script after its last command');
  if (events.length === 0 && init === undefined) t.fail('expected an event');
  return { file, options, init, events, cleanup };
}

function parseOption(t: Tokens): ScriptOption {
  const { text, line, column } = t.next();
  const eq = text.indexOf('=');
  const name = text.slice(2, eq < 0 ? undefined : eq);
  const value = eq < 0 ? undefined : text.slice(eq + 1);
  if (name === 'define' || name === 'D') {
    const m = /^([A-Za-z0-9_]+)=([\s\S]*)$/.exec(value ?? '');
    if (m === null) t.failAt({ line, column }, `--${name} needs NAME=value`);
    t.define(m[1]!, m[2]!);
  }
  return { name, value: /^".*"$/s.test(value ?? '') ? value!.slice(1, -1) : value, line, column };
}

function parseBareCommand(t: Tokens): Script['init'] {
  const c = t.takeKind('command');
  return c === undefined ? undefined : { kind: 'command', text: c.text, line: c.line, column: c.column };
}

function parseEvent(t: Tokens): Event {
  const { line, column } = t.peek();
  const when = parseWhen(t);
  let endUs: Us | undefined;
  if (t.takeKind('ellipsis') !== undefined) {
    t.take('+');
    endUs = parseTime(t);
    if (when.kind === 'any') t.failAt({ line, column }, 'a call needs a time');
    else if (endUs < when.us) t.failAt({ line, column }, 'the call ends before it begins');
  }
  const action = parseAction(t, endUs !== undefined);
  const outbound = action.kind === 'packet' && action.direction === 'out';
  if (!outbound && (when.kind === 'any' || when.endUs !== undefined))
    t.failAt({ line, column }, 'only a packet that is expected may come at any time or in a range of time');
  return { when, endUs, action, line, column };
}

function parseAction(t: Tokens, isCall: boolean): Event['action'] {
  const token = t.peek();
  if (!isCall) {
    if (t.is('<') || t.is('>')) return parsePacket(t);
    if (token.kind === 'command') return { kind: 'command', text: t.next().text };
    if (token.kind === 'code') return { kind: 'code', text: t.next().text };
  }
  if (token.kind === 'word') return parseSyscall(t);
  return t.fail(isCall ? 'expected a system call' : 'expected a packet, a system call, a `command` or %{ code }%');
}

function parseWhen(t: Tokens): When {
  if (t.take('*')) return { kind: 'any' };
  const at: Place = t.peek();
  const kind = t.take('+') ? 'relative' : 'absolute';
  const us = parseTime(t);
  if (!t.take('~')) return { kind, us };
  t.take('+');
  const endUs = parseTime(t);
  if (endUs < us) t.failAt(at, 'the range of time is backwards');
  return { kind, us, endUs };
}

/** Seconds, as microseconds. */
function parseTime(t: Tokens): Us {
  const n = t.takeKind('float') ?? t.takeKind('int');
  if (n === undefined) t.fail('expected a time in seconds');
  return Math.round(Number(n.text) * 1e6);
}

function parseSyscall(t: Tokens): SyscallSpec {
  const name = t.next().text;
  t.expect('(');
  const args = parseList(t, ')');
  t.expect('=', "'=' and what the call gives");
  const result = parseUnary(t);
  const errno = t.takeKind('word')?.text;
  return { kind: 'syscall', name, args, result, errno, note: parseNote(t) };
}

/** `(Operation now in progress)`, as strace writes it; nobody reads it. */
function parseNote(t: Tokens): string | undefined {
  if (!t.take('(')) return undefined;
  const words: string[] = [];
  for (let depth = 1; ;) {
    const { text, kind } = t.next();
    if (kind === 'end') t.fail("expected ')'");
    if (kind === 'punct' && text === '(') depth++;
    if (kind === 'punct' && text === ')' && --depth === 0) return words.join(' ');
    words.push(text);
  }
}
