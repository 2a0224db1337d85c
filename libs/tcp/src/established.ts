import { AF_INET } from '@skbus/skb';
import { TCP_ACK, TCP_PSH } from '@skbus/wire';
import { accEcnReceived } from './accecn.ts';
import { tcpAck } from './ack.ts';
import { FLAG_SLOWPATH, FLAG_UPDATE_TS_RECENT } from './ack-state.ts';
import type { TcpContext } from './context.ts';
import { confirmForOrphan, dataQueue, queueInOrder } from './data-queue.ts';
import { validateIncoming } from './input-steps.ts';
import { measureRcvRttTs } from './rcv-space.ts';
import { sendChallengeAck } from './rate-limit.ts';
import type { Segment } from './segment.ts';
import { toWire } from './sequence.ts';
import type { TcpSock } from './sock.ts';
import { replaceTsRecent } from './timestamps.ts';
import { tcpUrg } from './urgent.ts';

/** tcp_rcv_established(): nearly every segment is either the next data or an ACK; those take the short way. */
export function rcvEstablished(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  const { env } = cx;
  if (env.fails('tcp_rcv_established', seg.skb)) return;
  if (env.tracing) traceProbe(cx, sk, seg);
  if (sk.accecn === undefined && isPredicted(sk, seg) && fastPath(cx, sk, seg)) return;
  if (!seg.hasAck && (seg.flags & 6) === 0) {
    env.drop(seg.skb, 'TCP_FLAGS');
    return;
  }
  if (!validateIncoming(cx, sk, seg, true)) return;
  if (sk.accecn !== undefined) accEcnReceived(sk, sk.accecn, seg);
  const verdict = tcpAck(cx, sk, seg, FLAG_UPDATE_TS_RECENT | FLAG_SLOWPATH);
  if (verdict !== 'ok' && verdict !== 'old') {
    // RFC 9293 3.10.7.4, fifth, and RFC 5961 5.2: an ACK of what was not sent is answered (tcp_ack does the one too old)
    if (verdict === 'TCP_ACK_UNSENT_DATA') sendChallengeAck(cx, sk);
    env.drop(seg.skb, verdict);
    return;
  }
  if (seg.hasTs) measureRcvRttTs(cx, sk, seg);
  tcpUrg(cx, sk, seg);
  dataQueue(cx, sk, seg);
  env.trace('tcp_data_snd_check');
  confirmForOrphan(cx, sk);
}

/** Header prediction (tp->pred_flags): just ACK, maybe PSH; the window as before; next in sequence; nothing waiting. */
function isPredicted(sk: TcpSock, seg: Segment): boolean {
  return (
    (seg.flags & ~TCP_PSH) === TCP_ACK &&
    seg.seq === sk.rcvNxt &&
    seg.ack <= sk.sndNxt &&
    (seg.ack >= sk.sndUna || seg.len === 0) &&
    seg.window === sk.predWindow &&
    sk.ofo.length === 0 &&
    sk.urgent === undefined &&
    seg.sack.length === 0 &&
    seg.hasTs === sk.tsOk &&
    seg.len <= sk.rcvWindow &&
    (!seg.hasTs || ((seg.tsVal - sk.tsRecent) | 0) >= 0)
  );
}

/** False: not for the short way after all. */
function fastPath(cx: TcpContext, sk: TcpSock, seg: Segment): boolean {
  const { env } = cx;
  if (seg.len === 0) {
    if (seg.ack === sk.sndUna) return false;
    // RFC 7323 4.3: what it acknowledges has no part in whether its timestamp is the newest
    if (seg.ack < sk.sndUna) replaceTsRecent(cx, sk, seg);
    tcpAck(cx, sk, seg, FLAG_UPDATE_TS_RECENT);
    env.consume(seg.skb);
    env.trace('tcp_data_snd_check');
    return true;
  }
  if (sk.unconfirmed.length > 64) return false;
  if (seg.hasTs && seg.seq <= sk.rcvWup) {
    sk.tsRecent = seg.tsVal;
    sk.tsRecentMs = cx.now;
  }
  if (seg.hasTs) measureRcvRttTs(cx, sk, seg);
  env.mib.inc('TcpExtTCPHPHits');
  queueInOrder(cx, sk, seg);
  if (seg.ack !== sk.sndUna) {
    tcpAck(cx, sk, seg, 0);
    env.trace('tcp_data_snd_check');
  }
  env.trace('tcp_data_ready', seg.skb);
  return true;
}

/** tcp_probe: the connection as each segment finds it (include/trace/events/tcp.h); srtt in µs. */
function traceProbe(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  cx.env.trace('tcp_probe', seg.skb, {
    family: AF_INET,
    saddr: sk.laddr,
    daddr: sk.raddr,
    sport: sk.lport,
    dport: sk.rport,
    mark: seg.skb.mark,
    data_len: seg.len,
    snd_nxt: toWire(sk.iss, sk.sndNxt),
    snd_una: toWire(sk.iss, sk.sndUna),
    snd_cwnd: sk.cwnd,
    ssthresh: sk.ssthresh,
    snd_wnd: sk.sndWnd,
    srtt: Math.round(sk.rtt.srttMs * 1000),
    rcv_wnd: sk.rcvWindow,
    sock_cookie: sk.id,
  });
}
