import type { SkFastOpen } from '@skbus/skb';
import { TCP_PSH } from '@skbus/wire';
import type { TcpContext } from './context.ts';
import { CA_LOSS } from './cong/cong.ts';
import { setCaState } from './ca-state.ts';
import {
  FastOpen,
  TFO_CLIENT_NO_COOKIE,
  TFO_COOKIE_UNAVAILABLE,
  TFO_DATA_NOT_ACKED,
  TFO_SYN_RETRANSMITTED,
} from './fastopen.ts';
import { retransmitLost } from './retransmit.ts';
import { makeRec } from './rtx-queue.ts';
import { markLost } from './scoreboard.ts';
import type { Segment } from './segment.ts';
import { rtxQueueAdd } from './new-data.ts';
import type { TcpSock } from './sock.ts';
import { syncMss, transmit } from './transmit.ts';

/** The client's side of Fast Open (RFC 7413 4.2.1). */

/** Room for options in a SYN with data, ours and those that middleboxes add. */
const MAX_TCP_OPTION_SPACE = 40;
const NO_COOKIE = new Uint8Array(0);

/** tcp_fastopen_cookie_check(): may data go with the SYN now, and with which cookie (undefined: without the option)? */
function cookieCheck(cx: TcpContext, sk: TcpSock): { data: boolean; option: FastOpen['option']; mss: number } {
  const cached = cx.fastopen.get(sk.laddr, sk.raddr);
  const mss = cached?.mss ?? 0;
  if (cx.fastopen.isDisabled(cx.now, cx.sysctl.tcpFastopenBlackholeTimeoutSec))
    return { data: false, option: undefined, mss };
  if ((cx.sysctl.tcpFastopen & TFO_CLIENT_NO_COOKIE) !== 0 || sk.fastopenNoCookie)
    return { data: true, option: undefined, mss };
  if (cached === undefined) return { data: false, option: { cookie: NO_COOKIE, exp: false }, mss };
  if (cached.cookie.length > 0) return { data: true, option: { cookie: cached.cookie, exp: cached.exp }, mss };
  return { data: false, option: { cookie: NO_COOKIE, exp: cached.tryExp === 1 }, mss };
}

/** tcp_fastopen_defer_connect(): with a cookie at hand connect() sends nothing yet, it waits for data. */
export const canDefer = (cx: TcpContext, sk: TcpSock): boolean => cookieCheck(cx, sk).data;

/** tcp_send_syn_data(): the first SYN, with data if there is a cookie, else with the wish for one. */
export function sendSynData(cx: TcpContext, sk: TcpSock, flags: number, wanted: SkFastOpen): void {
  cx.env.trace('tcp_send_syn_data');
  const { data, option, mss } = cookieCheck(cx, sk);
  const fo = new FastOpen();
  sk.fastopen = fo;
  fo.option = option;
  fo.asked = option !== undefined;
  fo.exp = option?.exp === true;
  if (!data && option !== undefined) fo.clientFail = TFO_COOKIE_UNAVAILABLE;
  let n = 0;
  if (data) {
    sk.mssClamp = mss > 0 ? mss : sk.advMss;
    if (sk.userMss > 0) sk.mssClamp = Math.min(sk.mssClamp, sk.userMss);
    syncMss(cx, sk, sk.mtu);
    n = Math.min(wanted.data.length, Math.max(0, Math.min(sk.mtu - 40, sk.mssClamp) - MAX_TCP_OPTION_SPACE));
    sk.write(n === wanted.data.length ? wanted.data : wanted.data.subarray(0, n));
  }
  fo.synData = n;
  transmit(cx, sk, 0, n, flags);
  fo.option = undefined;
  if (n > 0) {
    const rec = makeRec(1, 1 + n, TCP_PSH, sk.mssCache);
    rec.sentMs = cx.now;
    rtxQueueAdd(sk, rec);
    sk.packetsOut += rec.segs;
    cx.env.mib.inc('TcpExtTCPOrigDataSent');
  }
}

/** tcp_rcv_fastopen_synack(); true: the data was not taken and goes again, with the ACK of the SYN-ACK. */
export function rcvFastOpenSynAck(cx: TcpContext, sk: TcpSock, seg: Segment): boolean {
  const fo = sk.fastopen;
  if (fo === undefined || (!fo.asked && fo.synData === 0)) return false;
  const { mib } = cx.env;
  const cookie = fo.asked ? seg.fastOpen : undefined; // one that nobody asked for is ignored
  const unacked = fo.synData > 0 && sk.sndUna <= fo.synData;
  let tryExp = 0;
  if (fo.asked && sk.totalRetrans === 0 && cookie === undefined && fo.synData === 0) tryExp = fo.exp ? 2 : 1;
  cx.fastopen.set(sk.laddr, sk.raddr, {
    mss: seg.mss > 0 ? seg.mss : sk.mssClamp,
    cookie: cookie ?? NO_COOKIE,
    exp: seg.fastOpenExp,
    tryExp,
  });
  if (!unacked) {
    if (fo.synData > 0) {
      fo.synDataAcked = true;
      mib.inc('TcpExtTCPFastOpenActive');
      if (sk.delivered > 1) sk.delivered--; // SYN and data were two records but one packet
    }
    return false;
  }
  fo.clientFail = sk.totalRetrans > 0 ? TFO_SYN_RETRANSMITTED : TFO_DATA_NOT_ACKED;
  mib.inc('TcpExtTCPFastOpenActiveFail');
  return true;
}

/** tcp_non_congestion_loss_retransmit(): the data of the SYN again, which says nothing about congestion. */
export function retransmitSynData(cx: TcpContext, sk: TcpSock): void {
  for (let i = 0; i < sk.rtx.length; i++) markLost(cx, sk, sk.rtx.at(i));
  if (sk.caState !== CA_LOSS) {
    sk.highSeq = sk.sndNxt;
    sk.loss.priorSsthresh = 0;
    sk.loss.undoMarker = -1;
    setCaState(cx, sk, CA_LOSS);
  }
  retransmitLost(cx, sk);
}
