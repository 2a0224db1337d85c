import {
  ERRNO,
  IFF_UP,
  type Ipv4Addr,
  type Route,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_NOWHERE,
  RTN_LOCAL,
  RTN_UNICAST,
} from '@skbus/skb';
import type { Fib } from './fib.ts';
import { FibInfo, type FibNexthop } from './fib-info.ts';
import { fibProps } from './fib-props.ts';

/** net/ipv4/fib_semantics.c:fib_create_info: checks a configuration; the errno, or an info nobody refers to yet. */
export function createInfo(fib: Fib, cfg: Route): FibInfo | number {
  const props = fibProps(cfg.type);
  if (props === undefined || props.scope > cfg.scope) return ERRNO.EINVAL;
  if (props.error !== 0) {
    if (cfg.gateway !== 0 || cfg.oif !== 0) return ERRNO.EINVAL;
    return validPrefsrc(fib, cfg) ? new FibInfo(cfg, undefined) : ERRNO.EINVAL;
  }
  if (cfg.scope > RT_SCOPE_HOST) return ERRNO.EINVAL;
  const nh = cfg.scope === RT_SCOPE_HOST ? hostNexthop(fib, cfg) : checkNexthop(fib, cfg);
  if (typeof nh === 'number') return nh;
  return validPrefsrc(fib, cfg) ? new FibInfo(cfg, nh) : ERRNO.EINVAL;
}

/** A route of host scope ends here: it has a device but never a gateway. */
function hostNexthop(fib: Fib, cfg: Route): FibNexthop | number {
  if (cfg.gateway !== 0) return ERRNO.EINVAL;
  if (fib.devinet.device(cfg.oif) === undefined) return ERRNO.ENODEV;
  return { oif: cfg.oif, gateway: 0, scope: RT_SCOPE_NOWHERE };
}

/** fib_check_nh() */
function checkNexthop(fib: Fib, cfg: Route): FibNexthop | number {
  return cfg.gateway !== 0 ? checkGateway(fib, cfg) : checkDevice(fib, cfg.oif);
}

/** fib_check_nh_nongw() */
function checkDevice(fib: Fib, oif: number): FibNexthop | number {
  const dev = fib.devinet.device(oif);
  if (dev === undefined) return ERRNO.ENODEV;
  if ((dev.flags & IFF_UP) === 0) return ERRNO.ENETDOWN;
  return { oif, gateway: 0, scope: RT_SCOPE_HOST };
}

/** fib_check_nh_v4_gw(): a gateway must itself be reachable by a route nearer than the new one. */
function checkGateway(fib: Fib, cfg: Route): FibNexthop | number {
  if (cfg.oif !== 0 && fib.devinet.device(cfg.oif) === undefined) return ERRNO.ENODEV;
  const scope = Math.max(cfg.scope + 1, RT_SCOPE_LINK);
  const res = fib.lookup({ daddr: cfg.gateway, saddr: 0, tos: 0, oif: cfg.oif, scope });
  if (res.errno !== 0) return res.errno;
  const nh = res.fi?.nh;
  if (nh === undefined || (res.type !== RTN_UNICAST && res.type !== RTN_LOCAL)) return ERRNO.EINVAL;
  const dev = fib.devinet.device(nh.oif);
  if (dev === undefined) return ERRNO.EINVAL;
  if ((dev.flags & IFF_UP) === 0) return ERRNO.ENETDOWN;
  return { oif: nh.oif, gateway: cfg.gateway, scope: res.scope };
}

/** fib_valid_prefsrc(): an address of ours, or the one that the route itself is about to make ours. */
function validPrefsrc(fib: Fib, cfg: Route): boolean {
  const src: Ipv4Addr = cfg.prefsrc;
  if (src === 0 || (cfg.type === RTN_LOCAL && cfg.dst === src)) return true;
  return fib.addrType(src) === RTN_LOCAL;
}
