import type { Bus, KvStore, Unsubscribe } from '@skbus/bus';
import { buckets, pb, subjects, type skbus } from '@skbus/contracts';
import {
  actsOnTraffic,
  checkRule,
  faultShape,
  formatOp,
  formatRule,
  formatRuleError,
  isRuleId,
  parseMillis,
  parseOp,
  parseRule,
  replayOf,
  type FaultDecision,
  type FaultOp,
  type FaultRule,
  type SeamDir,
} from '@skbus/fault';
import { monotonicMs, systemRng } from '@skbus/nest-kit';
import { DecisionBook } from './decision-book.ts';
import type { ServiceFaults } from './service-faults.ts';

const STATUS_TIMEOUT_MS = 1_000;

/** A rule as the API shows it. */
export interface RuleView {
  id: string;
  /** In its canonical form. */
  text: string;
  layer: string;
  seed: number;
  setAt: string;
  matched: number;
  hits: number;
  waiting: number;
  held: number;
  /** Why it is not in force; absent: it is. */
  problem?: string;
}

export interface HeldView {
  serial: number;
  rule: string;
  layer: string;
  dir: string;
  func: string;
  skb: number;
  sinceMs: number;
  /** Hex, from where the layer's view starts. */
  bytes: string;
  tuple: string;
}

/** What a person asked for cannot be done; `status` as HTTP has it. */
export class FaultError extends Error {
  override name = 'FaultError';
  readonly status: number;
  /** Where in the rule's text. */
  readonly column: number | undefined;

  constructor(status: number, message: string, column?: number) {
    super(message);
    this.status = status;
    this.column = column;
  }
}

interface Entry {
  rule: FaultRule;
  order: number;
  setAt: number;
  /** A fault of a service that waits for its time. */
  timer: NodeJS.Timeout | undefined;
  /** How often that came. */
  fired: number;
}

/** The fault rules of one stack: takes them in, keeps them, asks the layers how they are, and collects what they did. */
export class FaultDesk {
  readonly book = new DecisionBook();
  private readonly bus: Bus;
  private readonly netns: string;
  readonly services: ServiceFaults;
  private readonly entries = new Map<string, Entry>();
  private kv: KvStore | undefined = undefined;
  private off: Unsubscribe | undefined = undefined;
  private lastOrder = 0;
  private readonly rng = systemRng();

  constructor(bus: Bus, netns: string, services: ServiceFaults) {
    this.bus = bus;
    this.netns = netns;
    this.services = services;
  }

  /** `fresh`: what an earlier run of the stack left is removed; else it stays in force. */
  async start(fresh: boolean): Promise<void> {
    this.off = this.bus.subscribe(`fault.v1.${this.netns}.*`, (data, subject) =>
      this.onDecisions(data, subject.slice(subject.lastIndexOf('.') + 1)),
    );
    this.kv = await this.bus.kv(buckets.fault(this.netns));
    for (const [key, row] of await this.kv.entries()) {
      if (fresh) await this.kv.delete(key);
      else if (key.startsWith('rule.')) this.restore(row);
    }
  }

  close(): void {
    this.off?.();
    for (const e of this.entries.values()) clearTimeout(e.timer);
  }

  /** Adds a rule, or replaces the one with its id in its place. */
  async add(text: string, id?: string): Promise<RuleView> {
    const rule = this.read(text, id);
    await this.put(rule);
    return this.viewOf(rule.id, undefined);
  }

  /** Exactly these rules, in this order; none when one of them is wrong. */
  async replace(rules: readonly { text: string; id?: string | undefined }[]): Promise<RuleView[]> {
    const read: FaultRule[] = [];
    for (const r of rules) read.push(this.read(r.text, r.id, read));
    const twice = read.find((r, i) => read.findIndex((o) => o.id === r.id) !== i);
    if (twice !== undefined) throw new FaultError(400, `two rules have the id ${twice.id}`);
    await this.clear();
    for (const r of read) await this.put(r);
    return this.list();
  }

  async remove(id: string): Promise<void> {
    const e = this.entries.get(id);
    if (e === undefined) throw new FaultError(404, `there is no rule ${id}`);
    clearTimeout(e.timer);
    this.entries.delete(id);
    await this.kv!.delete(`rule.${id}`);
  }

  async clear(): Promise<void> {
    for (const id of this.entries.keys()) await this.remove(id);
  }

  async list(): Promise<RuleView[]> {
    const status = await this.status();
    const live = new Map(status.flatMap((s) => (s.rules as skbus.v1.FaultRuleStatus[]).map((r) => [r.id, r])));
    return [...this.entries.keys()].map((id) => this.viewOf(id, live.get(id)));
  }

  async get(id: string): Promise<RuleView> {
    const one = (await this.list()).find((r) => r.id === id);
    if (one === undefined) throw new FaultError(404, `there is no rule ${id}`);
    return one;
  }

  async held(): Promise<HeldView[]> {
    const status = await this.status();
    return status.flatMap((s) =>
      (s.held as skbus.v1.FaultHeld[]).map(({ bytes, ...h }) => ({ ...h, bytes: Buffer.from(bytes).toString('hex') })),
    );
  }

  /** Lets go what a rule holds: the oldest, or all. How many went. */
  async letGo(id: string, verb: 'fault_step' | 'fault_release'): Promise<number> {
    const e = this.entries.get(id);
    if (e === undefined) throw new FaultError(404, `there is no rule ${id}`);
    return (await this.control(e.rule.at.layer, verb, { rule: id })).released;
  }

  async edit(layer: string, serial: number, fields: Record<string, string>, csum: 'fix' | 'keep'): Promise<void> {
    await this.control(layer, 'fault_edit', { serial, fields, csumKeep: csum === 'keep' });
  }

  /** What was done, and the rules that did it: all that a replay needs. */
  log(): { rules: { id: string; text: string }[]; decisions: skbus.v1.FaultDecision[] } {
    const decisions = this.book.all();
    return { rules: this.book.rulesOf(decisions), decisions };
  }

  /** In place of all rules: those that do what the log says to the same ordinals. */
  async replay(log: {
    rules: readonly { id: string; text: string }[];
    decisions: readonly LoggedDecision[];
  }): Promise<RuleView[]> {
    const rules = log.rules.map(({ id, text }) => this.read(text, id));
    const scripts = replayOf(log.decisions.map(decisionOf), rules);
    if (scripts.length === 0) throw new FaultError(400, 'the log has no decision of its rules');
    return this.replace(scripts.map((r) => ({ id: r.id, text: formatRule(r) })));
  }

  private read(text: string, id: string | undefined, taken: readonly FaultRule[] = []): FaultRule {
    if (id !== undefined && !isRuleId(id))
      throw new FaultError(400, `"${id}" is no id: 1 to 64 of a–z, A–Z, 0–9, _ and -`);
    const { rule, error } = parseRule(text, { id: id ?? this.freeId(taken), seed: 0 });
    if (rule === undefined) throw new FaultError(400, formatRuleError(text, error), error.column);
    const wrong = checkRule(text, rule);
    if (wrong !== undefined) throw new FaultError(400, formatRuleError(text, wrong), wrong.column);
    const { action } = rule;
    const fault = action.kind === 'layer' ? faultShape(rule.at.layer, action.name) : undefined;
    const dice = action.kind === 'netem' || fault?.dice === true || rule.limit.probability !== undefined;
    if (dice && rule.seed === 0) rule.seed = 1 + (this.rng.u32() % 999_999);
    return rule;
  }

  private freeId(taken: readonly FaultRule[]): string {
    for (let n = 1; ; n++) if (!this.entries.has(`f${n}`) && !taken.some((r) => r.id === `f${n}`)) return `f${n}`;
  }

  private async put(rule: FaultRule): Promise<void> {
    const before = this.entries.get(rule.id);
    clearTimeout(before?.timer);
    const order = before?.order ?? ++this.lastOrder;
    // Each setting has a time of its own, however fast they come.
    const setAt = Math.max(Date.now(), (before?.setAt ?? 0) + 1);
    this.enter({ rule, order, setAt, timer: undefined, fired: 0 });
    const text = formatRule(rule);
    await this.kv!.put(
      `rule.${rule.id}`,
      pb.FaultRule.encode({ id: rule.id, text, order, setAtUnixMs: setAt }).finish(),
    );
    await this.settled(rule);
  }

  /** Until the layer has heard of it: who adds a rule and then sends a packet means that packet. */
  private async settled(rule: FaultRule): Promise<void> {
    if (!(rule.at.layer in this.services.layers)) return;
    // what only a time brings about for a service is done here
    if (rule.action.kind === 'service' && !actsOnTraffic(rule)) return;
    for (let i = 0; i < 20; i++) {
      const s = await this.ask(rule.at.layer);
      // a layer that is not there hears of it when it comes
      if (s === undefined || (s.rules as skbus.v1.FaultRuleStatus[]).some((r) => r.id === rule.id)) return;
      await new Promise((r) => setTimeout(r, 10));
    }
  }

  private enter(e: Entry): void {
    const { rule } = e;
    this.lastOrder = Math.max(this.lastOrder, e.order);
    this.entries.set(rule.id, e);
    this.book.know(rule.id, formatRule(rule));
    const { action } = rule;
    if (action.kind !== 'service' || actsOnTraffic(rule) || e.fired > 0) return;
    const due = e.setAt + (rule.limit.afterMs ?? 0) - Date.now();
    e.timer = setTimeout(
      () => {
        e.fired++;
        this.book.add([ownDecision(rule)]);
        this.suffer(action.name, action.args);
      },
      Math.max(due, 0),
    ).unref();
  }

  private restore(row: Uint8Array): void {
    const { id, text, order, setAtUnixMs: setAt } = pb.FaultRule.decode(row);
    const { rule } = parseRule(text, { id });
    if (rule === undefined) return;
    // What was due before we were killed has happened, perhaps to ourselves; once is what was asked for.
    const over =
      rule.action.kind === 'service' && !actsOnTraffic(rule) && setAt + (rule.limit.afterMs ?? 0) <= Date.now();
    this.enter({ rule, order, setAt, timer: undefined, fired: over ? 1 : 0 });
  }

  private viewOf(id: string, s: skbus.v1.FaultRuleStatus | undefined): RuleView {
    const { rule, setAt, fired } = this.entries.get(id)!;
    return {
      id,
      text: formatRule(rule),
      layer: rule.at.layer,
      seed: rule.seed,
      setAt: new Date(setAt).toISOString(),
      matched: s?.matched ?? fired,
      hits: s?.hits ?? fired,
      waiting: s?.waiting ?? 0,
      held: s?.held ?? 0,
      ...(s !== undefined && s.problem !== '' ? { problem: s.problem } : {}),
    };
  }

  private async status(): Promise<skbus.v1.FaultStatusReply[]> {
    const layers = new Set([...this.entries.values()].map((e) => e.rule.at.layer));
    const all = await Promise.all([...layers].map((l) => this.ask(l)));
    return all.filter((s) => s !== undefined);
  }

  private async ask(layer: string): Promise<skbus.v1.FaultStatusReply | undefined> {
    try {
      const subject = subjects.ctl(this.netns, layer as 'tcp', 'fault_status');
      const reply = await this.bus.request(subject, new Uint8Array(0), STATUS_TIMEOUT_MS);
      return pb.FaultStatusReply.decode(reply) as skbus.v1.FaultStatusReply;
    } catch {
      return undefined;
    }
  }

  private async control(
    layer: string,
    verb: string,
    r: skbus.v1.FaultControlRequest.$Properties,
  ): Promise<{ released: number }> {
    const subject = subjects.ctl(this.netns, layer as 'tcp', verb);
    let reply: Uint8Array;
    try {
      reply = await this.bus.request(subject, pb.FaultControlRequest.encode(r).finish(), STATUS_TIMEOUT_MS);
    } catch {
      throw new FaultError(503, `the ${layer} service does not answer (${verb})`);
    }
    const { errno, message, released } = pb.FaultControlReply.decode(reply);
    if (errno !== 0) throw new FaultError(errno === 2 ? 404 : 400, message);
    return { released };
  }

  private onDecisions(data: Uint8Array, layer: string): void {
    const list = pb.FaultDecisionList.decode(data);
    const decisions = list.decisions as skbus.v1.FaultDecision[];
    this.book.add(decisions);
    for (const d of decisions) {
      if (!this.isOrdered(layer, d)) continue;
      const [, name, ...args] = d.what.split(' ');
      this.suffer(name!, args);
    }
  }

  /** Whose word it is that a service is to suffer: that of a rule in that layer, not of the layer. */
  private isOrdered(layer: string, { rule: id, what }: skbus.v1.FaultDecision): boolean {
    const rule = this.entries.get(id)?.rule;
    if (rule === undefined || rule.at.layer !== layer || !actsOnTraffic(rule)) return false;
    const { action } = rule;
    const ops: FaultOp[] =
      action.kind === 'script'
        ? [...action.steps.values()].flat()
        : action.kind === 'service'
          ? [{ op: 'service', name: action.name, args: action.args }]
          : [];
    return ops.some((op) => op.op === 'service' && formatOp(op) === what);
  }

  private suffer(name: string, args: readonly string[]): void {
    const [service, time] = args;
    void this.services.suffer(name, service!, time === undefined ? 0 : (parseMillis(time) ?? 0));
  }
}

/** A decision as the log has it. */
export type LoggedDecision = Pick<
  skbus.v1.FaultDecision,
  'rule' | 'layer' | 'dir' | 'func' | 'ordinal' | 'skb' | 'what'
>;

function decisionOf(d: LoggedDecision, i: number): FaultDecision {
  const op = parseOp(d.what);
  if (typeof op === 'string') throw new FaultError(400, `decision ${i + 1} of the log: ${op}`);
  const seam = { layer: d.layer, dir: d.dir as SeamDir, func: d.func };
  return { seq: i + 1, rule: d.rule, seed: 0, seam, ordinal: d.ordinal, skb: d.skb, atMs: 0, op };
}

function ownDecision(rule: FaultRule): skbus.v1.FaultDecision {
  const { name, args } = rule.action as { name: string; args: readonly string[] };
  const what = ['service', name, ...args].join(' ');
  const d = { seq: 0, rule: rule.id, seed: rule.seed, layer: 'orchestrator', dir: '', func: '', ordinal: 1, skb: 0 };
  return { ...d, timeMs: monotonicMs(), what } as skbus.v1.FaultDecision;
}
