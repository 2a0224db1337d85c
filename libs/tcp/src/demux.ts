import { TCP_LISTEN, type Ipv4Addr } from '@skbus/skb';
import type { Secrets } from './isn.ts';
import type { Conn } from './conn.ts';
import type { TcpSock } from './sock.ts';

/**
 * The established hash (inet_hashinfo.ehash): socks, requests in NEW_SYN_RECV and TIME-WAITs by four-tuple. Chains are
 * linked through the entries, so a lookup allocates nothing.
 */
export class Ehash {
  private buckets: (Conn | undefined)[] = Array.from<Conn | undefined>({ length: 256 });
  private readonly secrets: Secrets;
  size = 0;

  constructor(secrets: Secrets) {
    this.secrets = secrets;
  }

  find(laddr: Ipv4Addr, lport: number, raddr: Ipv4Addr, rport: number): Conn | undefined {
    let e = this.buckets[this.slot(laddr, lport, raddr, rport)];
    while (e !== undefined) {
      if (e.rport === rport && e.lport === lport && e.raddr === raddr && e.laddr === laddr) return e;
      e = e.hashNext;
    }
    return undefined;
  }

  add(e: Conn): void {
    if (this.size >= this.buckets.length * 2) this.grow();
    const slot = this.slot(e.laddr, e.lport, e.raddr, e.rport);
    e.hashNext = this.buckets[slot];
    this.buckets[slot] = e;
    e.hashed = true;
    this.size++;
  }

  remove(e: Conn): void {
    if (!e.hashed) return;
    const slot = this.slot(e.laddr, e.lport, e.raddr, e.rport);
    let p = this.buckets[slot];
    if (p === e) {
      this.buckets[slot] = e.hashNext;
    } else {
      while (p !== undefined && p.hashNext !== e) p = p.hashNext;
      if (p !== undefined) p.hashNext = e.hashNext;
    }
    e.hashNext = undefined;
    e.hashed = false;
    this.size--;
  }

  *entries(): Generator<Conn> {
    for (const b of this.buckets) {
      for (let e = b; e !== undefined; e = e.hashNext) yield e;
    }
  }

  private slot(laddr: Ipv4Addr, lport: number, raddr: Ipv4Addr, rport: number): number {
    return this.secrets.tupleHash(laddr, lport, raddr, rport) & (this.buckets.length - 1);
  }

  private grow(): void {
    const all = [...this.entries()];
    this.buckets = Array.from<Conn | undefined>({ length: this.buckets.length * 4 });
    this.size = 0;
    for (const e of all) this.add(e);
  }
}

/** Who holds a local port (inet_bind_bucket): socks of every state, and TIME-WAITs. */
export interface BindOwner {
  lport: number;
  /** The address it is bound to, 0: any (inet_rcv_saddr). */
  boundAddr: Ipv4Addr;
  state: number;
  reuseAddr: boolean;
  reusePort: boolean;
  /** bind() named the port, rather than connect() finding one. */
  explicitPort: boolean;
}

/** Local ports and listeners. */
export class PortTable {
  private readonly buckets = new Map<number, Set<BindOwner>>();
  private readonly listeners = new Map<number, TcpSock[]>();

  isUsed(port: number): boolean {
    return this.buckets.has(port);
  }

  add(o: BindOwner): void {
    let b = this.buckets.get(o.lport);
    if (b === undefined) this.buckets.set(o.lport, (b = new Set()));
    b.add(o);
  }

  remove(o: BindOwner): void {
    const b = this.buckets.get(o.lport);
    if (b === undefined || !b.delete(o)) return;
    if (b.size === 0) this.buckets.delete(o.lport);
  }

  /** Whether anybody holds the port by bind(): connect() does not share such a port. */
  hasExplicit(port: number): boolean {
    const b = this.buckets.get(port);
    if (b === undefined) return false;
    for (const o of b) if (o.explicitPort) return true;
    return false;
  }

  /** inet_csk_bind_conflict(): may `me` have `port`? */
  conflicts(me: BindOwner, port: number): boolean {
    const b = this.buckets.get(port);
    if (b === undefined) return false;
    for (const o of b) {
      if (o === me) continue;
      if (o.boundAddr !== 0 && me.boundAddr !== 0 && o.boundAddr !== me.boundAddr) continue;
      if (me.reusePort && o.reusePort) continue;
      if (me.reuseAddr && o.reuseAddr && o.state !== TCP_LISTEN) continue;
      return true;
    }
    return false;
  }

  listen(sk: TcpSock): void {
    const l = this.listeners.get(sk.lport);
    if (l === undefined) this.listeners.set(sk.lport, [sk]);
    else l.push(sk);
  }

  unlisten(sk: TcpSock): void {
    const l = this.listeners.get(sk.lport);
    if (l === undefined) return;
    const i = l.indexOf(sk);
    if (i >= 0) l.splice(i, 1);
    if (l.length === 0) this.listeners.delete(sk.lport);
  }

  /** __inet_lookup_listener(): a listener on the address itself goes before one on any. */
  findListener(laddr: Ipv4Addr, lport: number): TcpSock | undefined {
    const l = this.listeners.get(lport);
    if (l === undefined) return undefined;
    let any: TcpSock | undefined;
    for (const sk of l) {
      if (sk.boundAddr === laddr) return sk;
      if (sk.boundAddr === 0) any ??= sk;
    }
    return any;
  }
}
