import { LayerEnv, RTN_LOCAL, RTN_UNICAST, SeededRng, SkBuff } from '@skbus/skb';
import { registerCongestionControl, TcpStack } from '@skbus/tcp';
import { get32, put16, put32, TCP_ACK, TCP_PSH, TCP_SYN } from '@skbus/wire';

export const US = 0x0a4d0002;
const PEERS = 0x0b000000;
const PORT = 80;
const LISTENER = 2;
const IP_HLEN = 20;
const TSTAMP_ALIGNED = 0x0101080a;
/** With timestamps, on Ethernet. */
export const MSS = 1448;
/** Received payload: nobody looks at it, so all segments share it. */
const PAYLOAD = new Uint8Array(MSS);
/** The driver has verified the checksum (CHECKSUM_UNNECESSARY). */
const VERIFIED = 1;

let fixedWindow = 10;
/** A window of `segs` segments whatever happens, to choose how much is outstanding. @param {number} segs */
export function fixWindow(segs) {
  fixedWindow = segs;
}
registerCongestionControl({
  name: 'bench',
  init: (_cx, sk) => void (sk.cwnd = sk.ssthresh = fixedWindow),
  ssthresh: () => fixedWindow,
  undoCwnd: () => fixedWindow,
  congAvoid: (_cx, sk) => void (sk.cwnd = fixedWindow),
});

/** @typedef {{ sk: number, addr: number, port: number, at: number, una: number, tsEcr: number, got: number, sndTo: number, sndLimit: number, queued: boolean }} Conn */

/**
 * One engine with the socket layer's end of the seam and what the drivers below would hand over; no bus, no codec.
 * Connections are passive ones on port 80.
 */
export class Engine {
  now = 1000;
  /** By their number. @type {(Conn | undefined)[]} */
  bySk = [];
  /** Connections with received data that the socket layer has not confirmed yet. @type {Conn[]} */
  unconfirmed = [];
  /** What happens to a packet on its way down. @type {(skb: SkBuff) => void} */
  onPacket = () => {};
  /** @type {number[]} */
  #children = [];

  /** @param {{ addr?: number, sysctl?: Record<string, unknown>, options?: Record<string, unknown> }} [opts] */
  constructor({ addr = US, sysctl = {}, options = {} } = {}) {
    this.addr = addr;
    this.env = new LayerEnv({
      layer: 'tcp',
      rng: new SeededRng(1),
      out: { pass: (_to, skb) => this.#sent(skb) },
    });
    this.tcp = new TcpStack(this.env, {
      emit: (e) => this.#onEvent(e),
      ask: (q) => this.#answer(q),
      // a peer that opens 100,000 connections at once shall find room
      sysctl: { tcpMaxSynBacklog: 1 << 20, somaxconn: 1 << 20, ...sysctl },
    });
    this.options = options;
    const listen = { bind: { addr: 0, port: PORT }, listen: { backlog: 4096 } };
    this.tcp.onCommand({ sk: LISTENER, opSeq: 1, options, ...listen }, this.now);
    this.tcp.flush(this.now);
  }

  /** The driver sends it at once. @param {SkBuff} skb */
  #sent(skb) {
    this.env.orphan(skb);
    this.onPacket(skb);
  }

  /** The `i`th connection of a scripted peer. @param {number} i @returns {Conn} */
  open(i) {
    const addr = PEERS + Math.floor(i / 30_000);
    const port = 2000 + (i % 30_000);
    const iss = 0x1000 + i;
    /** @type {SkBuff | undefined} */
    let synAck;
    const before = this.onPacket;
    this.onPacket = (skb) => void (synAck ??= skb);
    this.receive(synOf(addr, port, iss));
    if (!synAck) throw new Error('the SYN was not answered');
    const { buf, data } = synAck;
    const conn = newConn(addr, port, iss, get32(buf, data + 4));
    conn.tsEcr = get32(buf, data + 28) | 0;
    this.receive(segment(conn, TCP_ACK, 0, 0xffff, this.now));
    if (this.accept(conn) === 0) throw new Error('no connection was made');
    this.onPacket = before;
    return conn;
  }

  /** Takes the newest child; 0: there is none. @param {Conn} conn */
  accept(conn) {
    conn.sk = this.#children.pop() ?? 0;
    if (conn.sk === 0) return 0;
    this.bySk[conn.sk] = conn;
    this.tcp.onCommand({ sk: conn.sk, opSeq: 0, view: viewOf(conn) }, this.now);
    this.flush();
    return conn.sk;
  }

  /** An active connection to another engine's port 80. @returns {Conn} */
  connect() {
    const conn = newConn(0, 0, 0, 0);
    conn.sk = LISTENER + 2;
    this.bySk[conn.sk] = conn;
    this.tcp.onCommand({ sk: conn.sk, opSeq: 1, options: this.options, connect: { addr: US, port: PORT } }, this.now);
    this.flush();
    return conn;
  }

  /** @param {SkBuff} skb */
  receive(skb) {
    this.env.ledger.received++;
    this.tcp.onSegment(skb, this.now);
  }

  flush() {
    this.tcp.flush(this.now);
  }

  /** Written bytes on their way to the transport. @param {Conn} c @param {Uint8Array} data */
  write(c, data) {
    const offset = c.sndTo;
    c.sndTo += data.length;
    this.tcp.onCommand({ sk: c.sk, opSeq: 0, view: viewOf(c), data: { offset, data } }, this.now);
  }

  /** All that was passed up is confirmed and read. */
  confirm() {
    const list = this.unconfirmed;
    for (let i = 0; i < list.length; i++) {
      const c = list[i];
      c.queued = false;
      this.tcp.onCommand({ sk: c.sk, opSeq: 0, view: viewOf(c) }, this.now);
    }
    list.length = 0;
  }

  /** What a shell does after a batch: flush, confirm, flush, timers. */
  settle() {
    this.flush();
    if (this.unconfirmed.length > 0) {
      this.confirm();
      this.flush();
    }
    if (this.tcp.pollTimeout() <= this.now) {
      this.tcp.handleTimeout(this.now);
      this.flush();
    }
  }

  /** @param {import('@skbus/skb').SkEvt} e */
  #onEvent(e) {
    const c = this.bySk[e.sk];
    if (c === undefined) {
      if (e.child) this.#children.push(e.sk);
      return;
    }
    if (e.view) c.sndLimit = e.view.sndLimit;
    if (!e.data) return;
    c.got = e.data.offset + e.data.data.length;
    if (c.queued) return;
    c.queued = true;
    this.unconfirmed.push(c);
  }

  /** @param {import('@skbus/skb').RouteQuery} q */
  #answer({ id, daddr, saddr }) {
    const type = daddr === this.addr ? RTN_LOCAL : RTN_UNICAST;
    this.tcp.onRouteReply(
      { id, errno: 0, daddr, saddr: saddr || this.addr, oif: 2, mtu: 1500, gateway: 0, type },
      this.now,
    );
  }
}

/**
 * Its sequence numbers are signed: what is larger than a small integer is a heap object, and the peer shall cost little.
 * @param {number} addr @param {number} port @param {number} iss @param {number} irs @returns {Conn}
 */
const newConn = (addr, port, iss, irs) => ({
  sk: 0,
  addr,
  port,
  at: (iss + 1) | 0,
  una: (irs + 1) | 0,
  tsEcr: 0,
  got: 0,
  sndTo: 0,
  sndLimit: 0,
  queued: false,
});

/** @param {Conn} c */
const viewOf = (c) => ({
  sndTo: c.sndTo,
  rcvGot: c.got,
  rcvRead: c.got,
  finGot: false,
  haveChild: true,
  accepted: true,
});

/**
 * The next segment of a scripted peer: `len` bytes after what it has sent, with a timestamp.
 * @param {Conn} c @param {number} flags @param {number} len @param {number} window @param {number} now
 */
export function segment(c, flags, len, window, now) {
  const buf = header(32, c.addr, c.port);
  put32(buf, IP_HLEN + 4, c.at);
  put32(buf, IP_HLEN + 8, c.una);
  buf[IP_HLEN + 13] = flags;
  put16(buf, IP_HLEN + 14, window);
  put32(buf, IP_HLEN + 20, TSTAMP_ALIGNED);
  put32(buf, IP_HLEN + 24, Math.floor(now));
  put32(buf, IP_HLEN + 28, c.tsEcr);
  c.at = (c.at + len) | 0;
  return up(buf, len);
}

/** Frames as a driver reads them. Reused: the socket layer has confirmed a batch before the next one comes. */
const FRAMES = Array.from({ length: 64 }, () => new Uint8Array(1514));
let frame = 0;

/** The same segment with its payload behind the header, as without header split. @param {SkBuff} skb */
export function linearize(skb) {
  const buf = FRAMES[frame++ % FRAMES.length];
  buf.set(skb.buf, 0);
  const one = new SkBuff(buf, skb.data, skb.tail + skb.dataLen);
  one.networkHeader = 0;
  one.ipSummed = VERIFIED;
  return one;
}

/** @param {number} addr @param {number} port @param {number} iss */
function synOf(addr, port, iss) {
  const buf = header(40, addr, port);
  put32(buf, IP_HLEN + 4, iss);
  buf[IP_HLEN + 13] = TCP_SYN;
  put16(buf, IP_HLEN + 14, 0xffff);
  // MSS 1460, SACK permitted, timestamp, window scale 10
  buf.set([2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 3, 0xe8, 0, 0, 0, 0, 1, 3, 3, 10], IP_HLEN + 20);
  return up(buf, 0);
}

/** An IPv4 and a TCP header from a peer to us. @param {number} hlen @param {number} addr @param {number} port */
function header(hlen, addr, port) {
  const buf = new Uint8Array(IP_HLEN + hlen);
  put32(buf, 12, addr);
  put32(buf, 16, US);
  put16(buf, IP_HLEN, port);
  put16(buf, IP_HLEN + 2, PORT);
  buf[IP_HLEN + 12] = (hlen / 4) << 4;
  return buf;
}

/** As the IP layer hands it up. @param {Uint8Array} buf IPv4 and TCP header @param {number} len */
function up(buf, len) {
  const skb = new SkBuff(buf, IP_HLEN, buf.length);
  if (len > 0) skb.addFrag(len === MSS ? PAYLOAD : PAYLOAD.subarray(0, len));
  skb.networkHeader = 0;
  skb.ipSummed = VERIFIED;
  return skb;
}

/** What the peer of a sent packet acknowledges with it. @param {Conn} c @param {SkBuff} skb */
export function noteSent(c, skb) {
  const { buf, data } = skb;
  const hlen = (buf[data + 12] >>> 4) * 4;
  c.una = (get32(buf, data + 4) + skb.len - hlen) | 0;
  if (hlen >= 32) c.tsEcr = get32(buf, data + 24) | 0;
}

/**
 * The driver's segmentation, and the way to the other side's IP layer: one skb per segment on the wire.
 * @param {SkBuff} skb as TCP hands it to IP @param {(skb: SkBuff) => void} deliver
 */
export function cut(skb, deliver) {
  const { buf, data, tail } = skb;
  const flow = /** @type {import('@skbus/skb').FlowI4} */ (skb.flow);
  const hlen = tail - data;
  const seq = get32(buf, data + 4);
  const flags = buf[data + 13];
  const total = skb.dataLen;
  const size = skb.gsoSize || total;
  let at = 0;
  do {
    const len = Math.min(size, total - at);
    const b = new Uint8Array(IP_HLEN + hlen);
    put32(b, 12, flow.saddr);
    put32(b, 16, flow.daddr);
    b.set(buf.subarray(data, tail), IP_HLEN);
    put32(b, IP_HLEN + 4, (seq + at) >>> 0);
    at += len;
    if (at < total) b[IP_HLEN + 13] = flags & ~TCP_PSH;
    deliver(up(b, len));
  } while (at < total);
}
