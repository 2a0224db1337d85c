import { FaultCases, type FaultCase, type Ipv4Addr, type LayerFaults, type NetDevice, RT_SCOPE_LINK } from '@skbus/skb';
import type { FibAlias } from './fib-table.ts';

/** Entries that a rule makes the FIB forget, or take for others; the tables stay as they are. */
export class RouteFaults {
  /** What was looked up before holds no longer. */
  changed: () => void = () => {};
  readonly missing = new FaultCases(() => this.changed());
  readonly wrong = new FaultCases(() => this.changed());
  readonly faults: LayerFaults = {
    'route-missing': { begin: this.missing.begin },
    'route-wrong': { begin: this.wrong.begin },
  };
  private readonly devices: () => readonly NetDevice[];

  constructor(devices: () => readonly NetDevice[]) {
    this.devices = devices;
  }

  get any(): boolean {
    return this.missing.on !== undefined || this.wrong.on !== undefined;
  }

  /** What a lookup finds at this prefix. */
  see(prefix: Ipv4Addr, len: number, found: readonly FibAlias[]): readonly FibAlias[] {
    const here = ({ params }: FaultCase): boolean => params.prefix === prefix && params.prefixLen === len;
    if (this.missing.list.some(here)) return [];
    const c = this.wrong.list.find(here);
    return c === undefined ? found : found.map((fa) => this.misled(fa, c));
  }

  private misled(fa: FibAlias, { params, dev }: FaultCase): FibAlias {
    const { nh } = fa.fi;
    if (nh === undefined) return fa;
    const oif = this.devices().find((d) => d.name === dev)?.ifindex ?? nh.oif;
    return { ...fa, fi: fa.fi.via({ oif, gateway: params.via!, scope: RT_SCOPE_LINK }) };
  }
}
