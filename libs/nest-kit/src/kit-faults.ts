import type { Bus, KvStore, Unsubscribe } from '@skbus/bus';
import { buckets, pb, subjects, type skbus } from '@skbus/contracts';
import {
  FaultInjector,
  faultTools,
  formatOp,
  isControl,
  openGates,
  parseRule,
  type FaultDecision,
  type FaultPoint,
  type Held,
  type RuleCounters,
} from '@skbus/fault';
import { ERRNO, type LayerEnv, type LayerFaults, type Millis, type SockOf } from '@skbus/skb';
import { tupleOf } from '@skbus/trace';

/** Decisions that one list carries at most; what is more in one batch is counted only. */
const DECISIONS_MAX = 512;
/** Counters are written at most this often: what a service that dies may count again. */
const SAVE_MS = 100;
const RETRY_MS = 500;
/** Of a held packet so much is shown. */
const SHOWN_BYTES = 256;

interface Known {
  setAt: number;
  /** Why it is not in force; '': it is. */
  problem: string;
  saved: number;
  /** Tries it again. */
  apply?: () => void;
}

/** The fault rules of one layer: from the key-value store into the injector, and what they did onto the bus. */
export class KitFaults {
  readonly injector: FaultInjector;
  /** Some rule is about control messages. */
  control = false;
  private readonly bus: Bus;
  private readonly netns: string;
  private readonly layer: string;
  private readonly run: <T>(step: (now: Millis) => T) => T;
  private readonly rules = new Map<string, Known>();
  private decisions: FaultDecision[] = [];
  private lost = 0;
  private kv: KvStore | undefined = undefined;
  private unwatch: Unsubscribe | undefined = undefined;
  private saving: NodeJS.Timeout | undefined = undefined;
  private retry: NodeJS.Timeout | undefined = undefined;
  private closed = false;

  constructor(
    env: LayerEnv,
    kit: { bus: Bus; netns: string; run: <T>(step: (now: Millis) => T) => T; now: () => Millis },
  ) {
    this.bus = kit.bus;
    this.netns = kit.netns;
    this.layer = env.layer;
    this.run = kit.run;
    this.injector = new FaultInjector(env, faultTools);
    openGates(env, this.injector, kit.now);
    const gates = this.injector.onRulesChanged;
    this.injector.onRulesChanged = () => {
      gates?.();
      this.control = this.injector.status().some((s) => isControl(s.rule.at.func ?? ''));
    };
    this.injector.log.listener = (d) => this.collect(d);
  }

  /** A message that comes in or is about to leave: `go` is called for each copy that gets through. */
  message(point: FaultPoint, sk: number, bytes: number, go: (now: Millis) => void): void {
    this.run((now) =>
      this.injector.message(
        point,
        { bytes, sk: { id: sk, state: '' }, go: (_skb, at) => go(at), shown: () => (sk === 0 ? '' : `sk ${sk}`) },
        now,
      ),
    );
  }

  /** Puts the rules in force that are there, and those that come. */
  async watch(): Promise<void> {
    try {
      this.kv = await this.bus.kv(buckets.fault(this.netns));
      const rows = await this.kv.entries();
      const past = new Map([...rows].filter(([key]) => key.startsWith(this.countKey(''))));
      this.unwatch = await this.kv.watch((key, value) => {
        if (key.startsWith('rule.')) this.onRule(key.slice(5), value, past.get(this.countKey(key.slice(5))));
      });
    } catch {
      // The broker may not be there yet, or not yet again.
      if (!this.closed) this.retry = setTimeout(() => void this.watch(), RETRY_MS);
      this.retry?.unref();
    }
    if (this.closed) this.unwatch?.();
  }

  /** What was decided since the last time goes onto the bus. */
  publish(): void {
    const { decisions, lost } = this;
    if (decisions.length === 0) return;
    this.decisions = [];
    this.lost = 0;
    const list = pb.FaultDecisionList.encode({ lost, decisions: decisions.map(toPb) }).finish();
    const tell = (): void => this.bus.publish(subjects.fault(this.netns, this.layer as 'tcp'), list);
    // This process may not live to count the packet that it dies of, and must not die of the same one again.
    if (decisions.some((d) => d.op.op === 'service')) {
      void this.save().finally(tell);
      return;
    }
    tell();
    this.saving ??= setTimeout(() => void this.save(), SAVE_MS).unref();
  }

  status(): skbus.v1.FaultStatusReply.$Properties {
    const live = new Map(this.injector.status().map((s) => [s.rule.id, s]));
    return {
      rules: [...this.rules].map(([id, { problem }]) => {
        const { matched = 0, counted = 0, hits = 0, waiting = 0, held = 0 } = live.get(id) ?? {};
        return { id, matched, counted, hits, waiting, held, problem };
      }),
      held: this.injector.held.of().map(([serial, h]) => shown(serial, h)),
    };
  }

  step(rule: string): skbus.v1.FaultControlReply.$Properties {
    return this.let(rule, (now) => (this.injector.step(rule, now) ? 1 : 0));
  }

  release(rule: string): skbus.v1.FaultControlReply.$Properties {
    return this.let(rule, (now) => this.injector.release(rule, now));
  }

  edit(serial: number, fields: Record<string, string>, csum: 'fix' | 'keep'): skbus.v1.FaultControlReply.$Properties {
    const message = this.run((now) => this.injector.edit(serial, fields, csum, now));
    return message === undefined ? {} : { errno: ERRNO.EINVAL, message };
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.saving);
    clearTimeout(this.retry);
    this.unwatch?.();
  }

  private let(rule: string, how: (now: Millis) => number): skbus.v1.FaultControlReply.$Properties {
    if (!this.rules.has(rule)) return { errno: ERRNO.ENOENT, message: `${this.layer} has no rule ${rule}` };
    const released = this.run(how);
    return released > 0 ? { released } : { errno: ERRNO.ENOENT, message: `rule ${rule} holds nothing` };
  }

  private onRule(id: string, row: Uint8Array | undefined, past: Uint8Array | undefined): void {
    const before = this.rules.get(id);
    if (row === undefined) {
      this.rules.delete(id);
      this.run((now) => this.injector.remove(id, now));
      if (before !== undefined) void this.kv?.delete(this.countKey(id)).catch(() => {});
      return;
    }
    const { text, order, setAtUnixMs: setAt } = pb.FaultRule.decode(row);
    if (before?.setAt === setAt) return;
    const { rule, error } = parseRule(text, { id });
    // another version may know words that this one does not; whose layer that is, nobody can tell
    if (rule === undefined) return void this.rules.set(id, { setAt, problem: error.message, saved: 0 });
    if (rule.at.layer !== this.layer) return;
    const counters = past && countersOf(past, setAt);
    const apply = (): void =>
      this.run((now) => {
        const sinceMs = now - (Date.now() - setAt);
        const problem = this.injector.set(rule, { order, sinceMs, past: counters }, now);
        const known = { setAt, problem: problem?.message ?? '', saved: counters?.matched ?? 0 };
        this.rules.set(id, problem === undefined ? known : { ...known, apply });
      });
    apply();
  }

  /** What the engine can do wrong, and what it knows of sockets: rules may have come before it. */
  offer(faults: LayerFaults, sockOf: SockOf | undefined): void {
    this.injector.layerFaults = faults;
    this.injector.sockOf = sockOf;
    for (const { apply } of [...this.rules.values()]) apply?.();
  }

  private readonly countKey = (id: string): string => `count.${this.layer}.${id}`;

  private collect(d: FaultDecision): void {
    if (this.decisions.length < DECISIONS_MAX) this.decisions.push(d);
    else this.lost++;
  }

  /** Keeps the counters of rules that acted, for the next process. */
  async save(): Promise<void> {
    clearTimeout(this.saving);
    this.saving = undefined;
    for (const { rule, matched, counted, hits } of this.injector.status()) {
      const known = this.rules.get(rule.id);
      if (known === undefined || known.saved === matched) continue;
      known.saved = matched;
      const row = pb.FaultCounters.encode({ setAtUnixMs: known.setAt, matched, counted, hits }).finish();
      // The next decision tries again.
      await this.kv?.put(this.countKey(rule.id), row).catch(() => (known.saved = -1));
    }
  }
}

function countersOf(row: Uint8Array, setAt: number): RuleCounters | undefined {
  const c = pb.FaultCounters.decode(row);
  return c.setAtUnixMs === setAt ? { matched: c.matched, counted: c.counted, hits: c.hits } : undefined;
}

const toPb = (d: FaultDecision): skbus.v1.FaultDecision.$Properties => ({
  seq: d.seq,
  rule: d.rule,
  seed: d.seed,
  ...d.seam,
  ordinal: d.ordinal,
  skb: d.skb,
  timeMs: d.atMs,
  what: formatOp(d.op),
});

const shown = (serial: number, { rule, seam, skb, sinceMs, shown: text }: Held): skbus.v1.FaultHeld.$Properties => ({
  serial,
  rule,
  ...seam,
  skb: skb?.id ?? 0,
  sinceMs,
  bytes: skb === undefined ? new Uint8Array(0) : skb.bytes().subarray(0, SHOWN_BYTES),
  tuple: skb === undefined ? (text?.() ?? '') : tupleOf(skb),
});
