import { TRACEPOINTS } from '@skbus/skb';
import type { FaultAction, FaultLimit, FaultRule, SeamDir, SeamPattern } from '../rule.ts';
import { isControl, SEAMS } from '../seams.ts';
import { formatNetem } from '../netem/format.ts';
import { NETEM_WORDS, parseNetem } from '../netem/parse.ts';
import { RuleFailure, words, type RuleError, type Word } from './lexer.ts';
import { isReason, parseSteps } from './ops.ts';
import { isTraceFunc, isTracepoint, TRACE_STOPS } from '../trace-stops.ts';
import { parseMillis, parseProbability } from './values.ts';

const ACTION_WORDS = ['drop', 'truncate', 'set', 'hold', 'script', 'layer', 'service'];
const LIMIT_WORDS = ['nth', 'first', 'every', 'probability', 'after', 'for', 'flap', 'once'];
const KEYWORDS = new Set(['at', 'match', 'id', 'seed', ...ACTION_WORDS, ...LIMIT_WORDS]);

/** What a service can suffer, and what of it. */
export const SERVICE_FAULTS: Readonly<Record<string, string>> = {
  kill: 'kill LAYER',
  hang: 'hang LAYER TIME',
  slow: 'slow LAYER TIME',
  restart: 'restart LAYER',
  cut: 'cut LAYER TIME',
};
const SERVICES = [...Object.keys(SEAMS), 'broker'];

export type ParsedRule = { rule: FaultRule; error?: undefined } | { rule?: undefined; error: RuleError };

/**
 * Reads a rule. Its parts may stand in any order; formatRule() writes them in one. Words of netem stand together or apart:
 * they make one netem. What is wrong inside a filter or a netem is found by who compiles them (checkRule()).
 */
export function parseRule(text: string, defaults: { id?: string; seed?: number } = {}): ParsedRule {
  try {
    return { rule: new RuleParser(text, words(text)).parse(defaults) };
  } catch (e) {
    if (e instanceof RuleFailure) return { error: { column: e.column, length: e.length, message: e.message } };
    throw e;
  }
}

class RuleParser {
  private readonly text: string;
  private readonly list: readonly Word[];
  private i = 0;
  private at: SeamPattern | undefined = undefined;
  private match: string | undefined = undefined;
  private action: FaultAction | undefined = undefined;
  private readonly netem: string[] = [];
  private readonly limit: FaultLimit = {};
  private seed: number | undefined = undefined;
  private id: string | undefined = undefined;

  constructor(text: string, list: readonly Word[]) {
    this.text = text;
    this.list = list;
  }

  parse(defaults: { id?: string; seed?: number }): FaultRule {
    while (this.i < this.list.length) this.clause();
    if (this.netem.length > 0)
      this.setAction({ kind: 'netem', spec: canonicalNetem(this.netem.join(' ')) }, this.list[0]!);
    const { action } = this;
    if (action === undefined) this.fail(this.end(), `what shall happen? ${actionsText()}`);
    if (this.at === undefined && action.kind === 'service') this.at = { layer: action.args[0]! };
    if (this.at === undefined) this.fail(this.end(), `where? "at" and one of ${Object.keys(SEAMS).join(', ')}`);
    return {
      id: this.id ?? defaults.id ?? '',
      at: this.at,
      match: this.match ?? '',
      action,
      limit: this.limit,
      seed: this.seed ?? defaults.seed ?? 0,
    };
  }

  private clause(): void {
    const w = this.next('');
    if (w.quoted) this.fail(w, `${this.shown(w)} stands alone: a filter comes after "match"`);
    switch (w.text) {
      case 'at':
        return this.place(w);
      case 'match':
        this.once(this.match, w);
        this.match = this.next('a filter in quotes after "match"', true).text;
        return;
      case 'id':
        this.once(this.id, w);
        this.id = this.identifier();
        return;
      case 'seed':
        this.once(this.seed, w);
        this.seed = this.integer(w, 0, 0xffff_ffff);
        return;
      default:
        if (LIMIT_WORDS.includes(w.text)) return this.limitClause(w);
        if (w.text === 'drop' && this.looksLikeNetemLoss()) return this.netemWords({ ...w, text: 'loss' });
        if (ACTION_WORDS.includes(w.text)) return this.setAction(this.actionOf(w), w);
        if ((NETEM_WORDS as readonly string[]).includes(w.text)) return this.netemWords(w);
        this.fail(w, `${this.shown(w)} is no word of a rule: ${[...KEYWORDS].join(', ')}, or netem's ${netemText()}`);
    }
  }

  // at LAYER[.FUNC] [rx|tx] [FUNC], or LAYER:TRACEPOINT
  private place(at: Word): void {
    this.once(this.at, at);
    const layers = Object.keys(SEAMS);
    const w = this.next(`a layer after "at": ${layers.join(', ')}`);
    const dot = w.text.search(/[.:]/);
    const layer = dot < 0 ? w.text : w.text.slice(0, dot);
    if (!layers.includes(layer)) this.fail(w, `${this.shown(w)} is no layer: ${layers.join(', ')}`);
    let func = dot < 0 ? undefined : w.text.slice(w.text[dot] === ':' ? dot : dot + 1);
    const here = dot < 0 ? w : { ...w, column: w.column + dot + 1, length: w.length - dot - 1 };
    if (func !== undefined && isTraceFunc(func)) {
      this.checkTracepoint(func.slice(1), here);
      this.at = { layer, func };
      return;
    }
    let dir: SeamDir | undefined;
    if (this.peek() === 'rx' || this.peek() === 'tx') dir = this.next('').text as SeamDir;
    let funcAt = here;
    if (func === undefined && this.peek() !== undefined && this.isFunc(layer, this.peek()!)) {
      funcAt = this.list[this.i]!;
      func = this.next('').text;
    }
    if (func !== undefined) this.checkFunc(layer, dir, func, funcAt);
    this.at = { layer, ...(dir === undefined ? {} : { dir }), ...(func === undefined ? {} : { func }) };
  }

  private checkTracepoint(name: string, w: { column: number; length: number }): void {
    if (isTracepoint(name)) return;
    const near = Object.keys(TRACEPOINTS).filter((p) => name.length > 2 && p.includes(name));
    const some = near.length > 0 ? near : Object.values(TRACE_STOPS).flatMap((stops) => Object.keys(stops));
    this.fail(w, `"${name}" is no trace point: ${some.slice(0, 12).join(', ')}${some.length > 12 ? ', …' : ''}`);
  }

  private isFunc(layer: string, text: string): boolean {
    return isControl(text) || SEAMS[layer]!.some((r) => r.func === text);
  }

  private checkFunc(
    layer: string,
    dir: SeamDir | undefined,
    func: string,
    w: { column: number; length: number },
  ): void {
    if (isControl(func)) {
      if (!/^ctl\.(\*|[a-z_]+)$/.test(func)) this.fail(w, `"${func}" is no control message: ctl.VERB or ctl.*`);
      return;
    }
    const rows = SEAMS[layer]!.filter((r) => dir === undefined || r.dir === dir);
    if (rows.some((r) => r.func === func)) return;
    const possible = [...new Set(rows.map((r) => r.func)), 'ctl.VERB'].join(', ');
    this.fail(w, `"${func}" is no ${dir === undefined ? '' : `${dir} `}seam of ${layer}: ${possible}`);
  }

  private actionOf(w: Word): FaultAction {
    switch (w.text) {
      case 'drop':
        return { kind: 'drop', reason: this.reason() };
      case 'truncate':
        return { kind: 'truncate', bytes: this.integer(w, 0, 0xffff) };
      case 'set':
        return this.setFields(w);
      case 'hold':
        return { kind: 'hold' };
      case 'script': {
        const text = this.next('steps in quotes after "script": \'3: drop NOMEM; 5: send +10ms\'');
        const steps = parseSteps(text.text);
        if (typeof steps === 'string') this.fail(text, steps);
        return { kind: 'script', steps };
      }
      case 'layer': {
        const { text: name } = this.next('the name of a fault after "layer"');
        return { kind: 'layer', name, args: this.args() };
      }
      default:
        return this.service();
    }
  }

  private reason(): string {
    const name = this.peek();
    if (name === undefined || !/^[A-Z][A-Z0-9_]+$/.test(name)) return 'FAULT_INJECTED';
    const w = this.next('');
    if (!isReason(name))
      this.fail(w, `"${name}" is no drop reason: FAULT_INJECTED, or a name of enum skb_drop_reason such as NOMEM`);
    return name;
  }

  private setFields(set: Word): FaultAction {
    const fields: Record<string, string> = {};
    for (let t = this.peek(); t?.includes('=') === true; t = this.peek()) {
      const w = this.next('');
      const cut = t.indexOf('=');
      const [name, value] = [t.slice(0, cut), t.slice(cut + 1)];
      if (!/^[a-z][a-z0-9_.]*$/.test(name) || value === '') this.fail(w, `"${t}" is no field=value, such as ip.ttl=1`);
      fields[name] = value;
    }
    if (Object.keys(fields).length === 0)
      this.fail(this.list[this.i] ?? this.end(), 'set takes field=value, such as ip.ttl=1');
    if (this.peek() !== 'csum') return { kind: 'set', fields, csum: 'fix' };
    this.next('');
    const how = this.next('fix or keep after "csum"');
    if (how.text !== 'fix' && how.text !== 'keep') this.fail(how, `${this.shown(how)}: "csum" takes fix or keep`);
    void set;
    return { kind: 'set', fields, csum: how.text };
  }

  // service kill|hang|slow|restart|cut LAYER [TIME]
  private service(): FaultAction {
    const names = Object.keys(SERVICE_FAULTS);
    const what = this.next(`one of ${names.join(', ')} after "service"`);
    const usage = SERVICE_FAULTS[what.text];
    if (usage === undefined)
      this.fail(what, `${this.shown(what)} is nothing a service can suffer: ${names.join(', ')}`);
    const whom = this.next(`a service after "${what.text}": ${SERVICES.join(', ')}`);
    if (!SERVICES.includes(whom.text)) this.fail(whom, `${this.shown(whom)} is no service: ${SERVICES.join(', ')}`);
    const args = [whom.text];
    if (usage.endsWith('TIME')) {
      const time = this.next(`how long: service ${usage}, such as 2s`);
      if (parseMillis(time.text) === undefined) this.fail(time, `${this.shown(time)} is no time: write 500ms or 2s`);
      args.push(time.text);
    }
    return { kind: 'service', name: what.text, args };
  }

  private args(): string[] {
    const out: string[] = [];
    for (let t = this.peek(); t !== undefined && !KEYWORDS.has(t); t = this.peek()) out.push(this.next('').text);
    return out;
  }

  /** netem's words up to the next word of ours. */
  private netemWords(first: Word): void {
    this.netem.push(first.text);
    for (let t = this.peek(); t !== undefined && !KEYWORDS.has(t); t = this.peek()) this.netem.push(this.next('').text);
  }

  /** tc's netem takes `drop` for `loss`: it is followed by a number or a model. */
  private looksLikeNetemLoss(): boolean {
    const t = this.peek();
    return t !== undefined && /^(\d|random$|state$|gemodel$)/.test(t);
  }

  private limitClause(w: Word): void {
    const l = this.limit;
    switch (w.text) {
      case 'nth':
        this.once(l.nth, w);
        l.nth = this.list_(w);
        return;
      case 'first':
        this.once(l.first, w);
        l.first = this.integer(w, 1, Number.MAX_SAFE_INTEGER);
        return;
      case 'every':
        this.once(l.every, w);
        l.every = this.integer(w, 1, Number.MAX_SAFE_INTEGER);
        return;
      case 'probability': {
        this.once(l.probability, w);
        const p = this.next('a probability: 0.1 or 10%');
        l.probability = parseProbability(p.text) ?? this.fail(p, `${this.shown(p)} is no probability: 0.1 or 10%`);
        return;
      }
      case 'after':
        this.once(l.afterMs, w);
        l.afterMs = this.time(w);
        return;
      case 'for':
        this.once(l.forMs, w);
        l.forMs = this.time(w);
        return;
      case 'flap':
        this.once(l.flapMs, w);
        l.flapMs = this.time(w);
        return;
      default:
        this.once(l.oncePerConnection, w);
        for (const expected of ['per', 'connection']) {
          const t = this.next(`"once per connection"`);
          if (t.text !== expected) this.fail(t, `${this.shown(t)}: the words are "once per connection"`);
        }
        l.oncePerConnection = true;
    }
  }

  private list_(w: Word): number[] {
    const t = this.next('a number or a list of numbers after "nth": 3 or 3,7');
    const list = t.text.split(',').map(Number);
    if (!list.every((n) => Number.isSafeInteger(n) && n >= 1))
      this.fail(t, `${this.shown(t)}: "${w.text}" takes a number from 1, or several: 3 or 3,7`);
    return [...new Set(list)].sort((a, b) => a - b);
  }

  private time(w: Word): number {
    const t = this.next(`a time after "${w.text}": 500ms or 2s`);
    return parseMillis(t.text) ?? this.fail(t, `${this.shown(t)} is no time: write 500ms or 2s`);
  }

  private integer(w: Word, min: number, max: number): number {
    const t = this.next(`a number after "${w.text}"`);
    const n = Number(t.text);
    if (!/^\d+$/.test(t.text) || n < min || n > max)
      this.fail(t, `${this.shown(t)}: "${w.text}" takes a number from ${min}${max < 2 ** 33 ? ` to ${max}` : ''}`);
    return n;
  }

  private identifier(): string {
    const t = this.next('a name after "id"');
    if (!isRuleId(t.text)) this.fail(t, `${this.shown(t)} is no id: 1 to 64 of a–z, A–Z, 0–9, _ and -`);
    return t.text;
  }

  private setAction(action: FaultAction, w: Word): void {
    if (this.action !== undefined) this.fail(w, 'a rule does one thing: write a rule for each');
    this.action = action;
  }

  private once(value: unknown, w: Word): void {
    if (value !== undefined) this.fail(w, `"${w.text}" is there twice`);
  }

  private peek(): string | undefined {
    const w = this.list[this.i];
    return w === undefined || w.quoted ? undefined : w.text;
  }

  private next(expected: string, quotedOk = true): Word {
    const w = this.list[this.i];
    if (w === undefined || (w.quoted && !quotedOk)) this.fail(this.end(), `here the text ends: ${expected} is missing`);
    this.i++;
    return w;
  }

  private end(): { column: number; length: number } {
    return { column: this.text.trimEnd().length, length: 1 };
  }

  private shown(w: Word): string {
    return w.quoted ? this.text.slice(w.column, w.column + w.length) : `"${w.text}"`;
  }

  private fail(at: { column: number; length: number }, message: string): never {
    throw new RuleFailure(at, message);
  }
}

/** What cannot be read stays as it is: checkRule() says what is wrong with it. */
function canonicalNetem(text: string): string {
  const { spec } = parseNetem(text);
  return spec === undefined ? text : formatNetem(spec);
}

export const isRuleId = (id: string): boolean => /^[A-Za-z0-9_-]{1,64}$/.test(id);

const netemText = (): string => NETEM_WORDS.filter((w) => !KEYWORDS.has(w)).join(', ');
const actionsText = (): string => `${ACTION_WORDS.join(', ')}, or netem's ${netemText()}`;
