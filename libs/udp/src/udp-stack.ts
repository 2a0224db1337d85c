import {
  type LayerEnv,
  type LayerFaults,
  type Millis,
  type RouteReply,
  type SkBuff,
  type SkCmd,
  type SockOf,
} from '@skbus/skb';
import { abandonDetached, adopt, detachAll, reattach } from './adopt.ts';
import { UdpContext, type UdpOptions } from './context.ts';
import { EndedSocks } from './ended.ts';
import { udpErr } from './icmp-err.ts';
import { receiverOf, udpRcv } from './input.ts';
import { runOp } from './operations.ts';
import { sendmsg } from './output.ts';
import { UdpSock, type UdpSockInfo } from './sock.ts';

/**
 * UDP (RFC 768) behind the socket seam. All methods are synchronous; events come out through `emit`: received datagrams at
 * once, views at `flush()`.
 */
export class UdpStack {
  private readonly cx: UdpContext;
  private readonly ended = new EndedSocks();

  readonly faults: LayerFaults;

  constructor(env: LayerEnv, opts: UdpOptions) {
    this.cx = new UdpContext(env, opts);
    this.faults = { 'ports-taken': { begin: this.cx.portsTaken.begin } };
  }

  /** From IP: data at the UDP header, networkHeader at the IP header. Takes the skb. */
  onDatagram(skb: SkBuff, now: Millis): void {
    this.cx.now = now;
    udpRcv(this.cx, skb);
  }

  /** From ICMP: data at the quoted IP header, mark = type << 8 | code. Takes the skb. */
  onIcmpError(skb: SkBuff, now: Millis): void {
    this.cx.now = now;
    udpErr(this.cx, skb);
  }

  /** From the socket layer; see seam.ts for what may happen to commands on the way. */
  onCommand(cmd: SkCmd, now: Millis): void {
    const { cx } = this;
    cx.now = now;
    const sk = cx.socks.get(cmd.sk) ?? this.create(cmd);
    if (sk === undefined) return;
    if (cmd.adopt) return adopt(cx, sk, cmd.adopt);
    if (cmd.view && sk.held !== undefined) reattach(cx, sk);
    if (cmd.view) sk.applyView(cmd.view, now);
    if (cmd.opSeq > sk.opSeq) {
      // One operation is outstanding at a time; a newer one before the old is done is repeated by the other side.
      if (sk.opBusy && !cmd.close) return;
      if (cmd.close) return this.close(sk, cmd.opSeq);
      runOp(cx, sk, cmd);
    } else if (cmd.opSeq > 0 && !sk.opBusy) {
      cx.touch(sk);
    }
    if (cmd.sendto) sendmsg(cx, sk, cmd.sendto);
  }

  onRouteReply(r: RouteReply, now: Millis): void {
    this.cx.now = now;
    this.cx.routes.onReply(r);
  }

  /** rt_cache_flush(): what was known of routes holds no longer. */
  onRouteFlush(): void {
    this.cx.routes.flush();
  }

  /** Another socket layer speaks than before: it adopts what it has programs for. */
  onGatewayRestart(now: Millis): void {
    this.cx.now = now;
    this.ended.clear();
    detachAll(this.cx);
  }

  /** For fault rules. */
  readonly sockOf: SockOf = (skb, dir, id) => {
    const sk = skb === undefined ? this.cx.socks.get(id) : dir === 'rx' ? receiverOf(this.cx, skb) : undefined;
    return sk && { id: sk.id, state: sk.connected ? 'ESTABLISHED' : 'CLOSE' };
  };

  /** Hands out the views that this batch made necessary. */
  flush(now: Millis): void {
    this.cx.now = now;
    this.cx.flush();
  }

  /** Only route queries and what waits to be adopted have deadlines; changes after onCommand, onRouteReply and handleTimeout. */
  pollTimeout(): Millis {
    return Math.min(this.cx.routes.pollTimeout(), this.cx.adoptUntilMs);
  }

  handleTimeout(now: Millis): void {
    this.cx.now = now;
    if (this.cx.adoptUntilMs <= now) abandonDetached(this.cx);
    this.cx.routes.handleTimeout(now);
  }

  sockets(): UdpSockInfo[] {
    return [...this.cx.socks.values()].map((s) => s.info());
  }

  /** The first operation makes the socket; anything else of a socket that is not here is answered with `unknown`. */
  private create(cmd: SkCmd): UdpSock | undefined {
    const { cx } = this;
    const endSeq = this.ended.get(cmd.sk);
    if (endSeq !== undefined && cmd.opSeq > 0 && cmd.opSeq <= endSeq) {
      cx.emit({ sk: cmd.sk, opAck: endSeq, opErrno: 0 });
      return undefined;
    }
    // A datagram alone makes no socket: after a restart it would leave from another port than its socket was bound to.
    if (endSeq !== undefined || cmd.opSeq !== 1 || cmd.close || cmd.sk === 0 || cmd.sk % 2 !== 0) {
      cx.emit({ sk: cmd.sk, opAck: 0, opErrno: 0, unknown: true });
      return undefined;
    }
    const sk = new UdpSock(cmd.sk, cx.sysctl);
    sk.owner = cmd.owner ?? 0;
    cx.socks.set(sk.id, sk);
    return sk;
  }

  private close(sk: UdpSock, opSeq: number): void {
    const { cx } = this;
    cx.table.remove(sk);
    cx.socks.delete(sk.id);
    sk.closed = true;
    this.ended.add(sk.id, opSeq);
    cx.emit({ sk: sk.id, opAck: opSeq, opErrno: 0 });
  }
}
