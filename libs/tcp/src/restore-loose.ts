import { TCP_LISTEN, type SkId, type SkRestore } from '@skbus/skb';
import { AccEcn, ACE_FAIL_RECV, OPT_FAIL_RECV, OPT_FAIL_SEND } from './accecn.ts';
import type { TcpContext } from './context.ts';
import type { ConnRecord } from './record.ts';
import { hashRequest } from './reqsk-queue.ts';
import { RequestSock } from './request.ts';
import type { TcpSock } from './sock.ts';
import { rtxSynAck } from './synack.ts';
import { TCP_TIMEWAIT_LEN_MS } from './sysctl.ts';
import { addTimeWait, TimeWaitSock } from './timewait.ts';

/** What is restored without a socket: half-open connections and TIME-WAITs. False: there is no place for it any more. */

/** A half-open connection: the SYN-ACK goes again at once, for its answer may have come while nobody was here. */
export function restoreRequest(cx: TcpContext, id: SkId, r: SkRestore, c: ConnRecord): boolean {
  const listener = cx.socks.get(r.listener ?? 0);
  if (listener === undefined || listener.state !== TCP_LISTEN) return false;
  if (cx.ehash.find(c.laddr, c.lport, c.raddr, c.rport) !== undefined) return false;
  const req = requestOf(cx, listener, c);
  req.id = id;
  hashRequest(cx, req);
  rtxSynAck(cx, req);
  cx.restored.requests++;
  return true;
}

export function requestOf(cx: TcpContext, listener: TcpSock, c: ConnRecord): RequestSock {
  const req = new RequestSock(listener);
  req.laddr = c.laddr;
  req.lport = c.lport;
  req.raddr = c.raddr;
  req.rport = c.rport;
  req.iss32 = c.iss;
  req.irs32 = c.irs;
  req.ack32 = c.ack32 !== 0 ? c.ack32 : (c.irs + 1) >>> 0;
  req.mtu = c.mtu;
  req.peerMss = c.mssClamp;
  req.advMss = c.advMss;
  req.tsOk = c.tsOk;
  req.tsRecent = c.tsRecent;
  req.tsOffset = c.tsOffset;
  req.sackOk = c.sackOk;
  req.ecnOk = c.ecnOk;
  if (c.accEcn) req.accecn = restoredAccEcn(cx, c);
  req.wscaleOk = c.wscaleOk;
  req.sndWscale = c.sndWscale;
  req.rcvWscale = c.rcvWscale;
  req.rcvWnd = c.rcvWnd;
  req.synAckMs = -1;
  return req;
}

/**
 * The counters of AccECN are gone. Ours go on from where they start; what the peer tells by its own is not believed any more,
 * and so nothing asks it to count.
 */
export function restoredAccEcn(cx: TcpContext, c: ConnRecord): AccEcn {
  const acc = new AccEcn();
  acc.synRcv = acc.prevEcn = c.synRcv;
  acc.fail = ACE_FAIL_RECV | OPT_FAIL_SEND | OPT_FAIL_RECV;
  return acc;
}

export function restoreTimeWait(cx: TcpContext, id: SkId, r: SkRestore, c: ConnRecord): boolean {
  if (cx.ehash.find(c.laddr, c.lport, c.raddr, c.rport) !== undefined) return false;
  const leftMs = c.lastsMs - (r.ageMs ?? 0);
  if (leftMs <= 0 || cx.twCount >= cx.sysctl.tcpMaxTwBuckets) return false;
  const tw = new TimeWaitSock();
  tw.id = id;
  tw.substate = c.state;
  tw.laddr = c.laddr;
  tw.lport = c.lport;
  tw.raddr = c.raddr;
  tw.rport = c.rport;
  tw.boundAddr = c.boundAddr ? c.laddr : 0;
  tw.explicitPort = c.explicitPort;
  tw.sndNxt32 = c.iss;
  tw.rcvNxt32 = c.irs;
  tw.rcvWnd = c.rcvWnd;
  tw.rcvWscale = c.rcvWscale;
  tw.tsOk = c.tsOk;
  tw.tsRecent = c.tsRecent;
  if (c.tsOk) tw.tsRecentMs = cx.now - (r.ageMs ?? 0);
  tw.tsOffset = c.tsOffset;
  tw.tos = c.tos;
  tw.ttl = c.ttl;
  addTimeWait(cx, tw, Math.min(leftMs, TCP_TIMEWAIT_LEN_MS));
  cx.restored.timeWaits++;
  return true;
}
