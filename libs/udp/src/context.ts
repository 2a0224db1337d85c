import { RouteCache } from '@skbus/dst';
import {
  ERRNO,
  FaultCases,
  NEVER,
  type LayerEnv,
  type Millis,
  type RouteQuery,
  type SkEvt,
  type SkId,
} from '@skbus/skb';
import type { UdpSock } from './sock.ts';
import { UDP_SYSCTL_DEFAULTS, type UdpSysctl } from './sysctl.ts';
import { UdpTable } from './udp-table.ts';

export interface UdpOptions {
  /** Takes an event for the socket layer. */
  emit: (evt: SkEvt) => void;
  /** Sends a query to the IP layer. */
  ask: (q: RouteQuery) => void;
  sysctl?: Partial<UdpSysctl>;
  /** At least 4 bytes: keeps SO_REUSEPORT's choice the same over a restart. Absent: random. */
  secret?: Uint8Array;
}

/** What one UDP instance shares between its sockets (struct net, udp_table). Modules take it as `cx`. */
export class UdpContext {
  readonly env: LayerEnv;
  readonly emit: (evt: SkEvt) => void;
  readonly sysctl: UdpSysctl;
  readonly routes: RouteCache;
  readonly table: UdpTable;
  readonly socks = new Map<SkId, UdpSock>();
  /** Fault rules: all of ip_local_port_range is in use. */
  readonly portsTaken = new FaultCases();
  /** The time of the call being served. */
  now: Millis = 0;
  /** skbs that wait for a route. */
  waiting = 0;
  /** Until then a new socket layer may adopt what the one before it had; NEVER: there is nothing to adopt. */
  adoptUntilMs: Millis = NEVER;
  private dirty: UdpSock[] = [];

  constructor(env: LayerEnv, opts: UdpOptions) {
    this.env = env;
    this.emit = opts.emit;
    this.sysctl = { ...UDP_SYSCTL_DEFAULTS, ...opts.sysctl };
    this.routes = new RouteCache(opts.ask);
    const s = opts.secret;
    this.table = new UdpTable(s === undefined ? env.rng.u32() : (s[0]! << 24) | (s[1]! << 16) | (s[2]! << 8) | s[3]!);
    env.ledger.addQueue(() => this.waiting);
  }

  /** flush() shall tell its view. */
  touch(sk: UdpSock): void {
    if (sk.dirty || sk.closed) return;
    sk.dirty = true;
    this.dirty.push(sk);
  }

  /** sk->sk_err: told once, with the next view. */
  fail(sk: UdpSock, errno: number): void {
    sk.err = errno;
    this.touch(sk);
  }

  /** An errno of routing, counted where the kernel's transports count it. */
  routeFailed(errno: number): number {
    if (errno === ERRNO.ENETUNREACH) this.env.mib.inc('IpOutNoRoutes');
    return errno;
  }

  flush(): void {
    const dirty = this.dirty;
    if (dirty.length === 0) return;
    this.dirty = [];
    for (const sk of dirty) {
      sk.dirty = false;
      if (!sk.closed && sk.held === undefined) this.tell(sk);
    }
  }

  private tell(sk: UdpSock): void {
    const answer = opAnswer(sk);
    // The same error twice in a row would look like one: the level has to fall in between.
    if (sk.err !== 0 && sk.err === sk.errShown) this.emit({ sk: sk.id, ...answer, view: sk.view(0) });
    this.emit({ sk: sk.id, ...answer, view: sk.view(sk.err) });
    sk.errShown = sk.err;
    sk.err = 0;
  }
}

/** Rule 1 of the seam: every event says which operation was the last to be run, and how it ended. */
export const opAnswer = (sk: UdpSock): { opAck: number; opErrno: number } =>
  sk.opBusy ? { opAck: sk.opSeq - 1, opErrno: 0 } : { opAck: sk.opSeq, opErrno: sk.opErrno };
