import type { Millis, SkBuff } from '@skbus/skb';
import type { NetemVerdict } from '../netem/netem.ts';
import type { FaultOp } from '../rule.ts';
import type { HeaderStart } from '../filter/subject.ts';
import type { ActiveRule } from './active-rule.ts';
import { canMark } from './corrupt.ts';

const NOTHING: readonly FaultOp[] = [];

/** What the rule's action comes to for the one that its limit has just let through. */
export function opsOf(
  r: ActiveRule,
  { skb, starts, bytes }: { skb: SkBuff | undefined; starts: HeaderStart; bytes: number },
  now: Millis,
): readonly FaultOp[] {
  const a = r.rule.action;
  switch (a.kind) {
    case 'netem':
      return netemOps(r.netem!.enqueue(bytes, now, skb !== undefined && canMark(skb, starts)), now, r);
    case 'script':
      return a.steps.get(r.limit.matched) ?? NOTHING;
    case 'drop':
      return [{ op: 'drop', reason: a.reason }];
    case 'truncate':
      return [{ op: 'truncate', bytes: a.bytes }];
    case 'set':
      return [{ op: 'set', fields: a.fields, csum: a.csum }];
    case 'hold':
      return [{ op: 'hold' }];
    default:
      return [{ op: a.kind, name: a.name, args: a.args }];
  }
}

function netemOps(v: NetemVerdict, now: Millis, r: ActiveRule): readonly FaultOp[] {
  if (v.overlimit) return [{ op: 'drop', reason: 'QDISC_DROP' }];
  if (v.copies.length === 0) return [{ op: 'drop', reason: 'FAULT_INJECTED' }];
  const copies = v.copies.map(({ atMs, ahead, corruptBit, markCe: ce }) => ({
    delayMs: ahead ? 0 : Math.max(0, atMs - now),
    ...(corruptBit >= 0 ? { flip: corruptBit } : {}),
    ...(ce ? { ce } : {}),
  }));
  const [one] = copies;
  if (copies.length === 1 && one!.delayMs === 0 && one!.flip === undefined && one!.ce !== true) {
    // nothing happened to it
    r.netem!.left();
    return NOTHING;
  }
  return [{ op: 'send', copies }];
}
