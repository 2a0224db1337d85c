import { AckState } from './ack-state.ts';
import { NEVER, type LayerEnv, type Millis, type RouteQuery, type SkEvt, type SkId } from '@skbus/skb';
import { RouteCache } from '@skbus/dst';
import { defaultCongestionControl } from './cong/registry.ts';
import { Ehash, SockTable } from './demux.ts';
import { EndedTable } from './ended.ts';
import { TcpFaults, tellWindows } from './faults.ts';
import { FastOpenContext } from './fastopen.ts';
import { Secrets } from './isn.ts';
import { Listeners } from './listeners.ts';
import { OutSegment } from './out-segment.ts';
import { PortTable } from './port-table.ts';
import type { Restoring } from './restoring.ts';
import { Segment } from './segment.ts';
import { Slab } from './slab.ts';
import { TcpSock } from './sock.ts';
import { SOCK_NUMBERS } from './sock-layout.ts';
import {
  SK_PACING_SHIFT,
  TCP_RTO_MAX_MS,
  TCP_RTO_MIN_MS,
  TABLE_PERTURB_SIZE,
  TCP_SYSCTL_DEFAULTS,
  type TcpSysctl,
} from './sysctl.ts';
import { TimerHeap } from './timers.ts';
import type { ProbeFloorMs } from './tlp.ts';

/** What one TCP instance shares between its socks (struct net, inet_hashinfo). Engine modules take it as `cx`. */
export class TcpContext {
  readonly env: LayerEnv;
  readonly emit: (evt: SkEvt) => void;
  readonly sysctl: TcpSysctl;
  readonly probeFloorMs: ProbeFloorMs;
  /** sk_pacing_shift */
  readonly pacingShift: number;
  /** Where the running sums of what was sent start on the wire: a service that came back starts elsewhere. */
  readonly wmemBase: number;
  readonly routes: RouteCache;
  readonly secrets: Secrets;
  readonly ehash: Ehash;
  readonly listeners: Listeners;
  readonly fastopen: FastOpenContext;
  readonly ports = new PortTable();
  readonly timers = new TimerHeap();
  readonly slab = new Slab(Object.values(SOCK_NUMBERS));
  readonly socks = new SockTable();
  readonly ended = new EndedTable();
  readonly faults = new TcpFaults((now) => {
    this.now = now;
    tellWindows(this);
  });
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
  /** This TCP was started in the place of another; undefined: not, or no longer. */
  restoring: Restoring | undefined = undefined;
  /** What it is then known by. */
  hello = 0;
  /** What was restored: connections and listeners, requests, TIME-WAITs. */
  readonly restored = { socks: 0, requests: 0, timeWaits: 0, failed: 0 };
  private perturb: Uint32Array | undefined = undefined;
  /** Until then a new socket layer may adopt what the one before it had; NEVER: there is nothing to adopt. */
  adoptUntilMs: Millis = NEVER;
  /** Orphans: connections that go on without an owner. */
  orphans = 0;
  private lastChild: number;

  constructor(
    env: LayerEnv,
    opts: {
      emit: (evt: SkEvt) => void;
      ask: (q: RouteQuery) => void;
      secret?: Uint8Array | undefined;
      sysctl?: Partial<TcpSysctl> | undefined;
      probeFloorMs?: ProbeFloorMs | undefined;
      childIdBase?: number | undefined;
      pacingShift?: number | undefined;
    },
  ) {
    this.env = env;
    this.emit = opts.emit;
    this.sysctl = { ...TCP_SYSCTL_DEFAULTS, ...opts.sysctl };
    this.probeFloorMs = opts.probeFloorMs ?? { newData: 0, retrans: 0 };
    this.pacingShift = opts.pacingShift ?? SK_PACING_SHIFT;
    this.wmemBase = opts.childIdBase ?? 0;
    this.routes = new RouteCache(opts.ask);
    this.secrets = new Secrets(env.rng, opts.secret);
    this.ehash = new Ehash(this.secrets);
    this.listeners = new Listeners(this.secrets);
    this.fastopen = new FastOpenContext(this.secrets.derive(0x74666f));
    this.lastChild = ((opts.childIdBase ?? 1) | 1) - 2;
    env.ledger.addQueue(() => this.ofoSkbs);
    env.mib.set('TcpRtoAlgorithm', 1);
    env.mib.set('TcpRtoMin', TCP_RTO_MIN_MS);
    env.mib.set('TcpRtoMax', TCP_RTO_MAX_MS);
    env.mib.set('TcpMaxConn', -1);
  }

  /** Perturbs the port search per destination (RFC 6056 3.3.4, table_perturb). Made for the first connect(). */
  get portPerturb(): Uint32Array {
    if (this.perturb === undefined) {
      const table = new Uint32Array(TABLE_PERTURB_SIZE);
      for (let i = 0; i < TABLE_PERTURB_SIZE; i++) table[i] = this.env.rng.u32();
      this.perturb = table;
    }
    return this.perturb;
  }

  newSock(id: SkId): TcpSock {
    const { tcpRmem, tcpWmem, tcpReordering } = this.sysctl;
    const cc = defaultCongestionControl(this.sysctl);
    return new TcpSock(id, this.slab, { rcvbuf: tcpRmem[1], sndbuf: tcpWmem[1], reordering: tcpReordering, cc });
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
