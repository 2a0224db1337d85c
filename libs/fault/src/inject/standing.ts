import { SeededRng, type FaultCase, type LayerFault, type Millis, type SkBuff } from '@skbus/skb';
import { faultShape, readFaultArgs } from '../layer-faults.ts';
import type { FaultOp } from '../rule.ts';
import type { ActiveRule } from './active-rule.ts';

/** Keeps a fault's dice apart from the coin of `probability`. */
const DICE_SALT = 0x2c1b_3c6d;

/** What the injector does for faults that are there for a time. */
export interface StandingHost {
  fault(name: string): LayerFault | undefined;
  at(ms: Millis, active: ActiveRule, resume: (now: Millis) => void): void;
  /** Whether the limits of the rule let it act now. */
  take(active: ActiveRule, now: Millis, skb: SkBuff | undefined): boolean;
  /** How far the clock has jumped by now. */
  jumpedMs(): Millis;
  note(active: ActiveRule, op: FaultOp, now: Millis): void;
}

/** Begins and ends them at their times, and flaps them. */
export class StandingFaults {
  private readonly host: StandingHost;

  constructor(host: StandingHost) {
    this.host = host;
  }

  schedule(active: ActiveRule, now: Millis): void {
    const { fromMs, toMs } = active.limit.window;
    const { flapMs } = active.rule.limit;
    if (toMs <= now) return;
    const begin = (t: Millis): void => {
      const jumped = this.host.jumpedMs();
      this.begin(active, t);
      if (flapMs !== undefined) this.flap(active, t + this.host.jumpedMs() - jumped + flapMs, flapMs);
    };
    if (Number.isFinite(toMs)) this.host.at(toMs, active, (t) => this.end(active, t));
    if (fromMs > now) this.host.at(fromMs, active, (t) => !active.removed && begin(t));
    else begin(now);
  }

  end(active: ActiveRule, now: Millis): void {
    const { endFault } = active;
    if (endFault === undefined) return;
    active.endFault = undefined;
    endFault(now);
    const { action } = active.rule;
    if (action.kind === 'layer') this.host.note(active, { op: 'end', name: action.name }, now);
  }

  private begin(active: ActiveRule, now: Millis): void {
    const { action, at } = active.rule;
    if (action.kind !== 'layer' || active.endFault !== undefined) return;
    const { name, args } = action;
    this.host.note(active, { op: 'layer', name, args }, now);
    if (faultShape(at.layer, name)?.counts !== true) active.limit.hits++;
    active.endFault = this.host.fault(name)!.begin!(this.caseOf(active), now);
  }

  /** On for a period, off for a period, and so on until its time is over. */
  private flap(active: ActiveRule, at: Millis, periodMs: Millis): void {
    this.host.at(at, active, (now) => {
      if (active.removed || now >= active.limit.window.toMs) return;
      const jumped = this.host.jumpedMs();
      if (active.endFault === undefined) this.begin(active, now);
      else this.end(active, now);
      this.flap(active, at + this.host.jumpedMs() - jumped + periodMs, periodMs);
    });
  }

  /** How an engine sees the rule. */
  caseOf(active: ActiveRule): FaultCase {
    if (active.faultCase !== undefined) return active.faultCase;
    const { action, at, seed } = active.rule;
    const read = action.kind === 'layer' ? readFaultArgs(at.layer, action.name, action.args) : undefined;
    active.faultCase = {
      params: read?.params ?? {},
      dev: read?.wrong === undefined ? read?.dev : undefined,
      rng: new SeededRng((seed ^ DICE_SALT) >>> 0),
      takes: (now, skb) => this.host.take(active, now, skb),
      later: (ms, run) => this.host.at(ms, active, run),
    };
    return active.faultCase;
  }
}
