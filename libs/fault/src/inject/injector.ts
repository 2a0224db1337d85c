import {
  copySkb,
  TimeQueue,
  type DropReason,
  type LayerEnv,
  type LayerFaults,
  type Millis,
  type SkBuff,
  type SockOf,
} from '@skbus/skb';
import { truncateSkb } from '../fields-set.ts';
import type { FilterSubject } from '../filter/filter.ts';
import type { FaultOp, FaultRule, Seam, SeamDir, SendCopy } from '../rule.ts';
import { entryDir, seamRow, sitsAt } from '../seams.ts';
import { isTraceFunc, traceStop } from '../trace-stops.ts';
import { formatOp } from '../text/ops.ts';
import { activate, actsOnTraffic, type ActiveRule, type RuleProblem } from './active-rule.ts';
import { connectionOf } from './connection.ts';
import { flipBit, markCe, ownBytes } from './corrupt.ts';
import { opsOf } from './decide.ts';
import { DecisionLog } from './decision.ts';
import { HeldItems } from './held.ts';
import type { RuleCounters } from './limit.ts';
import { StandingFaults, type StandingHost } from './standing.ts';
import type { FaultTools } from './tools.ts';

const LOG_MAX = 4096;

/** One place where something passes. Whoever passes there looks at `rules` first: undefined costs nothing more. */
export interface FaultPoint {
  readonly seam: Seam;
  readonly starts: FilterSubject['starts'];
  /** Memory of what passes here belongs to somebody else: what waits takes its bytes along. */
  readonly borrowed: boolean;
  /** Who passes here frees the packet itself when it is to be dropped. */
  readonly keeps: boolean;
  /** What filters are shown; the same object again for each packet. */
  readonly subject: { -readonly [K in keyof FilterSubject]: FilterSubject[K] };
  rules: readonly ActiveRule[] | undefined;
}

/** Something at a seam: a packet or a message, and how it goes on. */
export interface Passing {
  /** Absent: a message. */
  skb?: SkBuff;
  /** Its length where it is a message. */
  bytes?: number;
  sk?: { id: number; state: string };
  /** A short text that shows it to a person who holds it. */
  shown?: () => string;
  /** Called for each copy that gets through, now or later; a message's without an skb. */
  go(skb: SkBuff | undefined, now: Millis): void;
}

export interface RuleStatus extends RuleCounters {
  rule: FaultRule;
  order: number;
  sinceMs: Millis;
  /** Waiting for their time, and held. */
  waiting: number;
  held: number;
}

interface Waiting {
  active: ActiveRule;
  resume: (now: Millis) => void;
  isSkb: boolean;
}

/**
 * Does to what passes a layer's seams what the rules say. Deterministic: what it does follows from the rules, their seeds, and
 * the sequence of what passes. Driven like an engine: pollTimeout(), handleTimeout().
 */
export class FaultInjector {
  readonly log: DecisionLog;
  readonly held: HeldItems;
  /** What this layer can do wrong by itself; its shell sets it before the first rule. */
  layerFaults: LayerFaults = {};
  /** The socket that a packet or message belongs to, as far as the layer knows one; its shell sets it. */
  sockOf: SockOf | undefined = undefined;
  /** Called when rules came or went: which points have any is new. */
  onRulesChanged: (() => void) | undefined = undefined;
  private readonly env: LayerEnv;
  private readonly tools: FaultTools;
  /** Where that happens which a layer does by itself. */
  private readonly ownSeam: Seam;
  private readonly points = { rx: new Map<string, FaultPoint>(), tx: new Map<string, FaultPoint>() };
  private rules: ActiveRule[] = [];
  private readonly delayed = new TimeQueue<Waiting>();
  private delayedSkbs = 0;
  /** How far the layer's clock has jumped by now. */
  private jumpedMs: Millis = 0;
  private readonly standing = new StandingFaults(this.standingHost());

  constructor(env: LayerEnv, tools: FaultTools, log: DecisionLog = new DecisionLog(LOG_MAX)) {
    this.env = env;
    this.tools = tools;
    this.ownSeam = { layer: env.layer, dir: 'rx', func: '' };
    this.log = log;
    this.held = new HeldItems();
    env.ledger.addQueue(() => this.delayedSkbs + this.held.skbs);
  }

  /** The trace points that have rules, by their names. */
  tracePoints(): Map<string, FaultPoint> {
    const found = [...this.points.rx].filter(([func, p]) => isTraceFunc(func) && p.rules !== undefined);
    return new Map(found.map(([func, p]) => [func.slice(1), p]));
  }

  /** A seam of this layer. */
  point(dir: SeamDir, func: string, borrowed = false): FaultPoint {
    let p = this.points[dir].get(func);
    if (p === undefined) {
      const seam = { layer: this.env.layer, dir, func };
      const starts = seamRow(seam.layer, dir, func)?.starts ?? 'none';
      const keeps = traceStop(seam.layer, func) === 'memory';
      p = { seam, starts, borrowed, keeps, subject: { seam, starts }, rules: undefined };
      this.points[dir].set(func, p);
      this.place(p);
    }
    return p;
  }

  /** Where that comes into the layer which `func` takes over. */
  entry(func: string): FaultPoint {
    return this.point(entryDir(this.env.layer, func), func);
  }

  /** A message at a point: it goes on at once where no rule sits. */
  message(point: FaultPoint, item: Passing, now: Millis): void {
    if (point.rules === undefined) item.go(undefined, now);
    else this.offer(point, item, now);
  }

  /** Adds a rule, or puts it in the place of the one with its id. What is wrong with it, if anything. */
  set(
    rule: FaultRule,
    at: { order: number; sinceMs: Millis; past?: RuleCounters | undefined },
    now: Millis,
  ): RuleProblem | undefined {
    const { active, problem } = activate(this.tools, rule, at);
    if (active === undefined) return problem;
    const { action } = rule;
    if (action.kind === 'layer' && this.layerFaults[action.name] === undefined)
      return { part: 'rule', column: 0, length: 1, message: `this ${rule.at.layer} does not offer ${action.name}` };
    this.remove(rule.id, now);
    this.rules.push(active);
    this.rules.sort((a, b) => a.order - b.order || (a.rule.id < b.rule.id ? -1 : 1));
    this.changed();
    if (action.kind === 'layer' && !actsOnTraffic(rule)) this.standing.schedule(active, now);
    return undefined;
  }

  /** Takes a rule away. What it holds goes on; what it has delayed comes at its time. */
  remove(id: string, now: Millis): boolean {
    const active = this.rules.find((r) => r.rule.id === id);
    if (active === undefined) return false;
    active.removed = true;
    this.rules = this.rules.filter((r) => r !== active);
    this.changed();
    this.standing.end(active, now);
    this.release(id, now);
    return true;
  }

  status(): RuleStatus[] {
    const waiting = new Map<ActiveRule, number>();
    for (const w of this.delayed.values()) waiting.set(w.active, (waiting.get(w.active) ?? 0) + 1);
    return this.rules.map((r) => ({
      rule: r.rule,
      order: r.order,
      sinceMs: r.sinceMs,
      matched: r.limit.matched,
      counted: r.limit.counted,
      hits: r.limit.hits,
      waiting: waiting.get(r) ?? 0,
      held: this.held.of(r.rule.id).length,
    }));
  }

  /** Something passes a point that has rules. */
  offer(point: FaultPoint, item: Passing, now: Millis): void {
    // what is due comes first
    if (this.delayed.nextAt <= now) this.handleTimeout(now);
    this.proceed(point, item, item.skb, Number.NEGATIVE_INFINITY, '', now);
  }

  pollTimeout(): Millis {
    return this.delayed.nextAt;
  }

  /** `upTo`: also what is due later. */
  handleTimeout(now: Millis, upTo: Millis = now): void {
    const before = this.jumpedMs;
    for (;;) {
      const jumped = this.jumpedMs - before;
      const w = this.delayed.shift(upTo + jumped);
      if (w === undefined) return;
      if (w.isSkb) this.delayedSkbs--;
      w.active.netem?.left();
      w.resume(now + jumped);
    }
  }

  /** The layer's clock jumped: the times of rules are not its own, and stay as far away as they were. */
  clockJumped(byMs: Millis): void {
    this.jumpedMs += byMs;
    this.delayed.shiftBy(byMs);
    for (const r of this.rules) {
      r.sinceMs += byMs;
      r.limit.shiftBy(byMs);
    }
  }

  /** The layer ends: what waits goes on now. */
  letAllGo(now: Millis): void {
    for (const r of this.rules) {
      r.removed = true;
      this.standing.end(r, now);
      this.release(r.rule.id, now);
    }
    this.handleTimeout(now, Number.MAX_VALUE);
  }

  /** Lets the oldest one go that the rule holds. */
  step(id: string, now: Millis): boolean {
    const one = this.held.shift(id);
    if (one === undefined) return false;
    one.resume(now);
    return true;
  }

  /** Lets all go that the rule holds; the rule stays. How many. */
  release(id: string, now: Millis): number {
    let n = 0;
    while (this.step(id, now)) n++;
    return n;
  }

  /** Changes a packet that is held. A sentence: why not. */
  edit(
    serial: number,
    fields: Readonly<Record<string, string>>,
    csum: 'fix' | 'keep',
    now: Millis,
  ): string | undefined {
    const h = this.held.get(serial);
    if (h === undefined) return `nothing with the number ${serial} is held`;
    if (h.skb === undefined) return 'a message has no header fields';
    const wrong = this.tools.checkFields(fields);
    if (wrong !== undefined) return wrong;
    const starts = this.point(h.seam.dir, h.seam.func).starts;
    if (!this.tools.setFields(h.skb, starts, fields, csum))
      return `packet ${serial} has no ${Object.keys(fields).join(' or ')}`;
    h.edited({ op: 'set', fields, csum }, now);
    return undefined;
  }

  private standingHost(): StandingHost {
    return {
      fault: (name) => this.layerFaults[name],
      at: (ms, active, resume) => this.delayed.push(ms, { active, resume, isSkb: false }),
      take: (r, now, skb) => {
        const subject: FilterSubject = { seam: this.ownSeam, starts: 'none', ...(skb === undefined ? {} : { skb }) };
        if (!r.limit.take(now, () => connectionOf(subject))) return false;
        r.limit.hits++;
        const { action } = r.rule;
        if (action.kind === 'layer')
          this.noteAt(
            subject.seam,
            r,
            { op: 'layer', name: action.name, args: action.args },
            r.limit.matched,
            now,
            skb,
          );
        return true;
      },
      jumpedMs: () => this.jumpedMs,
      note: (r, op, now) => this.noteAt(this.ownSeam, r, op, 0, now),
    };
  }

  private noteAt(seam: Seam, r: ActiveRule, op: FaultOp, ordinal: number, now: Millis, skb?: SkBuff): void {
    const { id: rule, seed } = r.rule;
    this.log.add({ rule, seed, seam, ordinal, skb: skb?.id ?? 0, atMs: now, op });
    if (this.env.tracing) this.env.trace('fault_inject', skb, { rule, did: formatOp(op) });
  }

  private place(p: FaultPoint): void {
    const here = this.rules.filter(
      (r) => sitsAt(r.rule.at, p.seam) && actsOnTraffic(r.rule) && r.rule.limit.probability !== 0,
    );
    p.rules = here.length > 0 ? here : undefined;
  }

  private changed(): void {
    for (const { rule } of this.rules) if (isTraceFunc(rule.at.func ?? '')) this.point('rx', rule.at.func!);
    for (const p of [...this.points.rx.values(), ...this.points.tx.values()]) this.place(p);
    this.onRulesChanged?.();
  }

  private subjectOf(point: FaultPoint, item: Passing, skb: SkBuff | undefined, asksSk: boolean): FilterSubject {
    const { subject } = point;
    subject.skb = skb;
    subject.sk = asksSk ? (this.sockOf?.(skb, point.seam.dir, item.sk?.id ?? 0) ?? item.sk) : item.sk;
    return subject;
  }

  /** Something reaches a trace point that has rules. True: one of them ended it. */
  reaches(point: FaultPoint, skb: SkBuff | undefined, now: Millis): boolean {
    let passed = false;
    this.proceed(point, { go: () => (passed = true) }, skb, Number.NEGATIVE_INFINITY, '', now);
    return !passed;
  }

  /** Through the rules behind `order` and `id`, then on its way. */
  private proceed(
    point: FaultPoint,
    item: Passing,
    skb: SkBuff | undefined,
    order: number,
    id: string,
    now: Millis,
  ): void {
    for (const r of point.rules ?? NO_RULES) {
      if (r.order < order || (r.order === order && r.rule.id <= id)) continue;
      if (r.filter !== undefined && !r.filter.matches(this.subjectOf(point, item, skb, r.asksSk))) continue;
      if (!r.limit.take(now, () => connectionOf(this.subjectOf(point, item, skb, false)))) continue;
      if (!this.act(point, item, skb, r, now)) return;
    }
    item.go(skb, now);
  }

  /** True: it goes on. */
  private act(point: FaultPoint, item: Passing, skb: SkBuff | undefined, r: ActiveRule, now: Millis): boolean {
    const ops = opsOf(r, { skb, starts: point.starts, bytes: skb?.len ?? item.bytes ?? 0 }, now);
    if (ops.length > 0) r.limit.hits++;
    const hit: Hit = { point, item, skb, r, ordinal: r.limit.matched };
    for (const op of ops) if (!this.perform(op, hit, now)) return false;
    return true;
  }

  private perform(op: FaultOp, hit: Hit, now: Millis): boolean {
    const { point, skb } = hit;
    this.note(op, hit, now);
    switch (op.op) {
      case 'drop':
        if (skb !== undefined && !point.keeps) this.env.drop(skb, op.reason as DropReason);
        return false;
      case 'truncate':
        if (skb !== undefined) truncateSkb(skb, point.starts, op.bytes);
        return true;
      case 'set':
        if (skb === undefined) return true;
        if (point.borrowed) ownBytes(skb);
        this.tools.setFields(skb, point.starts, op.fields, op.csum);
        return true;
      case 'send':
        this.send(op.copies, hit, now);
        return false;
      case 'hold':
        this.hold(hit, now);
        return false;
      case 'layer':
        if (skb !== undefined) this.layerFaults[op.name]?.hit?.(this.standing.caseOf(hit.r), skb, now);
        return true;
      default:
        // Done by who supervises the layer, and hears of it by the log.
        return true;
    }
  }

  private send(copies: readonly SendCopy[], hit: Hit, now: Millis): void {
    const { skb } = hit;
    // All are made before the first one leaves: it is no longer ours then.
    const skbs = copies.map((_, i) => (i === 0 || skb === undefined ? skb : this.clone(skb)));
    for (const [i, c] of copies.entries()) this.sendOne(c, { ...hit, skb: skbs[i] }, now);
  }

  private sendOne(c: SendCopy, hit: Hit, now: Millis): void {
    const { point, item, skb, r } = hit;
    const changes = c.flip !== undefined || c.ce === true;
    if (skb !== undefined && point.borrowed && (changes || c.delayMs > 0)) ownBytes(skb);
    if (skb !== undefined && changes && !this.mangle(skb, point.starts, c)) {
      r.netem?.left();
      return;
    }
    const resume = (at: Millis): void => this.proceed(point, item, skb, r.order, r.rule.id, at);
    if (c.delayMs <= 0) {
      r.netem?.left();
      resume(now);
      return;
    }
    if (skb !== undefined) {
      this.delayedSkbs++;
      // As netem_enqueue() does: the way is what is slow, so its socket need not wait (net/sched/sch_netem.c).
      this.env.orphan(skb);
    }
    this.delayed.push(now + c.delayMs, { active: r, resume, isSkb: skb !== undefined });
  }

  /** False: it did not survive it. */
  private mangle(skb: SkBuff, starts: FaultPoint['starts'], c: SendCopy): boolean {
    if (c.flip !== undefined && !flipBit(skb, c.flip)) {
      this.env.drop(skb, 'SKB_CSUM');
      return false;
    }
    // one that cannot be marked is lost
    if (c.ce === true && !markCe(skb, starts)) {
      this.env.drop(skb, 'FAULT_INJECTED');
      return false;
    }
    return true;
  }

  private hold(hit: Hit, now: Millis): void {
    const { point, item, skb, r } = hit;
    if (skb !== undefined && point.borrowed) ownBytes(skb);
    const kept = this.held.add({
      rule: r.rule.id,
      seam: point.seam,
      skb,
      sinceMs: now,
      shown: item.shown,
      resume: (at) => {
        this.note({ op: 'send', copies: [{ delayMs: at - now }] }, hit, at);
        this.proceed(point, item, skb, r.order, r.rule.id, at);
      },
      edited: (op, at) => this.note(op, hit, at),
    });
    if (!kept && skb !== undefined) this.env.drop(skb, 'QDISC_DROP');
  }

  private clone(skb: SkBuff): SkBuff {
    const c = copySkb(skb);
    c.confirm = skb.confirm;
    const { tstampMs } = skb;
    this.env.adopt(c, tstampMs);
    return c;
  }

  private note(op: FaultOp, { point, skb, r, ordinal }: Hit, now: Millis): void {
    this.noteAt(point.seam, r, op, ordinal, now, skb);
  }
}

/** One item that a rule acts on. */
interface Hit {
  point: FaultPoint;
  item: Passing;
  skb: SkBuff | undefined;
  r: ActiveRule;
  ordinal: number;
}

const NO_RULES: readonly ActiveRule[] = [];
