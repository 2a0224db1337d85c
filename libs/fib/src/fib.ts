import {
  ERRNO,
  formatIpv4,
  type Ipv4Addr,
  isMulticastIpv4,
  isZeronetIpv4,
  type LayerEnv,
  NUD_NONE,
  NUD_REACHABLE,
  type Route,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_DEFAULT,
  RT_TABLE_LOCAL,
  RT_TABLE_MAIN,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_MULTICAST,
  RTN_UNICAST,
  type SkBuff,
} from '@skbus/skb';
import { Devinet } from './devinet.ts';
import { type FibInfo, FibInfoTable } from './fib-info.ts';
import {
  type FibAlias,
  type FibFlow,
  type FibResult,
  FibTable,
  type InsertMode,
  isDefaultCandidate,
  validPrefix,
} from './fib-table.ts';
import { createInfo } from './fib-semantics.ts';
import { RouteFaults } from './route-faults.ts';

const NUD_INCOMPLETE = 0x01;
const NUD_VALID = 0xde;

/**
 * The forwarding information base: three tables over one set of fib_infos, asked in the kernel's order local, main,
 * default (what fib4_rules_init() sets up). Read docs/NAMES.md for which of Linux's files has which part.
 */
export class Fib {
  readonly devinet = new Devinet();
  readonly routeFaults = new RouteFaults(() => this.devinet.devices());
  private readonly infos = new FibInfoTable();
  private readonly tables: readonly FibTable[];
  private readonly env: LayerEnv;
  /** NUD_* of a gateway as far as known; NUD_NONE: no entry. */
  private readonly neighState: (ifindex: number, gateway: Ipv4Addr) => number;

  constructor(env: LayerEnv, neighState: (ifindex: number, gateway: Ipv4Addr) => number = () => NUD_NONE) {
    this.env = env;
    this.neighState = neighState;
    this.tables = [
      new FibTable(RT_TABLE_LOCAL, this.infos),
      ...[RT_TABLE_MAIN, RT_TABLE_DEFAULT].map((id) => new FibTable(id, this.infos, this.routeFaults)),
    ];
  }

  /** fib_infos in use; each may serve many routes. */
  get infoCount(): number {
    return this.infos.size;
  }

  table(id: number): FibTable | undefined {
    return this.tables.find((t) => t.id === id);
  }

  /** include/net/ip_fib.h:fib_lookup. Nothing found is ENETUNREACH. */
  lookup(flow: FibFlow, skb?: SkBuff): FibResult {
    this.env.trace('fib_lookup', skb);
    const res = this.peek(flow);
    if (this.env.tracing) this.traceLookup(flow, res, skb);
    return res;
  }

  /** The same for our own purposes, where the kernel asks nothing: leaves no trace. */
  peek(flow: FibFlow): FibResult {
    let res: FibResult | undefined;
    for (const t of this.tables) {
      res = t.lookup(flow);
      if (res.errno !== ERRNO.ESRCH) break;
    }
    const found = res!;
    if (found.errno === ERRNO.ESRCH) found.errno = ERRNO.ENETUNREACH;
    return found;
  }

  /** net/ipv4/fib_semantics.c:fib_select_path: which of several next hops; then the source address. */
  selectPath(res: FibResult, flow: FibFlow, skb?: SkBuff): void {
    this.env.trace('fib_select_path', skb);
    const t = this.table(res.table);
    if (flow.oif === 0 && res.prefixLen === 0 && res.type === RTN_UNICAST && t !== undefined && t.numDefault > 1) {
      this.env.trace('fib_select_default', skb);
      this.selectDefault(res, flow);
    }
    if (flow.saddr === 0) flow.saddr = this.prefsrc(res, flow.daddr);
  }

  /** fib_result_prefsrc(): what the route says, else an address of the device that suits the next hop. */
  prefsrc(res: FibResult, daddr: Ipv4Addr): Ipv4Addr {
    const { fi } = res;
    if (fi?.nh === undefined) return 0;
    if (fi.prefsrc !== 0) return fi.prefsrc;
    return this.devinet.selectAddr(fi.nh.oif, fi.nh.gateway || daddr, fi.scope);
  }

  /** net/ipv4/fib_frontend.c:inet_addr_type: RTN_LOCAL, RTN_BROADCAST, RTN_MULTICAST, else RTN_UNICAST. */
  addrType(addr: Ipv4Addr): number {
    if (isZeronetIpv4(addr) || addr === 0xffffffff) return RTN_BROADCAST;
    if (isMulticastIpv4(addr)) return RTN_MULTICAST;
    const res = this.tables[0]!.lookup({ daddr: addr, saddr: 0, tos: 0, oif: 0, scope: RT_SCOPE_UNIVERSE });
    return res.errno === 0 ? res.type : RTN_UNICAST;
  }

  isLocal(addr: Ipv4Addr): boolean {
    return this.addrType(addr) === RTN_LOCAL;
  }

  /** rtm_to_fib_config → fib_new_table → fib_table_insert. */
  insert(cfg: Route, mode: InsertMode): number {
    const t = this.table(cfg.table);
    if (t === undefined) return ERRNO.EINVAL;
    if (!validPrefix(cfg.dst, cfg.dstLen) || (cfg.tos & ~0x1c) !== 0) return ERRNO.EINVAL;
    this.env.trace('fib_table_insert');
    this.env.trace('fib_create_info');
    const fi = createInfo(this, cfg);
    if (typeof fi === 'number') return fi;
    return t.insert(cfg, this.infos.share(fi), mode);
  }

  delete(cfg: Partial<Route> & { dst: Ipv4Addr; dstLen: number }): number {
    const t = this.table(cfg.table ?? RT_TABLE_MAIN);
    if (t === undefined) return ERRNO.ESRCH;
    if (!validPrefix(cfg.dst, cfg.dstLen)) return ERRNO.EINVAL;
    this.env.trace('fib_table_delete');
    return t.delete(cfg);
  }

  /** Removes every route for which `dead` says so, from all tables. */
  flush(dead: (fi: FibInfo, type: number) => boolean): number {
    let n = 0;
    for (const t of this.tables) n += t.flush(dead);
    return n;
  }

  dump(table?: number): Route[] {
    return this.tables.filter((t) => table === undefined || table === 0 || t.id === table).flatMap((t) => t.dump());
  }

  /**
   * Of several equal default routes takes the first whose gateway's neighbour entry is not dead, remembering the choice
   * (net/ipv4/fib_semantics.c:fib_select_default).
   */
  private selectDefault(res: FibResult, flow: FibFlow): void {
    const set = defaultCandidates(res, flow.tos);
    if (set[0]?.fi !== res.fi) return;
    const first = set[0]!;
    let lastResort = -1;
    for (const [order, fa] of set.entries()) {
      const state = set.length === 1 ? NUD_REACHABLE : this.neighState(fa.fi.nh!.oif, fa.fi.nh!.gateway);
      const valid = (state & NUD_VALID) !== 0;
      if (state === NUD_NONE || state === NUD_REACHABLE || (valid && order !== first.fallback)) {
        first.fallback = order;
        res.fi = fa.fi;
        return;
      }
      if (valid || (lastResort < 0 && order > first.fallback && state !== NUD_INCOMPLETE)) lastResort = order;
    }
    if (lastResort >= 0) res.fi = set[lastResort]!.fi;
    first.fallback = lastResort;
  }

  private traceLookup(flow: FibFlow, res: FibResult, skb: SkBuff | undefined): void {
    const nh = res.fi?.nh;
    this.env.trace('fib_table_lookup', skb, {
      table: res.table,
      oif: flow.oif,
      tos: flow.tos,
      scope: flow.scope,
      src: formatIpv4(flow.saddr),
      dst: formatIpv4(flow.daddr),
      err: res.errno === 0 ? 0 : -res.errno,
      ...(res.fi === undefined ? {} : { prefix: `${formatIpv4(res.prefix)}/${res.prefixLen}`, type: res.type }),
      ...(nh === undefined
        ? {}
        : { gw: formatIpv4(nh.gateway), dev: this.devinet.device(nh.oif)?.name ?? `if${nh.oif}` }),
    });
  }
}

/** The routes that may stand in for each other: same prefix, metric and scope, each through a gateway on the link. */
function defaultCandidates(res: FibResult, tos: number): FibAlias[] {
  const { priority } = res.fi!;
  return res.aliases.filter(
    (fa) =>
      (fa.tos === 0 || fa.tos === tos) && fa.fi.priority === priority && isDefaultCandidate(fa, RT_SCOPE_UNIVERSE),
  );
}
