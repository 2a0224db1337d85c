import { TCP_STATE_NAMES, TCP_SYN_SENT } from '@skbus/skb';
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, type TcpOptions } from '@skbus/wire';
import {
  fitOption,
  maySendOption,
  optionBytes,
  optionDue,
  optionOf,
  optionSent,
  sendsOption,
  type AccEcn,
} from './accecn.ts';
import { CaEvent } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { ecnSend } from './ecn.ts';
import type { OutSegment } from './out-segment.ts';
import { toWire } from './sequence.ts';
import { chargeSent } from './small-queue.ts';
import type { TcpSock } from './sock.ts';
import { TCP_ATO_MIN_MS } from './sysctl.ts';
import { stopTimer, Timer } from './timers.ts';
import { dontFragment } from './dont-fragment.ts';
import { inUrgentMode, setUrgentPointer } from './urgent.ts';
import { selectWindow } from './window.ts';

const U16_MAX = 65_535;
/** Four blocks fit beside nothing, three beside timestamps (RFC 2018 3). */
const SACK_MAX = 4;
const SACK_MAX_WITH_TS = 3;

/**
 * tcp_transmit_skb(): builds one segment (up to 64 KiB, the driver cuts it) from the send queue and hands it to IP.
 * `len` bytes from position `seq`; the acknowledgement is what the socket layer has confirmed.
 */
export function transmit(
  cx: TcpContext,
  sk: TcpSock,
  seq: number,
  len: number,
  flags: number,
  mss = currentMss(cx, sk),
): void {
  const { env, out } = cx;
  fillAddress(cx, out, sk);
  out.connected = true;
  out.seq32 = toWire(sk.iss, seq);
  out.flags = flags;
  out.ack32 = (flags & TCP_ACK) !== 0 ? toWire(sk.irs, sk.rcvAck) : 0;
  out.mss = mss;
  // so that the peer's receive offload passes it on at once
  if (len > out.mss) out.flags |= TCP_PSH;
  fillOptions(cx, sk, out);
  if (inUrgentMode(sk)) setUrgentPointer(sk, out, seq);
  out.window = windowField(cx, sk, flags);
  if (sk.ecnFlags !== 0) ecnSend(sk, out, seq, len);
  const skb = out.build(env, cx.now, len);
  if (len > 0) {
    // a SYN's data is behind its sequence number
    sk.sendQueue.slice((flags & TCP_SYN) !== 0 ? seq : seq - 1, len, skb.frags);
    skb.dataLen = len;
  }
  if (sk.confirmNeigh) {
    skb.confirm = true;
    sk.confirmNeigh = false;
  }
  const segs = Math.max(1, skb.gsoSegs);
  if ((flags & TCP_ACK) !== 0) eventAckSent(cx, sk);
  if (len > 0) {
    eventDataSent(cx, sk);
    sk.dataSegsOut += segs;
    sk.bytesSent += len;
    chargeSent(cx, sk, skb, len);
  }
  const end = seq + len + ((flags & (TCP_SYN | TCP_FIN)) !== 0 ? 1 : 0);
  if (end > sk.sndNxt || end === seq) env.mib.inc('TcpOutSegs', segs);
  sk.segsOut += segs;
  if (env.fails('tcp_transmit_skb', skb)) return;
  env.pass('ip_queue_xmit', skb);
}

/** tcp_send_ack(): a segment with nothing but the acknowledgement. */
export function sendAck(cx: TcpContext, sk: TcpSock, flags = 0): void {
  cx.env.trace('tcp_send_ack');
  transmit(cx, sk, acceptableSeq(sk), 0, TCP_ACK | flags);
}

/** tcp_send_active_reset(): we give up on the connection and say so. */
export function sendActiveReset(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_send_active_reset');
  cx.env.mib.inc('TcpOutRsts');
  transmit(cx, sk, acceptableSeq(sk), 0, TCP_ACK | TCP_RST);
  if (cx.env.tracing) {
    const { id, lport, rport, laddr, raddr } = sk;
    const state = `TCP_${TCP_STATE_NAMES[sk.state]}`;
    cx.env.trace('tcp_send_reset', undefined, {
      sk: id,
      state,
      sport: lport,
      dport: rport,
      saddr: laddr,
      daddr: raddr,
    });
  }
}

/** Payload of one segment now: what SACK blocks take is missing (tcp_current_mss). */
export function currentMss(cx: TcpContext, sk: TcpSock): number {
  const blocks = sk.ofo.length > 0 || sk.dsackEnd > sk.dsackStart ? sackCount(sk) : 0;
  if (sk.accecn !== undefined && sendsOption(cx, sk.accecn)) return sk.mssCache - accEcnSpace(sk, sk.accecn, blocks);
  return blocks === 0 ? sk.mssCache : sk.mssCache - 4 - 8 * blocks;
}

/** What AccECN's option and SACK blocks take; an option that goes only now and then has its room reserved. */
function accEcnSpace(sk: TcpSock, acc: AccEcn, sacks: number): number {
  const used = sk.tsOk ? 12 : 0;
  const [fields, blocks] = fitOption(used, sacks, acc.minFields);
  return (fields < 0 ? used + (sacks > 0 ? 4 + 8 * sacks : 0) : optionBytes(used, fields, blocks)) - used;
}

/** tcp_sync_mss(): what a segment may carry on a path of this MTU, to this peer, with our options. */
export function syncMss(cx: TcpContext, sk: TcpSock, mtu: number): void {
  sk.mtu = mtu;
  const { mtup } = sk;
  if (mtup !== undefined && mtup.searchHigh > mtu) mtup.searchHigh = mtu;
  let mss = Math.min(mtu - 40, sk.mssClamp);
  mss = Math.max(mss, cx.sysctl.tcpMinSndMss) - (sk.tsOk ? 12 : 0);
  // tcp_bound_to_half_wnd(): a peer with a tiny window shall get at least two segments into it (RFC 9293 3.8.6.2.1)
  const cut = sk.maxWindow > 536 ? sk.maxWindow >>> 1 : sk.maxWindow;
  if (cut > 0 && mss > cut) mss = Math.max(cut, 68 - 40);
  sk.mssCache = mtup === undefined ? mss : Math.min(mss, mtup.searchLow - 40 - (sk.tsOk ? 12 : 0));
}

/** tcp_acceptable_seq(): a sequence number that the peer takes although it may have shrunk its window. */
export function acceptableSeq(sk: TcpSock): number {
  return sk.sndNxt <= sk.sndWndEnd || sk.sndNxt - sk.sndWndEnd < 1 << sk.sndWscale ? sk.sndNxt : sk.sndWndEnd;
}

function fillAddress(cx: TcpContext, out: OutSegment, sk: TcpSock): void {
  out.saddr = sk.laddr;
  out.daddr = sk.raddr;
  out.sport = sk.lport;
  out.dport = sk.rport;
  out.tos = sk.tos;
  out.ttl = sk.ttl;
  out.oif = sk.oif;
  out.df = dontFragment(cx, sk);
  out.priority = sk.priority;
  out.mark = sk.mark;
}

function windowField(cx: TcpContext, sk: TcpSock, flags: number): number {
  if ((flags & TCP_SYN) !== 0) return Math.min(sk.rcvAdv - sk.rcvAck, U16_MAX); // RFC 7323 2.2: never scaled
  // Before the peer's SYN there is nothing to acknowledge, so there is no window either.
  return sk.state === TCP_SYN_SENT ? 0 : selectWindow(cx, sk);
}

function fillOptions(cx: TcpContext, sk: TcpSock, out: OutSegment): void {
  out.options = undefined;
  const syn = (out.flags & TCP_SYN) !== 0;
  out.hasTs = syn ? cx.sysctl.tcpTimestamps : sk.tsOk;
  if (out.hasTs) {
    out.tsVal = cx.tsNow(sk.tsOffset);
    out.tsEcr = sk.tsRecent;
  }
  if (syn) out.options = synOptions(cx, sk, out);
  else if (sk.accecn !== undefined && optionDue(cx, sk, sk.accecn)) out.options = accEcnOptions(cx, sk, sk.accecn, out);
  else if (sk.sackOk && (sk.sackBlocks.length > 0 || sk.dsackEnd > sk.dsackStart)) out.options = sackOptions(sk, out);
}

/** tcp_established_options() with AccECN's, for which SACK blocks may have to give way. */
function accEcnOptions(cx: TcpContext, sk: TcpSock, acc: AccEcn, out: OutSegment): TcpOptions {
  const used = sk.tsOk ? 12 : 0;
  const [fields, blocks] = fitOption(used, sackCount(sk), acc.minFields);
  if (fields >= 0) optionSent(cx, sk, acc);
  const o = sackOptions(sk, out, blocks);
  if (fields >= 0) o.accecn = optionOf(fields, acc);
  return o;
}

/** tcp_syn_options(): all that we can do, also when the peer's SYN has crossed ours and could do less. */
function synOptions(cx: TcpContext, sk: TcpSock, out: OutSegment): TcpOptions {
  const o: TcpOptions = { mss: sk.advMss };
  if (out.hasTs) {
    o.tsVal = out.tsVal;
    o.tsEcr = out.tsEcr;
  }
  if (cx.sysctl.tcpWindowScaling) o.wscale = sk.rcvWscale;
  if (cx.sysctl.tcpSack) o.sackPermitted = true;
  const { accecn } = sk;
  if (accecn !== undefined && (out.flags & TCP_ACK) !== 0 && maySendOption(cx, accecn))
    o.accecn = optionOf(3, undefined);
  const fastOpen = sk.fastopen?.option;
  if (fastOpen !== undefined) {
    o.fastOpen = fastOpen.cookie;
    if (fastOpen.exp) o.fastOpenExp = true;
  }
  return o;
}

function sackCount(sk: TcpSock): number {
  if (!sk.sackOk) return 0;
  const dsack = sk.dsackEnd > sk.dsackStart ? 1 : 0;
  return Math.min(sk.sackBlocks.length + dsack, sk.tsOk ? SACK_MAX_WITH_TS : SACK_MAX);
}

/** The duplicate goes first (RFC 2883 4), then the newest blocks. */
function sackOptions(sk: TcpSock, out: OutSegment, most = sackCount(sk)): TcpOptions {
  const sack: [number, number][] = [];
  if (sk.dsackEnd > sk.dsackStart) sack.push([toWire(sk.irs, sk.dsackStart), toWire(sk.irs, sk.dsackEnd)]);
  for (const [start, end] of sk.sackBlocks) {
    if (sack.length === most) break;
    sack.push([toWire(sk.irs, start), toWire(sk.irs, end)]);
  }
  sk.dsackStart = sk.dsackEnd = 0;
  const o: TcpOptions = { sack };
  if (sk.tsOk) {
    o.tsVal = out.tsVal;
    o.tsEcr = out.tsEcr;
  }
  return o;
}

/** tcp_event_ack_sent(): whatever ACK was waiting has just gone out. */
function eventAckSent(cx: TcpContext, sk: TcpSock): void {
  const { compressed } = sk;
  if (compressed !== undefined && compressed.acks > 0) {
    cx.env.mib.inc('TcpExtTCPAckCompressed', compressed.acks);
    compressed.acks = 0;
  }
  if (sk.ackPending && sk.quickAcks > 0 && --sk.quickAcks === 0) sk.atoMs = TCP_ATO_MIN_MS;
  // What the socket layer has yet to confirm is still owed an ACK.
  sk.ackPending = sk.rcvAck < sk.rcvNxt;
  sk.ackPushed = 0;
  sk.ackNoMem = false;
  sk.ackNow = false;
  sk.ackOnConfirm = false;
  if (sk.dupAcksOwed > 0) sk.dupAcksOwed--;
  stopTimer(sk, Timer.DelAck);
}

/** tcp_event_data_sent(): an answer within the ACK timeout makes this an interactive session. */
function eventDataSent(cx: TcpContext, sk: TcpSock): void {
  if (sk.inFlight === 0) sk.cc.cwndEvent?.(cx, sk, CaEvent.TxStart);
  sk.lastSndMs = cx.now;
  if (cx.now - sk.lastRcvMs < sk.atoMs && sk.pingpong < 255) sk.pingpong++;
}
