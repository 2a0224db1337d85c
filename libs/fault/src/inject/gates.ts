import type { LayerEnv, Millis, SkbGate, TraceProbe } from '@skbus/skb';
import type { SeamDir } from '../rule.ts';
import { leaves, SEAMS } from '../seams.ts';
import type { FaultInjector, FaultPoint } from './injector.ts';

/**
 * Puts the injector where skbs leave the layer, and keeps it away from there while no rule says anything about it. `now`: the
 * time of the batch that is open. What comes in, and messages, the shell offers itself.
 */
export function openGates(env: LayerEnv, injector: FaultInjector, now: () => Millis): void {
  const rows = SEAMS[env.layer] ?? [];
  // What a driver has received is in its memory until the batch ends.
  const borrowed = (dir: SeamDir): boolean => env.layer === 'nic' && dir === 'rx';
  const out = new Map(
    rows
      .filter((r) => r.carries === 'skb' && r.func !== 'wire' && leaves(r))
      .map((r) => [r.func, injector.point(r.dir, r.func, borrowed(r.dir))]),
  );
  const outGate: NonNullable<LayerEnv['outGate']> = (to, skb, instance) => {
    const p = out.get(to);
    if (p?.rules === undefined) env.leave(to, skb, instance);
    else injector.offer(p, { skb, go: (s) => env.leave(to, s!, instance) }, now());
  };
  const wire = (dir: SeamDir): FaultPoint | undefined =>
    rows.some((r) => r.func === 'wire') ? injector.point(dir, 'wire', borrowed(dir)) : undefined;
  const wireGate = (p: FaultPoint): SkbGate | undefined =>
    p.rules && ((skb, at, go) => injector.offer(p, { skb, go: (s, t) => go(s!, t) }, at));
  const rx = wire('rx');
  const tx = wire('tx');
  const update = (): void => {
    env.outGate = [...out.values()].some((p) => p.rules !== undefined) ? outGate : undefined;
    env.wireRxGate = rx && wireGate(rx);
    env.wireTxGate = tx && wireGate(tx);
    env.setProbe(probeOf(injector, now));
  };
  injector.onRulesChanged = update;
  update();
}

/** Trace points inside functions; undefined: no rule sits at one. */
function probeOf(injector: FaultInjector, now: () => Millis): TraceProbe | undefined {
  const points = injector.tracePoints();
  if (points.size === 0) return undefined;
  return (name, skb) => {
    const p = points.get(name);
    return p !== undefined && injector.reaches(p, skb, now());
  };
}
