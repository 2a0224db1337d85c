import type { Ipv4Addr, Route } from '@skbus/skb';

/** A next hop (include/net/ip_fib.h:fib_nh). */
export interface FibNexthop {
  readonly oif: number;
  /** 0: the destination itself is on the link. */
  readonly gateway: Ipv4Addr;
  /** How far away the next hop is (RT_SCOPE_*): NOWHERE for ourselves, HOST on-link, LINK behind a gateway. */
  readonly scope: number;
}

/** What several routes may share (include/net/ip_fib.h:fib_info): everything but prefix, TOS and type of the alias. */
export class FibInfo {
  /** Aliases that point here (fib_treeref). */
  treeref = 0;
  readonly key: string;
  readonly table: number;
  readonly type: number;
  readonly protocol: number;
  readonly scope: number;
  readonly priority: number;
  readonly prefsrc: Ipv4Addr;
  /** 0: the device's. */
  readonly mtu: number;
  /** `undefined` for types that only give an error. */
  readonly nh: FibNexthop | undefined;

  constructor(cfg: Route, nh: FibNexthop | undefined) {
    this.table = cfg.table;
    this.type = cfg.type;
    this.protocol = cfg.protocol;
    this.scope = cfg.scope;
    this.priority = cfg.metric;
    this.prefsrc = cfg.prefsrc;
    this.mtu = cfg.mtu;
    this.nh = nh;
    const hop = nh === undefined ? '-' : `${nh.oif},${nh.gateway},${nh.scope}`;
    this.key = `${cfg.table}/${cfg.type}/${cfg.protocol}/${cfg.scope}/${cfg.metric}/${cfg.prefsrc}/${cfg.mtu}/${hop}`;
  }

  /** The same by another next hop. */
  via(nh: FibNexthop): FibInfo {
    const { table, type, protocol, scope, priority: metric, prefsrc, mtu } = this;
    const { oif, gateway } = nh;
    return new FibInfo(
      { dst: 0, dstLen: 0, tos: 0, oif, gateway, table, type, protocol, scope, metric, prefsrc, mtu },
      nh,
    );
  }
}

/** All fib_infos, each once (fib_info_hash). */
export class FibInfoTable {
  private readonly infos = new Map<string, FibInfo>();

  get size(): number {
    return this.infos.size;
  }

  /** fib_find_info(): the one that is already there, else this one; takes a reference. */
  share(fi: FibInfo): FibInfo {
    const one = this.infos.get(fi.key) ?? fi;
    if (one === fi) this.infos.set(fi.key, fi);
    one.treeref++;
    return one;
  }

  /** fib_release_info() */
  release(fi: FibInfo): void {
    if (--fi.treeref === 0) this.infos.delete(fi.key);
  }
}
