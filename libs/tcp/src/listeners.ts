import type { Ipv4Addr } from '@skbus/skb';
import type { Secrets } from './isn.ts';
import type { TcpSock } from './sock.ts';

/** The listeners, by port (inet_hashinfo.lhash2). */
export class Listeners {
  private readonly byPort = new Map<number, TcpSock[]>();
  private readonly secrets: Secrets;

  constructor(secrets: Secrets) {
    this.secrets = secrets;
  }

  add(sk: TcpSock): void {
    const l = this.byPort.get(sk.lport);
    if (l === undefined) this.byPort.set(sk.lport, [sk]);
    else l.push(sk);
  }

  remove(sk: TcpSock): void {
    const l = this.byPort.get(sk.lport);
    if (l === undefined) return;
    const i = l.indexOf(sk);
    if (i >= 0) l.splice(i, 1);
    if (l.length === 0) this.byPort.delete(sk.lport);
  }

  /** __inet_lookup_listener(): a listener on the address itself goes before one on any. */
  find(laddr: Ipv4Addr, lport: number, raddr: Ipv4Addr, rport: number): TcpSock | undefined {
    const l = this.byPort.get(lport);
    if (l === undefined) return undefined;
    let best: TcpSock | undefined;
    for (const sk of l) {
      if (sk.boundAddr === laddr) {
        best = sk;
        break;
      }
      if (sk.boundAddr === 0) best ??= sk;
    }
    if (best === undefined || !best.reusePort) return best;
    return this.selectSock(l, best, this.secrets.reuseportHash(laddr, lport, raddr, rport));
  }

  /** reuseport_select_sock(): the four-tuple decides which member of an SO_REUSEPORT group it is. */
  private selectSock(l: readonly TcpSock[], first: TcpSock, hash: number): TcpSock {
    const isMember = (sk: TcpSock): boolean => sk.reusePort && sk.boundAddr === first.boundAddr;
    let n = 0;
    for (const sk of l) if (isMember(sk)) n++;
    let index = Math.floor((hash * n) / 2 ** 32);
    for (const sk of l) if (isMember(sk) && index-- === 0) return sk;
    return first;
  }
}
