import {
  TCP_CLOSE,
  TCP_ESTABLISHED,
  type Ipv4Addr,
  type Millis,
  type ProtoDgram,
  type ProtoView,
  type SkId,
  type SkOptions,
  type SkView,
} from '@skbus/skb';
import { SOCK_MIN_RCVBUF, SOCK_MIN_SNDBUF, type UdpSysctl } from './sysctl.ts';

/** What passed up longer ago than this and did not arrive is not on its way any more (seam.ts: datagrams may be lost). */
const LOST_AFTER_MS: Millis = 1000;

/** One line of `ss -u`. */
export interface UdpSockInfo {
  sk: SkId;
  state: number;
  laddr: Ipv4Addr;
  lport: number;
  raddr: Ipv4Addr;
  rport: number;
  /** Receive-buffer bytes in use, send-buffer bytes in use (datagrams waiting for a route). */
  rqueue: number;
  wqueue: number;
  rcvbuf: number;
  drops: number;
}

/** struct udp_sock, with the addresses of inet_sock. */
export class UdpSock {
  readonly id: SkId;

  // ---- seam: numbered operations
  /** The newest operation begun; `opBusy`: it waits for a route. */
  opSeq = 0;
  opErrno = 0;
  opBusy = false;
  /** sk->sk_err until the next view tells it. */
  err = 0;
  /** The error of the last view: the other side sees a level, and the same level again is no news to it. */
  errShown = 0;
  dirty = false;
  closed = false;
  /** The program that it belongs to (SkCmd.owner); 0: it dies with the socket layer. */
  owner = 0;
  /** What came while no socket layer had it; undefined: one has. */
  held: ProtoDgram[] | undefined = undefined;

  // ---- addresses
  /** inet_num; 0: not bound. */
  lport = 0;
  /** inet_saddr: the source of what we send; 0: by route. */
  saddr: Ipv4Addr = 0;
  /** inet_rcv_saddr: the destination of what we take; 0: any. */
  rcvSaddr: Ipv4Addr = 0;
  daddr: Ipv4Addr = 0;
  dport = 0;
  connected = false;
  /** SOCK_BINDADDR_LOCK, SOCK_BINDPORT_LOCK: asked for by bind(), so they outlive a disconnect. */
  addrLocked = false;
  portLocked = false;

  // ---- options
  reuseAddr = false;
  reusePort = false;
  broadcast = false;
  tos = 0;
  /** 0: the default TTL. */
  ttl = 0;
  rcvbuf: number;
  sndbuf: number;
  /** RCV_SHUTDOWN | SEND_SHUTDOWN */
  shutdownMask = 0;

  // ---- receive buffer, in absolute bytes of truesize
  /** All that was ever passed up. */
  rcvOffset = 0;
  /** How much of it the application has read, and how far it got to the socket layer at all. */
  rcvRead = 0;
  private rcvGot = 0;
  /** Tail of what was passed up that got lost on the way; it takes no memory any more. */
  private lost = 0;
  private passedMs: Millis = 0;
  probedMs: Millis = 0;
  drops = 0;
  /** Truesize of datagrams that wait for a route (sk_wmem_alloc). */
  wmem = 0;

  constructor(id: SkId, sysctl: UdpSysctl) {
    this.id = id;
    this.rcvbuf = sysctl.rmemDefault;
    this.sndbuf = sysctl.wmemDefault;
  }

  /** sk_rmem_alloc: passed up and not yet read. */
  get rmem(): number {
    return this.rcvOffset - this.rcvRead - this.lost;
  }

  /** Takes `size` bytes of the receive buffer; where they start. Undefined: it is full (__udp_enqueue_schedule_skb). */
  charge(size: number, now: Millis): number | undefined {
    // A full buffer takes one more datagram, as in Linux: an empty one always takes one of any size.
    if (this.rmem > this.rcvbuf) return undefined;
    const at = this.rcvOffset;
    this.rcvOffset += size;
    this.passedMs = now;
    return at;
  }

  /** The socket layer's view. Offsets only grow, so an old or doubled one changes nothing. */
  applyView(v: SkView, now: Millis): void {
    const read = Math.min(v.rcvRead, this.rcvOffset);
    const got = Math.min(Math.max(v.rcvGot, read), this.rcvOffset);
    if (read > this.rcvRead) this.rcvRead = read;
    if (got > this.rcvGot) {
      this.rcvGot = got;
      this.lost = 0;
    }
    if (now - this.passedMs >= LOST_AFTER_MS) this.lost = this.rcvOffset - this.rcvGot;
  }

  /** Its socket layer died, and what had been passed up with it. */
  detach(): void {
    this.rcvRead = this.rcvGot = this.rcvOffset;
    this.lost = 0;
    this.held ??= [];
  }

  applyOptions(o: SkOptions): void {
    // absent fields of a decoded message are null
    this.reuseAddr = o.reuseAddr ?? this.reuseAddr;
    this.reusePort = o.reusePort ?? this.reusePort;
    this.broadcast = o.broadcast ?? this.broadcast;
    this.tos = (o.tos ?? this.tos) & 0xff;
    this.ttl = (o.ttl ?? this.ttl) & 0xff;
    this.rcvbuf = Math.max(o.rcvbuf ?? this.rcvbuf, SOCK_MIN_RCVBUF);
    this.sndbuf = Math.max(o.sndbuf ?? this.sndbuf, SOCK_MIN_SNDBUF);
  }

  view(err: number): ProtoView {
    return {
      state: this.connected ? TCP_ESTABLISHED : TCP_CLOSE,
      laddr: this.rcvSaddr || this.saddr,
      lport: this.lport,
      raddr: this.daddr,
      rport: this.dport,
      sndGot: 0,
      sndUna: 0,
      sndLimit: 0,
      rcvNxt: this.rcvOffset,
      finRcvd: false,
      finAcked: false,
      err,
      softErr: 0,
    };
  }

  info(): UdpSockInfo {
    const { state, laddr, lport, raddr, rport } = this.view(0);
    return {
      sk: this.id,
      state,
      laddr,
      lport,
      raddr,
      rport,
      rqueue: this.rmem,
      wqueue: this.wmem,
      rcvbuf: this.rcvbuf,
      drops: this.drops,
    };
  }
}

/** struct sk_buff and skb_shared_info of a 64-bit kernel, as they count in SO_RCVBUF. */
const SKB_OVERHEAD = 256 + 320;
const SKB_HEADROOM = 64;
const SMP_CACHE_BYTES = 64;

/** skb->truesize of a datagram with `len` bytes of headers and payload. */
export function truesize(len: number): number {
  return SKB_OVERHEAD + Math.ceil((SKB_HEADROOM + len) / SMP_CACHE_BYTES) * SMP_CACHE_BYTES;
}
