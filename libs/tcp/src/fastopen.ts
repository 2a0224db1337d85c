import { NEVER, type Ipv4Addr, type Millis } from '@skbus/skb';
import type { RequestSock } from './request.ts';
import { SipHash } from './siphash.ts';

/** TCP Fast Open (RFC 7413, net/ipv4/tcp_fastopen.c): what both sides of it share. */

/** Bits of tcp_fastopen (include/net/tcp.h:TFO_*). */
export const TFO_CLIENT_ENABLE = 1;
export const TFO_SERVER_ENABLE = 2;
/** Data in the SYN without a cookie, sent or taken. */
export const TFO_CLIENT_NO_COOKIE = 4;
export const TFO_SERVER_COOKIE_NOT_REQD = 0x200;
/** Every listener has it, without TCP_FASTOPEN. */
export const TFO_SERVER_WO_SOCKOPT1 = 0x400;

// include/uapi/linux/tcp.h:enum tcp_fastopen_client_fail
export const TFO_COOKIE_UNAVAILABLE = 1;
export const TFO_DATA_NOT_ACKED = 2;
export const TFO_SYN_RETRANSMITTED = 3;

const KEY_BYTES = 16;
/** Cookies of this many servers are remembered. */
const CACHE_MAX = 1024;

/** What one connection has to do with Fast Open. */
export class FastOpen {
  /** A child that was opened by data: its request, until the handshake is done (tp->fastopen_rsk). */
  req: RequestSock | undefined = undefined;
  synAckSent = false;
  /** A client's: the option was in the SYN, in the experimental form. */
  asked = false;
  exp = false;
  /** Bytes that went with the SYN. */
  synData = 0;
  /** Data of a SYN was taken: the peer has ours, or we have the peer's (TCPI_OPT_SYN_DATA). */
  synDataAcked = false;
  /** Why not (enum tcp_fastopen_client_fail); 0: not known, or no failure. */
  clientFail = 0;
  /** The option of the first SYN; those that are retransmitted have none. */
  option: { cookie: Uint8Array; exp: boolean } | undefined = undefined;
}

/** A key makes cookies; the one before it still opens (TCP_FASTOPEN_KEY with 32 bytes, RFC 7413 4.1.2). */
export class FastOpenKeys {
  private readonly current: SipHash;
  private readonly backup: SipHash | undefined;

  constructor(bytes: Uint8Array) {
    this.current = new SipHash(bytes.subarray(0, KEY_BYTES));
    if (bytes.length === 2 * KEY_BYTES) this.backup = new SipHash(bytes.subarray(KEY_BYTES));
  }

  /** tcp_fastopen_cookie_gen(): eight bytes, a keyed hash of both addresses. */
  cookie(client: Ipv4Addr, server: Ipv4Addr): Uint8Array {
    return make(this.current, client, server);
  }

  /** tcp_fastopen_cookie_gen_check(): 0: wrong, 1: right, 2: right by the old key. */
  check(client: Ipv4Addr, server: Ipv4Addr, cookie: Uint8Array): number {
    if (sameBytes(make(this.current, client, server), cookie)) return 1;
    return this.backup !== undefined && sameBytes(make(this.backup, client, server), cookie) ? 2 : 0;
  }
}

/** proc_tcp_fastopen_key(): words in the host's order, which is little-endian where it matters. `undefined`: no keys. */
export function parseFastOpenKeys(text: string): Uint8Array | undefined {
  const keys = text.split(',');
  const words = keys.flatMap((k) => k.trim().split('-'));
  if (keys.length > 2 || words.length !== 4 * keys.length || !words.every((w) => /^[0-9a-f]{1,8}$/i.test(w)))
    return undefined;
  const view = new DataView(new ArrayBuffer(4 * words.length));
  words.forEach((w, i) => view.setUint32(4 * i, Number.parseInt(w, 16), true));
  return new Uint8Array(view.buffer);
}

const path = new Uint8Array(8);

function make(sip: SipHash, client: Ipv4Addr, server: Ipv4Addr): Uint8Array {
  const view = new DataView(path.buffer);
  view.setUint32(0, client);
  view.setUint32(4, server);
  const cookie = new Uint8Array(8);
  const out = new DataView(cookie.buffer);
  out.setUint32(0, sip.hashBytes(path), true);
  out.setUint32(4, sip.high, true);
  return cookie;
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((x, i) => x === b[i]);

/** What is remembered of a server (struct tcp_fastopen_metrics). */
export interface CachedCookie {
  /** Empty: it gave none yet. */
  cookie: Uint8Array;
  mss: number;
  exp: boolean;
  /** 1: ask in the experimental form next time; 2: that did not help either. */
  tryExp: number;
}

/** What a stack knows of Fast Open: the key of its cookies, other hosts' cookies, and whether a path swallows it. */
export class FastOpenContext {
  keys: FastOpenKeys;
  private readonly cache = new Map<string, CachedCookie>();
  /** How often it was switched off, and when last (tfo_active_disable_times). */
  private disables = 0;
  private disabledMs: Millis = NEVER;

  constructor(key: Uint8Array) {
    this.keys = new FastOpenKeys(key);
  }

  /** tcp_fastopen_cache_get() */
  get(laddr: Ipv4Addr, raddr: Ipv4Addr): CachedCookie | undefined {
    return this.cache.get(`${laddr} ${raddr}`);
  }

  /** tcp_fastopen_cache_set(). Bounded, oldest out. */
  set(laddr: Ipv4Addr, raddr: Ipv4Addr, news: { mss: number; cookie: Uint8Array; exp: boolean; tryExp: number }): void {
    const key = `${laddr} ${raddr}`;
    const c = this.cache.get(key) ?? { cookie: new Uint8Array(0), mss: 0, exp: false, tryExp: 0 };
    this.cache.delete(key);
    if (news.mss > 0) c.mss = news.mss;
    if (news.cookie.length > 0) {
      c.cookie = news.cookie;
      c.exp = news.exp;
    } else if (news.tryExp > c.tryExp && c.cookie.length === 0 && !c.exp) {
      c.tryExp = news.tryExp;
    }
    if (this.cache.size >= CACHE_MAX) this.cache.delete(this.cache.keys().next().value!);
    this.cache.set(key, c);
  }

  /** tcp_fastopen_active_disable() */
  disable(now: Millis): void {
    this.disables++;
    this.disabledMs = now;
  }

  /** tcp_fastopen_active_should_disable(): longer each time, up to 64 times tcp_fastopen_blackhole_timeout_sec. */
  isDisabled(now: Millis, timeoutSec: number): boolean {
    if (timeoutSec === 0 || this.disables === 0) return false;
    return now < this.disabledMs + timeoutSec * 1000 * 2 ** Math.min(this.disables - 1, 6);
  }

  /** It works again (tcp_fastopen_active_disable_ofo_check). */
  enable(): void {
    this.disables = 0;
  }
}
