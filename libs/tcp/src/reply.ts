import { IPPROTO_TCP } from '@skbus/skb';
import { TCP_ACK, TCP_RST, type TcpOptions } from '@skbus/wire';
import type { TcpContext } from './context.ts';
import type { Segment } from './segment.ts';

/** Replies that no sock sends: resets, and ACKs for TIME-WAITs and requests (ip_send_unicast_reply). */

/**
 * tcp_v4_send_reset(): the answer to a segment that has no business here (RFC 9293 3.5.2). Never to a reset, and never
 * to a signed segment, whose sender would not believe an unsigned one.
 */
export function sendReset(cx: TcpContext, seg: Segment): void {
  const { env, out } = cx;
  if ((seg.flags & TCP_RST) !== 0 || seg.auth !== undefined) return;
  env.trace('tcp_v4_send_reset', seg.skb);
  fillReply(cx, seg);
  out.options = undefined;
  out.window = 0;
  if (seg.hasAck) {
    out.flags = TCP_RST;
    out.seq32 = seg.ack32;
    out.ack32 = 0;
  } else {
    out.flags = TCP_RST | TCP_ACK;
    out.seq32 = 0;
    out.ack32 = (seg.seq32 + seg.len + (seg.syn ? 1 : 0) + (seg.fin ? 1 : 0)) >>> 0;
  }
  if (env.tracing) {
    env.trace('tcp_send_reset', seg.skb, {
      sport: seg.dport,
      dport: seg.sport,
      saddr: seg.daddr,
      daddr: seg.saddr,
      protocol: IPPROTO_TCP,
    });
  }
  send(cx);
  env.mib.inc('TcpOutSegs');
  env.mib.inc('TcpOutRsts');
}

/** tcp_v4_send_ack() */
export function replyAck(
  cx: TcpContext,
  seg: Segment,
  a: {
    seq32: number;
    ack32: number;
    window: number;
    ts: { val: number; ecr: number } | undefined;
    tos: number;
    ttl: number;
  },
): void {
  const { env, out } = cx;
  env.trace('tcp_v4_send_ack', seg.skb);
  fillReply(cx, seg);
  out.flags = TCP_ACK;
  out.seq32 = a.seq32;
  out.ack32 = a.ack32;
  out.window = a.window;
  out.tos = a.tos;
  out.ttl = a.ttl;
  out.options = a.ts === undefined ? undefined : ({ tsVal: a.ts.val, tsEcr: a.ts.ecr } satisfies TcpOptions);
  send(cx);
  env.mib.inc('TcpOutSegs');
}

function fillReply(cx: TcpContext, seg: Segment): void {
  const { out } = cx;
  out.saddr = seg.daddr;
  out.daddr = seg.saddr;
  out.sport = seg.dport;
  out.dport = seg.sport;
  out.tos = 0;
  out.ttl = 0;
  out.oif = 0;
  out.df = true;
  out.priority = 0;
  out.mark = 0;
  out.mss = 0;
  out.hasTs = false;
}

function send(cx: TcpContext): void {
  cx.env.pass('ip_queue_xmit', cx.out.build(cx.env, cx.now, 0));
}
