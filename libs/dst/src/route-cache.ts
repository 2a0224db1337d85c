import { ERRNO, NEVER, type Ipv4Addr, type Millis, type RouteQuery, type RouteReply } from '@skbus/skb';

/** What a transport remembers of a route (sk->sk_dst_cache): enough to build segments without asking again. */
export type Dst = Omit<RouteReply, 'id' | 'errno'>;

interface Pending {
  query: RouteQuery;
  key: string;
  tries: number;
  nextMs: Millis;
  waiters: ((reply: RouteReply) => void)[];
}

const RETRY_MS = 500;
/** With RETRY_MS: an IP layer that is down for 5 s or less is only a delay. */
const TRIES_MAX = 10;

/**
 * The transports' side of ip_route_output_flow(): the FIB is another service, so the answer comes later. Answers are
 * kept until the IP layer says rt_cache_flush; a query that got lost is asked again.
 */
export class RouteCache {
  private readonly known = new Map<string, Dst>();
  private readonly pending = new Map<number, Pending>();
  private readonly byKey = new Map<string, Pending>();
  private nextId = 1;
  private readonly ask: (query: RouteQuery) => void;
  private readonly max: number;

  /** `ask` sends one query to the IP layer; `max` bounds the answers kept. */
  constructor(ask: (query: RouteQuery) => void, max = 16_384) {
    this.ask = ask;
    this.max = max;
  }

  /** The cached route, if there is one. */
  peek(daddr: Ipv4Addr, saddr: Ipv4Addr, oif = 0, tos = 0): Dst | undefined {
    return this.known.get(keyOf(daddr, saddr, oif, tos));
  }

  /** Calls `done` once: at once when the route is known, else when IP has answered or never did (ENETDOWN). */
  resolve(want: Omit<RouteQuery, 'id'>, now: Millis, done: (reply: RouteReply) => void): void {
    const key = keyOf(want.daddr, want.saddr, want.oif, want.tos);
    const hit = this.known.get(key);
    if (hit) {
      done({ id: 0, errno: 0, ...hit });
      return;
    }
    const same = this.byKey.get(key);
    if (same) {
      same.waiters.push(done);
      return;
    }
    const query: RouteQuery = { id: this.nextId++ >>> 0, ...want };
    const p: Pending = { query, key, tries: 1, nextMs: now + RETRY_MS, waiters: [done] };
    this.pending.set(query.id, p);
    this.byKey.set(key, p);
    this.ask(query);
  }

  /** An answer from the IP layer; one nobody waits for any more is ignored. */
  onReply(reply: RouteReply): void {
    const p = this.pending.get(reply.id);
    if (!p) return;
    this.forget(p);
    if (reply.errno === 0) {
      const { id: _id, errno: _errno, ...dst } = reply;
      if (this.known.size >= this.max) this.known.clear();
      this.known.set(p.key, dst);
    }
    for (const w of p.waiters) w(reply);
  }

  /** Routes or addresses changed (rt_cache_flush): ask again next time. */
  flush(): void {
    this.known.clear();
  }

  pollTimeout(): Millis {
    let t = NEVER;
    for (const p of this.pending.values()) t = Math.min(t, p.nextMs);
    return t;
  }

  handleTimeout(now: Millis): void {
    for (const p of [...this.pending.values()]) {
      if (p.nextMs > now) continue;
      if (p.tries < TRIES_MAX) {
        p.tries++;
        p.nextMs = now + RETRY_MS;
        this.ask(p.query);
        continue;
      }
      this.forget(p);
      const { id, daddr, saddr, oif } = p.query;
      for (const w of p.waiters) w({ id, errno: ERRNO.ENETDOWN, daddr, saddr, oif, mtu: 0, gateway: 0, type: 0 });
    }
  }

  private forget(p: Pending): void {
    this.pending.delete(p.query.id);
    this.byKey.delete(p.key);
  }
}

function keyOf(daddr: Ipv4Addr, saddr: Ipv4Addr, oif: number, tos: number): string {
  return `${daddr}/${saddr}/${oif}/${tos}`;
}
