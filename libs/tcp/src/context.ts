import { AckState } from './ack-state.ts';
import { below, type LayerEnv, type Millis, type RouteQuery, type SkEvt, type SkId } from '@skbus/skb';
import { RouteCache } from '@skbus/dst';
import { defaultCongestionControl } from './cong/registry.ts';
import { Ehash, PortTable } from './demux.ts';
import { EndedTable } from './ended.ts';
import { Secrets } from './isn.ts';
import { OutSegment } from './out-segment.ts';
import { Segment } from './segment.ts';
import { TcpSock } from './sock.ts';
import { TCP_RTO_MAX_MS, TCP_RTO_MIN_MS, TCP_SYSCTL_DEFAULTS, type TcpSysctl } from './sysctl.ts';
import { TimerHeap } from './timers.ts';

/** What one TCP instance shares between its socks (struct net, inet_hashinfo). Engine modules take it as `cx`. */
export class TcpContext {
  readonly env: LayerEnv;
  readonly emit: (evt: SkEvt) => void;
  readonly sysctl: TcpSysctl;
  readonly routes: RouteCache;
  readonly secrets: Secrets;
  readonly ehash: Ehash;
  readonly ports = new PortTable();
  readonly timers = new TimerHeap();
  readonly socks = new Map<SkId, TcpSock>();
  readonly ended = new EndedTable();
  /** The time of the call being served. */
  now: Millis = 0;
  /** Socks that flush() visits. */
  dirty: TcpSock[] = [];
  readonly seg = new Segment();
  readonly out = new OutSegment();
  readonly ack = new AckState();
  /** Segments in out-of-order queues, for the ledger. */
  ofoSkbs = 0;
  twCount = 0;
  currEstab = 0;
  illegalTransitions = 0;
  /** RFC 5961 7: when the current second of challenge ACKs began, and how many it had. */
  challengeSecond = -1;
  challengeCount = 0;
  /** RFC 6056 3.3.4: perturbs the port search per destination. */
  readonly portPerturb: Uint32Array;
  private lastChild: number;

  constructor(
    env: LayerEnv,
    opts: {
      emit: (evt: SkEvt) => void;
      ask: (q: RouteQuery) => void;
      secret?: Uint8Array | undefined;
      sysctl?: Partial<TcpSysctl> | undefined;
      childIdBase?: number | undefined;
    },
  ) {
    this.env = env;
    this.emit = opts.emit;
    this.sysctl = { ...TCP_SYSCTL_DEFAULTS, ...opts.sysctl };
    this.routes = new RouteCache(opts.ask);
    this.secrets = new Secrets(env.rng, opts.secret);
    this.ehash = new Ehash(this.secrets);
    this.portPerturb = new Uint32Array(256);
    for (let i = 0; i < 256; i++) this.portPerturb[i] = below(env.rng, 0x10000) * 2;
    this.lastChild = ((opts.childIdBase ?? 1) | 1) - 2;
    env.ledger.addQueue(() => this.ofoSkbs);
    env.mib.set('TcpRtoAlgorithm', 1);
    env.mib.set('TcpRtoMin', TCP_RTO_MIN_MS);
    env.mib.set('TcpRtoMax', TCP_RTO_MAX_MS);
    env.mib.set('TcpMaxConn', -1);
  }

  newSock(id: SkId): TcpSock {
    const { tcpRmem, tcpWmem, tcpReordering } = this.sysctl;
    const cc = defaultCongestionControl(this.sysctl);
    return new TcpSock(id, { rcvbuf: tcpRmem[1], sndbuf: tcpWmem[1], reordering: tcpReordering, cc });
  }

  nextChildId(): SkId {
    do this.lastChild = (this.lastChild + 2) >>> 0;
    while (this.socks.has(this.lastChild));
    return this.lastChild;
  }

  /** flush() shall look at it. */
  touch(sk: TcpSock): void {
    if (sk.dirty) return;
    sk.dirty = true;
    this.dirty.push(sk);
  }

  /** The timestamp clock: 1 ms, with an offset per pair of hosts (RFC 7323 5.4). */
  tsNow(offset: number): number {
    return this.tsAt(offset, this.now);
  }

  /** What that clock said at `ms`. */
  tsAt(offset: number, ms: Millis): number {
    return (Math.floor(ms) + offset) >>> 0;
  }
}
