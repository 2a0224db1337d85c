import { parseMillis } from '@skbus/fault';
import { ERRNO, MIB_GROUPS, parseIpv4 } from '@skbus/skb';
import { OPS, type Expectation, type Metric, type Op, type Side } from '../plan.ts';
import { TextFailure } from './failure.ts';
import { LAYERS } from './step.ts';
import { Words, wrong, type Word } from './words.ts';

const STATES = 'ESTAB SYN_SENT SYN_RECV FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK LISTEN CLOSING'.split(
  ' ',
);
const NUD = 'NONE INCOMPLETE REACHABLE STALE DELAY PROBE FAILED NOARP PERMANENT'.split(' ');
const NAMES =
  'stream intact, no RST, retransmits, recover, duration, replies, rtt, error NAME, drop REASON, hits [RULE], restarts LAYER, ' +
  'connections STATE, neighbour ADDRESS STATE, or a counter such as TcpExtTCPLossProbes';

/** At its commas. */
export function splitExpectations(text: string): Word[] {
  return [...text.matchAll(/[^,]+/g)]
    .map((m) => ({ text: m[0].trim(), column: m.index + (m[0].length - m[0].trimStart().length) }))
    .filter((w) => w.text !== '');
}

/**
 * `no RST`, `<= 1 retransmit`, `stream intact`, `recover < 1s`, `TcpExtTCPLossProbes >= 1`, `peer TcpRetransSegs == 0`, `drop TCP_CSUM`,
 * `error ETIMEDOUT`, `neighbour 10.77.0.1 FAILED`, `connections TIME_WAIT == 0`. Without a comparison: at least one.
 */
export function parseExpectation(text: string): Expectation {
  const words = new Words(text);
  const none = words.eat('no');
  const before = none ? undefined : comparison(words);
  const host: Side = words.maybe(['peer', 'stack']) ?? 'stack';
  const name = words.next(`what is expected: ${NAMES}`);
  const metric = metricOf(words, name, host);
  const after = none || before !== undefined ? undefined : comparison(words);
  words.end();
  const is = before ?? after;
  if (metric.kind === 'stream' || metric.kind === 'neighbour') {
    if (none || is !== undefined) wrong(name, 'is so or not: it cannot be compared');
    return { text, metric, op: '==', value: 1 };
  }
  const isTime = ['recover', 'duration', 'rtt'].includes(metric.kind);
  if (none && isTime) wrong(name, 'is a time: compare it, as in "recover < 1s"');
  if (is === undefined) {
    if (isTime || ['retransmits', 'replies'].includes(metric.kind))
      if (!none) wrong(name, `wants a comparison, as in "${name.text} < ${isTime ? '1s' : '3'}"`);
    return { text, metric, op: none ? '==' : '>=', value: none ? 0 : 1 };
  }
  return { text, metric, op: is.op, value: valueOf(is.value, isTime) };
}

interface Comparison {
  op: Op;
  value: Word;
}

function comparison(words: Words): Comparison | undefined {
  const op = OPS.find((o) => o === words.peek());
  const glued = op === undefined ? /^(?:<=|>=|==|!=|<|>|=)/.exec(words.peek() ?? '')?.[0] : undefined;
  if (glued !== undefined)
    wrong(words.next(''), glued === '=' ? 'is no comparison: write ==' : ': write a blank after the comparison');
  if (op === undefined) return undefined;
  words.next('');
  return { op, value: words.next(`a number after ${op}`) };
}

function valueOf(w: Word, isTime: boolean): number {
  if (isTime) return parseMillis(w.text) ?? (w.text === '0' ? 0 : wrong(w, 'is no time: write 500ms or 2s'));
  return /^\d+$/.test(w.text) ? Number(w.text) : wrong(w, 'is no number');
}

function metricOf(words: Words, name: Word, host: Side): Metric {
  switch (name.text) {
    case 'stream':
    case 'streams':
      return { kind: 'stream', whole: words.name('state of a stream', ['intact', 'incomplete']) === 'intact' };
    case 'RST':
    case 'RSTs':
      return { kind: 'rst' };
    case 'retransmit':
    case 'retransmits':
      return { kind: 'retransmits' };
    case 'recover':
    case 'duration':
    case 'replies':
    case 'rtt':
      return { kind: name.text };
    case 'error':
    case 'errors':
      return { kind: 'error', name: oneOf(words, 'errno', (t) => t in ERRNO, 'ECONNREFUSED') };
    case 'drop':
    case 'drops':
      return {
        kind: 'drop',
        host,
        reason: oneOf(words, 'drop reason', (t) => /^[A-Z][A-Z0-9_]+$/.test(t), 'TCP_CSUM'),
      };
    case 'hits':
      return { kind: 'hits', rule: oneOf(words, 'id of a rule', (t) => /^[\w-]{1,64}$/.test(t), 'f1') };
    case 'restarts':
      return { kind: 'restarts', layer: words.name('layer', LAYERS) };
    case 'connection':
    case 'connections':
      return { kind: 'connections', host, state: words.name('state', STATES) };
    case 'neighbour':
      return neighbour(words, host);
    default:
      return counter(name, host);
  }
}

function neighbour(words: Words, host: Side): Metric {
  const a = words.next('an address after "neighbour"');
  if (parseIpv4(a.text) === undefined) wrong(a, 'is no IPv4 address');
  words.eat('is');
  return { kind: 'neighbour', host, address: a.text, state: words.name('state of a neighbour', NUD) };
}

/** A word that may be there: not a comparison. */
function oneOf(words: Words, what: string, ok: (t: string) => boolean, example: string): string | undefined {
  const t = words.peek();
  if (t === undefined || /^[<>=!]/.test(t)) return undefined;
  const w = words.next('');
  return ok(w.text) ? w.text : wrong(w, `is no ${what} such as ${example}`);
}

let counters: ReadonlySet<string> | undefined;

function counter(name: Word, host: Side): Metric {
  counters ??= new Set(Object.entries(MIB_GROUPS).flatMap(([g, names]) => names.map((n) => g + n)));
  if (counters.has(name.text)) return { kind: 'counter', host, name: name.text };
  const near = [...counters].find((c) => c.toLowerCase() === name.text.toLowerCase() || c.endsWith(name.text));
  const hint = near === undefined ? NAMES : `did you mean ${near}?`;
  throw new TextFailure(name.column, `"${name.text}" is nothing that can be looked at: ${hint}`);
}
