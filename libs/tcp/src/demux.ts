import type { Ipv4Addr, SkId } from '@skbus/skb';
import type { Secrets } from './isn.ts';
import type { Conn } from './conn.ts';
import { OpenTable } from './open-table.ts';
import type { TcpSock } from './sock.ts';

/** The established hash (inet_hashinfo.ehash): socks, requests in NEW_SYN_RECV and TIME-WAITs by four-tuple. */
export class Ehash extends OpenTable<Conn> {
  private readonly secrets: Secrets;

  constructor(secrets: Secrets) {
    super();
    this.secrets = secrets;
  }

  find(laddr: Ipv4Addr, lport: number, raddr: Ipv4Addr, rport: number): Conn | undefined {
    const { tags, slots } = this;
    const tag = OpenTable.tag(this.secrets.tupleHash(laddr, lport, raddr, rport));
    const mask = tags.length - 1;
    for (let i = tag & mask; tags[i] !== 0; i = (i + 1) & mask) {
      if (tags[i] !== tag) continue;
      const e = slots[i]!;
      if (e.rport === rport && e.lport === lport && e.raddr === raddr && e.laddr === laddr) return e;
    }
    return undefined;
  }

  protected override hashOf(e: Conn): number {
    return this.secrets.tupleHash(e.laddr, e.lport, e.raddr, e.rport);
  }
}

/** All socks by the number that the socket layer knows them by. */
export class SockTable extends OpenTable<TcpSock> {
  get(id: SkId): TcpSock | undefined {
    const { tags, slots } = this;
    const tag = OpenTable.tag(spread(id));
    const mask = tags.length - 1;
    for (let i = tag & mask; tags[i] !== 0; i = (i + 1) & mask) {
      if (tags[i] === tag && slots[i]!.id === id) return slots[i];
    }
    return undefined;
  }

  has(id: SkId): boolean {
    return this.get(id) !== undefined;
  }

  /** By number, so that what is done to all of them is done in the same order each time. */
  values(): TcpSock[] {
    return [...this.entries()].toSorted((a, b) => a.id - b.id);
  }

  protected override hashOf(sk: TcpSock): number {
    return spread(sk.id);
  }
}

/** Fibonacci hashing: numbers in a row end up far from each other. */
const spread = (id: SkId): number => {
  const h = Math.imul(id, 0x9e3779b1);
  return (h ^ (h >>> 15)) & 0x7fffffff;
};
