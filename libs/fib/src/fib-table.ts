import { ERRNO, type Ipv4Addr, maskOf, RTN_UNICAST, RT_SCOPE_LINK, RT_SCOPE_NOWHERE, type Route } from '@skbus/skb';
import type { FibInfo, FibInfoTable } from './fib-info.ts';
import { fibProps } from './fib-props.ts';
import { FibTrie } from './fib-trie.ts';
import type { RouteFaults } from './route-faults.ts';

/** One route to a prefix (net/ipv4/fib_lookup.h:fib_alias). */
export interface FibAlias {
  readonly tos: number;
  readonly type: number;
  fi: FibInfo;
  /** Which of several equal default routes was used last; -1: none (fa_default). */
  fallback: number;
}

/** What is looked up (the part of flowi4 that the FIB sees). */
export interface FibFlow {
  daddr: Ipv4Addr;
  saddr: Ipv4Addr;
  tos: number;
  /** 0: any. */
  oif: number;
  /** Only routes of this scope or nearer. */
  scope: number;
}

/** include/net/ip_fib.h:fib_result; `errno` 0: found, ESRCH: nothing here suits, else what the route type says. */
export interface FibResult {
  errno: number;
  type: number;
  scope: number;
  prefix: Ipv4Addr;
  prefixLen: number;
  table: number;
  fi: FibInfo | undefined;
  /** All routes to the prefix, for fib_select_default(). */
  aliases: readonly FibAlias[];
}

/** NLM_F_EXCL (the default of `ip route add`), NLM_F_APPEND, NLM_F_REPLACE. */
export type InsertMode = 'excl' | 'append' | 'replace';

/** A routing table (include/net/ip_fib.h:fib_table): a trie of alias lists, ordered by TOS (high first) and metric. */
export class FibTable {
  readonly id: number;
  /** Routes to 0.0.0.0/0 (tb_num_default). */
  numDefault = 0;
  private readonly trie = new FibTrie<FibAlias[]>();
  private readonly infos: FibInfoTable;
  private readonly faults: RouteFaults | undefined;

  /** `faults`: what rules say about its entries. */
  constructor(id: number, infos: FibInfoTable, faults?: RouteFaults) {
    this.id = id;
    this.infos = infos;
    this.faults = faults;
  }

  /** net/ipv4/fib_trie.c:fib_table_lookup */
  lookup(flow: FibFlow): FibResult {
    for (let n = this.trie.match(flow.daddr); n !== undefined; n = n.shorter()) {
      const aliases = this.faults?.any === true ? this.faults.see(n.key, n.len, n.value!) : n.value!;
      for (const fa of aliases) {
        if (fa.tos !== 0 && fa.tos !== flow.tos) continue;
        if (fa.fi.scope < flow.scope) continue;
        const errno = fibProps(fa.type)!.error;
        if (errno === 0 && flow.oif !== 0 && fa.fi.nh!.oif !== flow.oif) continue;
        const { type, fi } = fa;
        return { errno, type, scope: fi.scope, prefix: n.key, prefixLen: n.len, table: this.id, fi, aliases };
      }
    }
    return {
      errno: ERRNO.ESRCH,
      type: 0,
      scope: 0,
      prefix: 0,
      prefixLen: 0,
      table: this.id,
      fi: undefined,
      aliases: [],
    };
  }

  /** net/ipv4/fib_trie.c:fib_table_insert; takes over the reference to `fi`. */
  insert(cfg: Route, fi: FibInfo, mode: InsertMode): number {
    const list = this.trie.get(cfg.dst, cfg.dstLen);
    const fa: FibAlias = { tos: cfg.tos, type: cfg.type, fi, fallback: -1 };
    if (list === undefined) {
      this.trie.set(cfg.dst, cfg.dstLen, [fa]);
      this.counted(cfg.dstLen, 1);
      return 0;
    }
    const same = (a: FibAlias): boolean => a.tos === fa.tos && a.fi.priority === fi.priority;
    const first = list.findIndex((a) => a.tos < fa.tos || (a.tos === fa.tos && a.fi.priority >= fi.priority));
    let at = first < 0 ? list.length : first;
    if (first >= 0 && same(list[first]!)) {
      const twin = list.findIndex((a) => same(a) && a.type === fa.type && a.fi === fi);
      if (mode === 'replace' && twin < 0) {
        this.infos.release(list[first]!.fi);
        list[first] = fa;
        return 0;
      }
      if (mode === 'excl' || twin >= 0) {
        this.infos.release(fi);
        return mode === 'replace' && twin === first ? 0 : ERRNO.EEXIST;
      }
      while (at < list.length && same(list[at]!)) at++;
    }
    list.splice(at, 0, fa);
    this.counted(cfg.dstLen, 1);
    return 0;
  }

  /** net/ipv4/fib_trie.c:fib_table_delete: removes the first route that matches everything the caller named. */
  delete(cfg: Partial<Route> & { dst: Ipv4Addr; dstLen: number }): number {
    const list = this.trie.get(cfg.dst, cfg.dstLen);
    if (list === undefined) return ERRNO.ESRCH;
    const at = list.findIndex((fa) => matches(fa, cfg));
    if (at < 0) return ERRNO.ESRCH;
    this.remove(cfg.dst, cfg.dstLen, list, at);
    return 0;
  }

  /** fib_table_flush(): removes every route for which `dead` says so; how many went. */
  flush(dead: (fi: FibInfo, type: number) => boolean): number {
    let n = 0;
    for (const node of this.trie.entries()) {
      const list = node.value!;
      for (let i = list.length - 1; i >= 0; i--) {
        if (!dead(list[i]!.fi, list[i]!.type)) continue;
        this.remove(node.key, node.len, list, i);
        n++;
      }
    }
    return n;
  }

  /** fib_table_dump() */
  dump(): Route[] {
    const out: Route[] = [];
    for (const node of this.trie.entries()) {
      for (const { tos, type, fi } of node.value!) {
        out.push({
          dst: node.key,
          dstLen: node.len,
          gateway: fi.nh?.gateway ?? 0,
          oif: fi.nh?.oif ?? 0,
          prefsrc: fi.prefsrc,
          table: this.id,
          type,
          scope: fi.scope,
          protocol: fi.protocol,
          metric: fi.priority,
          tos,
          mtu: fi.mtu,
        });
      }
    }
    return out;
  }

  private remove(dst: Ipv4Addr, dstLen: number, list: FibAlias[], at: number): void {
    this.infos.release(list[at]!.fi);
    list.splice(at, 1);
    if (list.length === 0) this.trie.delete(dst, dstLen);
    this.counted(dstLen, -1);
  }

  private counted(dstLen: number, by: number): void {
    if (dstLen === 0) this.numDefault += by;
  }
}

/** Whether a gateway can be one of several default routes to choose from (fib_select_default). */
export const isDefaultCandidate = (fa: FibAlias, scope: number): boolean =>
  fa.type === RTN_UNICAST &&
  fa.fi.scope === scope &&
  fa.fi.nh !== undefined &&
  fa.fi.nh.gateway !== 0 &&
  fa.fi.nh.scope === RT_SCOPE_LINK;

/** True when the prefix has no bits beyond its length (fib_valid_key_len). */
export const validPrefix = (dst: Ipv4Addr, len: number): boolean =>
  Number.isInteger(len) && len >= 0 && len <= 32 && (dst & ~maskOf(len)) === 0;

function matches(fa: FibAlias, cfg: Partial<Route>): boolean {
  const { fi } = fa;
  if (fa.tos !== (cfg.tos ?? 0)) return false;
  if (cfg.type && fa.type !== cfg.type) return false;
  if (cfg.scope !== undefined && cfg.scope !== RT_SCOPE_NOWHERE && fi.scope !== cfg.scope) return false;
  if (cfg.prefsrc && fi.prefsrc !== cfg.prefsrc) return false;
  if (cfg.protocol && fi.protocol !== cfg.protocol) return false;
  if (cfg.metric && fi.priority !== cfg.metric) return false;
  if (cfg.oif && fi.nh?.oif !== cfg.oif) return false;
  if (cfg.gateway && fi.nh?.gateway !== cfg.gateway) return false;
  return !cfg.mtu || fi.mtu === cfg.mtu;
}
