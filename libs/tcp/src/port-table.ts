import { TCP_LISTEN, type Ipv4Addr } from '@skbus/skb';

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

interface Bucket {
  readonly owners: Set<BindOwner>;
  /** How many of them came by bind(). */
  explicit: number;
}

/** The local ports that are in use (inet_hashinfo.bhash). */
export class PortTable {
  private readonly buckets = new Map<number, Bucket>();

  isUsed(port: number): boolean {
    return this.buckets.has(port);
  }

  add(o: BindOwner): void {
    let b = this.buckets.get(o.lport);
    if (b === undefined) this.buckets.set(o.lport, (b = { owners: new Set(), explicit: 0 }));
    if (b.owners.has(o)) return;
    b.owners.add(o);
    if (o.explicitPort) b.explicit++;
  }

  remove(o: BindOwner): void {
    const b = this.buckets.get(o.lport);
    if (b === undefined || !b.owners.delete(o)) return;
    if (o.explicitPort) b.explicit--;
    if (b.owners.size === 0) this.buckets.delete(o.lport);
  }

  /** Whether anybody holds the port by bind(): connect() does not share such a port (fastreuse >= 0). */
  hasExplicit(port: number): boolean {
    return (this.buckets.get(port)?.explicit ?? 0) > 0;
  }

  /**
   * inet_csk_bind_conflict(): is `port` taken from `me`? Two owners on different addresses never meet. On the same one:
   *
   * ```
   *                          bind(port)                                  bind(0) looks for a free one
   *  both SO_REUSEPORT       share                                       conflict
   *  both SO_REUSEADDR       share, unless the other one listens         conflict
   *  else                    conflict                                    conflict
   * ```
   */
  conflicts(me: BindOwner, port: number, findsFree = false): boolean {
    const b = this.buckets.get(port);
    if (b === undefined) return false;
    for (const o of b.owners) {
      if (o === me) continue;
      if (o.boundAddr !== 0 && me.boundAddr !== 0 && o.boundAddr !== me.boundAddr) continue;
      if (findsFree) return true;
      if (me.reusePort && o.reusePort) continue;
      if (me.reuseAddr && o.reuseAddr && o.state !== TCP_LISTEN) continue;
      return true;
    }
    return false;
  }
}
