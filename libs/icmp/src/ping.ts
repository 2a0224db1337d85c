import { ERRNO, type Ipv4Addr, type LayerEnv, type Millis, NEVER, type SkBuff } from '@skbus/skb';
import { emitIcmp, get16, get32, ICMP_ECHO, ICMP_ECHOREPLY, ICMP_HLEN } from '@skbus/wire';
import { HEADROOM } from './icmp-send.ts';
import { icmpErrno } from './icmp-types.ts';
import { icmpFlow, type IcmpLower } from './lower.ts';

export interface PingRequest {
  id: number;
  seq: number;
  daddr: Ipv4Addr;
  /** Bytes of payload; what is not given in `payload` counts up from zero. */
  size: number;
  ttl?: number;
  payload?: Uint8Array;
}

export interface PingResult {
  /** 0: an echo reply; ETIMEDOUT: nothing came; else what the route or an ICMP error said. */
  errno: number;
  /** Who answered or complained. */
  from: Ipv4Addr;
  ttl: number;
  rttMs: number;
  type: number;
  code: number;
  /** ICMP header and payload of the answer. */
  bytes: number;
  seq: number;
}

interface Waiting {
  sentMs: Millis;
  untilMs: Millis;
  done: (r: PingResult) => void;
  seq: number;
}

/** The largest payload that fits an IPv4 packet. */
const SIZE_MAX = 65_535 - 20 - ICMP_HLEN;

/** Ping sockets (net/ipv4/ping.c): echo requests of our own and the answers they get. */
export class PingTable {
  private readonly env: LayerEnv;
  private readonly lower: IcmpLower;
  private readonly waiting = new Map<number, Waiting>();

  constructor(env: LayerEnv, lower: IcmpLower) {
    this.env = env;
    this.lower = lower;
  }

  /** net/ipv4/ping.c:ping_v4_sendmsg; calls `done` exactly once. */
  send(req: PingRequest, now: Millis, done: (r: PingResult) => void, timeoutMs: Millis): void {
    this.env.trace('ping_v4_sendmsg');
    const seq = req.seq & 0xffff;
    const fail = (errno: number): void => done({ errno, from: 0, ttl: 0, rttMs: 0, type: 0, code: 0, bytes: 0, seq });
    const size = Math.max(req.size, req.payload?.length ?? 0);
    if (!Number.isInteger(size) || size < 0 || size > SIZE_MAX) return fail(ERRNO.EMSGSIZE);
    const rt = this.lower.route(req.daddr, 0, 0, now);
    if (rt.errno !== 0) return fail(rt.errno);
    const key = keyOf(req.id, seq);
    this.finish(key, { errno: ERRNO.ETIMEDOUT, from: 0, ttl: 0, type: 0, code: 0, bytes: 0 }, now);
    this.waiting.set(key, { sentMs: now, untilMs: now + timeoutMs, done, seq });
    const skb = this.env.alloc(HEADROOM, ICMP_HLEN + size, now);
    const h = skb.put(ICMP_HLEN + size);
    const body = skb.buf.subarray(h + ICMP_HLEN, skb.tail);
    for (let i = 0; i < size; i++) body[i] = req.payload?.[i] ?? i;
    emitIcmp({ type: ICMP_ECHO, code: 0, id: req.id & 0xffff, seq }, skb.buf, h, [body]);
    skb.transportHeader = h;
    skb.flow = icmpFlow(req.daddr, rt.saddr, 0, req.ttl ?? 0);
    this.lower.push(skb, now);
  }

  /** net/ipv4/ping.c:ping_rcv; false: nobody waits for this reply. */
  rcv(skb: SkBuff, now: Millis): boolean {
    this.env.trace('ping_rcv', skb);
    const { buf, data, networkHeader: n } = skb;
    const answer = {
      errno: 0,
      from: get32(buf, n + 12),
      ttl: buf[n + 8]!,
      type: ICMP_ECHOREPLY,
      code: 0,
      bytes: skb.len,
    };
    return this.finish(keyOf(get16(buf, data + 4), get16(buf, data + 6)), answer, now);
  }

  /** net/ipv4/ping.c:ping_err; `at`: the quoted ICMP header. */
  err(skb: SkBuff, at: number, type: number, code: number, now: Millis): void {
    // an error about a reply of ours concerns no ping socket
    if (skb.buf[at] !== ICMP_ECHO) return;
    this.env.trace('ping_err', skb);
    const { buf, networkHeader: n } = skb;
    const answer = {
      errno: icmpErrno(type, code),
      from: get32(buf, n + 12),
      ttl: buf[n + 8]!,
      type,
      code,
      bytes: skb.len,
    };
    this.finish(keyOf(get16(buf, at + 4), get16(buf, at + 6)), answer, now);
  }

  pollTimeout(): Millis {
    let t = NEVER;
    for (const w of this.waiting.values()) t = Math.min(t, w.untilMs);
    return t;
  }

  handleTimeout(now: Millis): void {
    for (const [key, w] of this.waiting) {
      if (w.untilMs <= now)
        this.finish(key, { errno: ERRNO.ETIMEDOUT, from: 0, ttl: 0, type: 0, code: 0, bytes: 0 }, now);
    }
  }

  private finish(key: number, r: Omit<PingResult, 'rttMs' | 'seq'>, now: Millis): boolean {
    const w = this.waiting.get(key);
    if (w === undefined) return false;
    this.waiting.delete(key);
    w.done({ ...r, rttMs: now - w.sentMs, seq: w.seq });
    return true;
  }
}

const keyOf = (id: number, seq: number): number => (id & 0xffff) * 0x10000 + (seq & 0xffff);
