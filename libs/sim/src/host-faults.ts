import { LAYERS, type Layer } from '@skbus/contracts';
import {
  actsOnTraffic,
  formatRuleError,
  parseMillis,
  parseRule,
  type FaultDecision,
  type FaultOp,
  type FaultRule,
} from '@skbus/fault';
import type { Millis } from '@skbus/skb';
import type { Host } from './host.ts';

/** How long a supervisor takes to have a process again in place of one that died. */
const REPLACED_MS: Millis = 50;

/** The fault rules of one host: what the orchestrator does for a stack. */
export class HostFaults {
  private readonly host: Host;
  /** Some rule has changed bytes, or may have. */
  lies = false;
  private readonly order = new Map<string, number>();

  constructor(host: Host) {
    this.host = host;
    for (const layer of LAYERS) host.shells[layer].faults.log.listener = (d) => this.suffer(d.op);
  }

  /** Throws what is wrong with the rule. */
  add(text: string, id = `f${this.order.size + 1}`): string {
    const { rule, error } = parseRule(text, { id });
    if (rule === undefined) throw new Error(formatRuleError(text, error));
    const order = this.order.get(rule.id) ?? this.order.size + 1;
    const shell = this.host.shells[rule.at.layer as Layer];
    if (shell === undefined) throw new Error(`${rule.at.layer} is no layer of a simulated host`);
    shell.setRule(rule, { order, sinceMs: shell.now });
    this.order.set(rule.id, order);
    this.lies ||= changesBytes(rule);
    this.schedule(rule);
    return rule.id;
  }

  /** One rule, or all of them. */
  remove(id?: string): void {
    for (const layer of LAYERS) {
      const shell = this.host.shells[layer];
      if (!shell.alive) continue;
      const ids = shell.faults.status().map((s) => s.rule.id);
      // what a rule held goes on in a batch of its layer
      for (const one of ids) if (id === undefined || one === id) shell.run((now) => shell.faults.remove(one, now));
    }
  }

  /** In the order of time. */
  log(): FaultDecision[] {
    return LAYERS.flatMap((l) => this.host.shells[l].faults.log.all()).sort((a, b) => a.atMs - b.atMs);
  }

  /** A fault of a service that waits for nothing but its time. */
  private schedule(rule: FaultRule): void {
    const { action, limit } = rule;
    if (action.kind !== 'service' || actsOnTraffic(rule)) return;
    const { clock } = this.host;
    clock.schedule(clock.now + (limit.afterMs ?? 0), 'program', () =>
      this.suffer({ op: 'service', name: action.name, args: action.args }),
    );
  }

  private suffer(op: FaultOp): void {
    if (op.op !== 'service') return;
    const { clock } = this.host;
    const [layer, time] = op.args;
    const forMs = time === undefined ? REPLACED_MS : (parseMillis(time) ?? 0);
    // Not by what it is doing: a process is ended from outside. An event loop that is blocked does as one that is stopped;
    // one that is cut off does here as one that is away.
    clock.schedule(clock.now, 'program', () => {
      if (op.name === 'hang' || op.name === 'slow') this.host.shells[layer as Layer].hang(forMs);
      else this.host.restart(layer as Layer, forMs);
    });
  }
}

const changesBytes = ({ action: a }: FaultRule): boolean =>
  ['set', 'truncate', 'hold', 'script'].includes(a.kind) ||
  (a.kind === 'netem' && a.spec.includes('corrupt')) ||
  (a.kind === 'layer' && a.name === 'tx-csum-unfinished');
