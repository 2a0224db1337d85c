import {
  TCP_CLOSE,
  TCP_LISTEN,
  type LayerEnv,
  type LayerFaults,
  type Millis,
  type RouteQuery,
  type RouteReply,
  type SkBuff,
  type SkCmd,
  type SkEvt,
  type SockOf,
} from '@skbus/skb';
import { delAckTimer, flushAcks } from './ack-output.ts';
import { abandonDetached, detachAll } from './adopt.ts';
import { tcpCommand } from './commands.ts';
import { TcpContext } from './context.ts';
import { FastOpenKeys, parseFastOpenKeys } from './fastopen.ts';
import { synAckPending } from './fastopen-server.ts';
import { sockById, sockOf, tcpFaults } from './faults.ts';
import { tcpErr } from './icmp-err.ts';
import { listSockets, sockInfo, type TcpSockInfo } from './info.ts';
import { tcpRcv } from './input.ts';
import { keepaliveTimer } from './keepalive.ts';
import { pacingTimer } from './pacing.ts';
import { RequestSock } from './request.ts';
import { retransmitLost } from './retransmit.ts';
import { requestTimer } from './reqsk-queue.ts';
import { askForRestore, restoringTimeout, restoringTimer, startRestoring } from './restoring.ts';
import { writeTimer } from './write-timer.ts';
import { type SmallQueue, wfree } from './small-queue.ts';
import { TcpSock } from './sock.ts';
import type { TcpSysctl } from './sysctl.ts';
import { stopTimer, Timer, timerAt } from './timers.ts';
import { TimeWaitSock, timeWaitTimer } from './timewait.ts';
import type { ProbeFloorMs } from './tlp.ts';
import { emitView, seamTimer, tellView } from './views.ts';
import { pushPending } from './write-xmit.ts';

/** What a TcpStack is made with. */
export interface TcpStackOptions {
  /** Transport → socket layer. Must not call back into the stack. */
  emit: (evt: SkEvt) => void;
  /** → IP layer. */
  ask: (q: RouteQuery) => void;
  /** 16 bytes for initial sequence numbers and ports; default: from env.rng. */
  secret?: Uint8Array | undefined;
  sysctl?: Partial<TcpSysctl> | undefined;
  /**
   * The least time a tail loss probe waits. Where the layers are processes an ACK may be on its way up for longer than
   * two round trips of the wire, and what it acknowledges would be sent again for nothing. Default: none.
   */
  probeFloorMs?: ProbeFloorMs | undefined;
  /**
   * The small queue holds what the pacing rate sends in 2^-this seconds (sk_pacing_shift_update). Default 10, about 1 ms; a
   * way down that takes longer needs more to stay full, as a wireless driver does.
   */
  pacingShift?: number | undefined;
  /** Where the odd ids of children start. */
  childIdBase?: number | undefined;
}

/**
 * TCP over IPv4 (RFC 9293) as Linux does it: the engine behind `tcp_v4_rcv`. It does no I/O and has no clock: segments
 * go out by `env.pass('ip_queue_xmit', …)`, news for the socket layer by `emit`, and the shell calls handleTimeout() when
 * pollTimeout() says so. After every batch of calls the shell calls flush() once: only there does data leave.
 */
export class TcpStack {
  readonly faults: LayerFaults;
  private readonly cx: TcpContext;

  constructor(env: LayerEnv, opts: TcpStackOptions) {
    this.cx = new TcpContext(env, opts);
    this.faults = tcpFaults(this.cx, (skb, now) => this.onSegment(skb, now));
    // what ends in this layer itself
    env.wfree = (sk, wmem) => wfree(this.cx, sk, wmem);
  }

  /** tcp_v4_rcv(): skb.data at the TCP header, skb.networkHeader at the IPv4 header. Takes ownership. */
  onSegment(skb: SkBuff, now: Millis): void {
    this.cx.now = now;
    tcpRcv(this.cx, skb);
  }

  /** tcp_v4_err(): skb.data at the quoted IPv4 header, skb.mark = type << 8 | code. Takes ownership. */
  onIcmpError(skb: SkBuff, now: Millis): void {
    this.cx.now = now;
    tcpErr(this.cx, skb);
  }

  /** From the socket layer. May come twice, late or out of order. */
  onCommand(cmd: SkCmd, now: Millis): void {
    this.cx.now = now;
    tcpCommand(this.cx, cmd);
  }

  /** tcp_wfree(), of the layers below: what `sk` sent up to the running sum `wmem` (SkBuff.wmem) has left or was dropped. */
  onWfree(sk: number, wmem: number, now: Millis): void {
    this.cx.now = now;
    wfree(this.cx, sk, wmem);
  }

  onRouteReply(r: RouteReply, now: Millis): void {
    this.cx.now = now;
    this.cx.routes.onReply(r);
  }

  onRouteFlush(): void {
    this.cx.routes.flush();
  }

  /** Another socket layer speaks than before: it adopts what it has programs for. */
  onGatewayRestart(now: Millis): void {
    this.cx.now = now;
    detachAll(this.cx);
  }

  /** Once after a batch: sends what became possible, ACKs that are due, and one view per sock that has news. */
  flush(now: Millis): void {
    const { cx } = this;
    cx.now = now;
    const { dirty } = cx;
    for (let i = 0; i < dirty.length; i++) {
      const sk = dirty[i]!;
      sk.dirty = false;
      if (sk.gone) continue;
      if (sk.state !== TCP_CLOSE && sk.state !== TCP_LISTEN) flushSock(cx, sk);
      if (sk.viewDirty) tellView(cx, sk);
    }
    if (dirty.length > 0) cx.dirty = [];
  }

  /** Runs every timer that is due. Calling it too early or too often does nothing. */
  handleTimeout(now: Millis): void {
    const { cx } = this;
    cx.now = now;
    for (let t = cx.timers.due(now); t !== undefined; t = cx.timers.due(now)) {
      if (t instanceof TcpSock) runTimers(cx, t);
      else if (t instanceof RequestSock) requestTimer(cx, t);
      else if (t instanceof TimeWaitSock) timeWaitTimer(cx, t);
    }
    if (cx.adoptUntilMs <= now) abandonDetached(cx);
    if (cx.restoring !== undefined) restoringTimer(cx, cx.restoring, (cmd) => tcpCommand(cx, cmd));
    if (cx.routes.pollTimeout() <= now) cx.routes.handleTimeout(now);
  }

  /** When handleTimeout() wants to be called next; NEVER: nothing is armed. May change with every other
   * call, and may be early. */
  pollTimeout(): Millis {
    const { cx } = this;
    return Math.min(cx.timers.next(), cx.routes.pollTimeout(), cx.adoptUntilMs, restoringTimeout(cx.restoring));
  }

  /**
   * This instance may have been started in the place of another one: it denies nobody anything until it has the connections of
   * that one. Call before anything else.
   */
  startRestoring(): void {
    this.cx.restoring = startRestoring();
  }

  /** Asks the socket layer for them, unless that is over. */
  askForRestore(now: Millis): void {
    this.cx.now = now;
    askForRestore(this.cx);
  }

  /** How much of an earlier instance's was given back. */
  get restored(): Readonly<Record<'socks' | 'requests' | 'timeWaits' | 'failed', number>> {
    return this.cx.restored;
  }

  /** For fault rules: as tcp_v4_rcv() would find it, or as it sends it. */
  readonly sockOf: SockOf = (skb, dir, id) => (skb === undefined ? sockById(this.cx, id) : sockOf(this.cx, skb, dir));

  /** For `ss`. */
  sockets(): TcpSockInfo[] {
    return listSockets(this.cx);
  }

  tcpInfo(sk: number): TcpSockInfo | undefined {
    const s = this.cx.socks.get(sk);
    return s === undefined ? undefined : sockInfo(this.cx, s);
  }

  /** The secret of an earlier instance, so that sequence numbers and timestamps go on from where that one was. */
  setSecret(secret: Uint8Array): void {
    this.cx.secrets.rekey(secret);
    this.cx.ehash.rehash();
    this.cx.fastopen.keys = new FastOpenKeys(this.cx.secrets.derive(0x74666f));
    this.applyFastOpenKey();
  }

  /** Changes at run time, like writing to /proc/sys/net/ipv4. */
  setSysctl(values: Partial<TcpSysctl>): void {
    Object.assign(this.cx.sysctl, values);
    if (values.tcpFastopenKey !== undefined) this.applyFastOpenKey();
  }

  /** tcp_fastopen_key: empty: one that only chance knows. */
  private applyFastOpenKey(): void {
    const bytes = parseFastOpenKeys(this.cx.sysctl.tcpFastopenKey);
    if (bytes !== undefined) this.cx.fastopen.keys = new FastOpenKeys(bytes);
  }

  get sysctl(): Readonly<TcpSysctl> {
    return this.cx.sysctl;
  }

  /** Changes of state that are not in the table: 0 in a correct engine. */
  get illegalTransitions(): number {
    return this.cx.illegalTransitions;
  }
}

function flushSock(cx: TcpContext, sk: TcpSock): void {
  if (sk.fastopen !== undefined && synAckPending(cx, sk)) return;
  if (sk.smallQueue?.deferred === true) tsqHandler(cx, sk, sk.smallQueue);
  if (sk.hasUnsent && canTransmit(sk)) pushPending(cx, sk);
  if (sk.ackNow || sk.dupAcksOwed > 0) flushAcks(cx, sk);
}

/** tcp_tsq_handler(): there is room below TCP; retransmissions have the first of it. */
function tsqHandler(cx: TcpContext, sk: TcpSock, q: SmallQueue): void {
  cx.env.trace('tcp_tsq_handler');
  q.deferred = false;
  if (sk.cwnd > sk.inFlight) retransmitLost(cx, sk);
}

/** Data waits for the handshake, unless that began with Fast Open; in every later state what is queued may go. */
const canTransmit = (sk: TcpSock): boolean =>
  sk.sndUna > 0 && (sk.state !== SYN_RECV || sk.fastopen?.req !== undefined);
const SYN_RECV = 3;

function runTimers(cx: TcpContext, sk: TcpSock): void {
  const { now } = cx;
  if (timerAt(sk, Timer.Retrans) <= now) {
    stopTimer(sk, Timer.Retrans);
    writeTimer(cx, sk);
    cx.touch(sk);
  }
  if (timerAt(sk, Timer.DelAck) <= now) delAckTimer(cx, sk);
  if (timerAt(sk, Timer.Keepalive) <= now) keepaliveTimer(cx, sk);
  if (timerAt(sk, Timer.Seam) <= now) seamTimer(cx, sk);
  if (timerAt(sk, Timer.View) <= now) emitView(cx, sk);
  if (timerAt(sk, Timer.Pacing) <= now) pacingTimer(cx, sk);
}
