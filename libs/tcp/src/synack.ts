import { TCP_ACK, TCP_SYN, tcpOptionsLen, type TcpOptions } from '@skbus/wire';
import type { TcpContext } from './context.ts';
import { optionOf } from './accecn.ts';
import { ecnMakeSynAck } from './ecn.ts';
import type { RequestSock } from './request.ts';

/** tcp_v4_send_synack(). `tsNow`: the timestamp clock without its offset, which a SYN cookie writes options into. */
export function sendSynAck(cx: TcpContext, req: RequestSock, tsNow = cx.tsNow(0)): void {
  const { env, out } = cx;
  env.trace('tcp_v4_send_synack');
  // it is sent again by the request's timer
  if (env.fails('tcp_make_synack')) return;
  out.saddr = req.laddr;
  out.daddr = req.raddr;
  out.sport = req.lport;
  out.dport = req.rport;
  out.seq32 = req.iss32;
  out.ack32 = req.ack32;
  out.flags = TCP_SYN | TCP_ACK | ecnMakeSynAck(req);
  out.window = Math.min(req.rcvWnd, 65_535);
  out.tos = req.listener.tos;
  out.ttl = req.listener.ttl;
  out.oif = 0;
  out.df = true;
  out.priority = req.listener.priority;
  out.mark = req.listener.mark;
  out.mss = 0;
  out.hasTs = false;
  const o: TcpOptions = { mss: req.advMss };
  if (req.tsOk) {
    o.tsVal = (tsNow + req.tsOffset) >>> 0;
    o.tsEcr = req.tsRecent;
  }
  if (req.wscaleOk) o.wscale = req.rcvWscale;
  if (req.sackOk) o.sackPermitted = true;
  if (req.fastOpen !== undefined && req.retrans === 0) {
    o.fastOpen = req.fastOpen.cookie;
    if (req.fastOpen.exp) o.fastOpenExp = true;
  }
  fitAccEcn(cx, req, o);
  out.options = o;
  const skb = out.build(env, cx.now, 0);
  skb.confirm = false;
  env.mib.inc('TcpOutSegs');
  env.trace('ip_build_and_send_pkt', skb);
  env.pass('ip_queue_xmit', skb);
}

/** The counters of a SYN-ACK are where they start. They do not go again: some boxes drop what they do not know. */
function fitAccEcn(cx: TcpContext, req: RequestSock, o: TcpOptions): void {
  if (req.accecn === undefined || cx.sysctl.tcpEcnOption === 0 || req.retrans > 0) return;
  for (let n = 3; n >= 0; n--) {
    o.accecn = optionOf(n, undefined);
    if (tcpOptionsLen(o) <= 40) return;
  }
  delete o.accecn;
}

/** tcp_rtx_synack() */
export function rtxSynAck(cx: TcpContext, req: RequestSock): void {
  const { env } = cx;
  env.trace('tcp_rtx_synack');
  req.retrans++;
  sendSynAck(cx, req);
  env.mib.inc('TcpRetransSegs');
  env.mib.inc('TcpExtTCPSynRetrans');
  if (env.tracing) {
    env.trace('tcp_retransmit_synack', undefined, {
      sport: req.lport,
      dport: req.rport,
      saddr: req.laddr,
      daddr: req.raddr,
    });
  }
}
