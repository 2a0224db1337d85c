import { checkRule, isRuleId, parseMillis, parseRule, SEAMS, SERVICE_FAULTS } from '@skbus/fault';
import type { Side, StepAction, When } from '../plan.ts';
import { TextFailure } from './failure.ts';
import { parseSize, Words, wrong } from './words.ts';

/** `at 2s`, `at 2s every 10s`, `after 1MB` */
export function parseWhen(text: string): When {
  const words = new Words(text);
  const how = words.name('time of a step', ['at', 'after']);
  if (how === 'at') {
    const atMs = words.eat('0') ? 0 : time(words, 'a time: at 2s', 0);
    const everyMs = words.eat('every') ? time(words, 'a time: every 2s', 1) : undefined;
    words.end();
    return { atMs, everyMs };
  }
  const w = words.next('a number of bytes: after 1MB');
  words.end();
  const afterBytes = parseSize(w.text);
  return afterBytes === undefined
    ? wrong(w, 'is no size: write 200kB or 1MB (a time comes after "at")')
    : { afterBytes };
}

function time(words: Words, expected: string, leastMs: number): number {
  const w = words.next(expected);
  const ms = parseMillis(w.text);
  return ms === undefined || ms < leastMs ? wrong(w, 'is no time: write 500ms or 2s') : ms;
}

/** What the rules of both targets know by itself. */
export const NETEM_ID = 'netem';

const WORDS = [...Object.keys(SERVICE_FAULTS), 'fault', 'netem', 'clear', 'step', 'release', 'sysctl', 'on'];

/**
 * `kill tcp`, `hang ip 2s`, `restart broker`, `fault at tcp tx drop first 2`, `clear [ID]`, `netem delay 100ms`, `netem off`, `step ID`,
 * `release ID`, `sysctl NAME=VALUE`; each may begin with `on peer`.
 */
export function parseStep(text: string): { host: Side; action: StepAction } {
  const words = new Words(text);
  const host = words.eat('on') ? words.name('side', ['stack', 'peer'] as const) : 'stack';
  const w = words.next(`what happens: ${WORDS.join(', ')}`);
  return { host, action: actionOf(words, w) };
}

function actionOf(words: Words, w: { text: string; column: number }): StepAction {
  const id = (): string => {
    const name = words.next(`the id of a rule after "${w.text}"`);
    words.end();
    return isRuleId(name.text) ? name.text : wrong(name, 'is no id of a rule');
  };
  switch (w.text) {
    case 'fault': {
      const rule = words.rest("a rule: fault at tcp rx match 'tcp.flags.syn == 1' drop first 2");
      return fault(rule.text, rule.column, undefined);
    }
    case 'netem': {
      if (words.eat('off')) return { kind: 'clear', id: NETEM_ID };
      const spec = words.rest('what the cable does: netem delay 100ms loss 1%, or netem off');
      const prefix = 'at nic tx ';
      return fault(prefix + spec.text, spec.column - prefix.length, NETEM_ID);
    }
    case 'clear':
      return words.peek() === undefined ? { kind: 'clear', id: undefined } : { kind: 'clear', id: id() };
    case 'step':
    case 'release':
      return { kind: w.text, id: id() };
    case 'sysctl': {
      const pair = words.rest('NAME=VALUE after "sysctl"');
      const m = /^([a-z0-9_./-]+)\s*=\s*(.+)$/.exec(pair.text);
      return m === null ? wrong(pair, 'is no NAME=VALUE') : { kind: 'sysctl', name: m[1]!, value: m[2]! };
    }
    default:
      if (!(w.text in SERVICE_FAULTS)) wrong(w, `is nothing that can happen: ${WORDS.join(', ')}`);
      return fault(`service ${words.text.slice(w.column).trimEnd()}`, w.column - 'service '.length, undefined);
  }
}

/** `column`: where in the step's text the rule's would begin. */
function fault(text: string, column: number, defaultId: string | undefined): StepAction {
  const { rule, error } = parseRule(text);
  const wrong = rule === undefined ? error : checkRule(text, rule);
  if (wrong !== undefined) throw new TextFailure(Math.max(0, column + wrong.column), wrong.message);
  const id = rule!.id === '' ? defaultId : rule!.id;
  return { kind: 'fault', rule: text, id };
}

export const LAYERS = Object.keys(SEAMS);
