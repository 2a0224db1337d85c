import {
  FaultCases,
  type FaultCase,
  type LayerFaults,
  type Millis,
  type SkBuff,
  type SockOf,
  TCP_CLOSE,
  TCP_LISTEN,
  TCP_STATE_NAMES,
} from '@skbus/skb';
import { get16, get32, put32 } from '@skbus/wire';
import type { Conn } from './conn.ts';
import type { TcpContext } from './context.ts';
import { TcpSock } from './sock.ts';
import { synFlood } from './syn-flood.ts';
import { windowUpdateDue } from './window.ts';

/** What a rule can tell this TCP to do wrong (libs/fault: LAYER_FAULTS); nothing is asked while there is no such rule. */
export class TcpFaults {
  /** Nobody reads, as far as __tcp_select_window() can see. */
  readonly zeroWindow: FaultCases;
  /** All of ip_local_port_range is in use. */
  readonly portsTaken = new FaultCases();

  constructor(windowChanged: (now: Millis) => void) {
    this.zeroWindow = new FaultCases(windowChanged);
  }

  /** Of this sock the window is shut. */
  shuts({ lport, rport }: TcpSock): boolean {
    return this.zeroWindow.list.some(({ params: { port } }) => port === undefined || port === lport || port === rport);
  }
}

/** `rcv`: takes a segment as from IP. */
export function tcpFaults(cx: TcpContext, rcv: (skb: SkBuff, now: Millis) => void): LayerFaults {
  return {
    'zero-window': { begin: cx.faults.zeroWindow.begin },
    'ports-taken': { begin: cx.faults.portsTaken.begin },
    'seq-jump': { hit: (c, skb) => seqJump(cx, c, skb) },
    'syn-flood': { begin: (c, now) => synFlood(cx.env, c, rcv, now) },
  };
}

/** As after a read(): who was told of no window, or of a small one, hears of what there is now (tcp_cleanup_rbuf). */
export function tellWindows(cx: TcpContext): void {
  for (const sk of cx.socks.values()) {
    if (sk.state === TCP_CLOSE || sk.state === TCP_LISTEN || !windowUpdateDue(cx, sk)) continue;
    sk.ackNow = true;
    cx.touch(sk);
  }
}

type Shown = ReturnType<SockOf>;

export function sockById(cx: TcpContext, id: number): Shown {
  const sk = cx.socks.get(id);
  return sk === undefined ? undefined : shown(sk);
}

/** `skb`: the TCP header at `data`. */
export function sockOf(cx: TcpContext, skb: SkBuff, dir: 'rx' | 'tx'): Shown {
  const { buf, data, networkHeader: ip, flow } = skb;
  if (!skb.mayPull(4)) return undefined;
  const [sport, dport] = [get16(buf, data), get16(buf, data + 2)];
  if (dir === 'tx' || flow !== undefined) {
    const sk = flow && cx.ehash.find(flow.saddr, sport, flow.daddr, dport);
    return sk && shown(sk);
  }
  if (ip < 0) return undefined;
  const [saddr, daddr] = [get32(buf, ip + 12), get32(buf, ip + 16)];
  const sk = cx.ehash.find(daddr, dport, saddr, sport) ?? cx.listeners.find(daddr, dport, saddr, sport);
  return sk && shown(sk);
}

const shown = (sk: Conn): Shown => ({ id: sk instanceof TcpSock ? sk.id : 0, state: TCP_STATE_NAMES[sk.state] ?? '' });

/** From this segment on all numbers that the connection sends, and what it takes for theirs in ACKs, are others. */
function seqJump(cx: TcpContext, { params }: FaultCase, skb: SkBuff): void {
  const { flow, data, buf } = skb;
  if (flow === undefined || !skb.mayPull(20)) return;
  const sk = cx.ehash.find(flow.saddr, get16(buf, data), flow.daddr, get16(buf, data + 2));
  if (!(sk instanceof TcpSock)) return;
  const by = params.bytes!;
  sk.iss = (sk.iss + by) >>> 0;
  // the sum is the pseudo-header's: it says nothing of the number
  put32(buf, data + 4, (get32(buf, data + 4) + by) >>> 0);
}
