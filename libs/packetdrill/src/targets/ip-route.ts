import {
  errnoText,
  parseCidr,
  parseIpv4,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RTN_UNICAST,
  RTPROT_STATIC,
  type Route,
} from '@skbus/skb';
import type { Host } from '@skbus/sim';

/** `ip route add|replace|change|append|del DST [via GW] [dev DEV] [src IP] [mtu [lock] N]` on a simulated host. */
export function ipRoute(host: Host, words: readonly string[]): void {
  const [verb = '', dst = '', ...rest] = words;
  if (verb === 'flush' || verb === 'show' || verb === 'get') return;
  const to = dst === 'default' ? { addr: 0, len: 0 } : parseCidr(dst.includes('/') ? dst : `${dst}/32`);
  if (to === undefined) throw new Error(`'${dst}' is no destination`);
  const route: Route = {
    ...{ dst: to.addr, dstLen: to.len, gateway: 0, oif: 2, prefsrc: 0 },
    ...{
      table: RT_TABLE_MAIN,
      type: RTN_UNICAST,
      scope: RT_SCOPE_LINK,
      protocol: RTPROT_STATIC,
      metric: 0,
      tos: 0,
      mtu: 0,
    },
  };
  for (let i = 0; i < rest.length; i += 2) {
    if (rest[i] === 'mtu' && rest[i + 1] === 'lock') i++;
    apply(route, rest[i]!, rest[i + 1] ?? '');
  }
  const now = host.shells.ip.now;
  if (verb !== 'add' && verb !== 'append') host.shells.ip.run(() => host.ip.delRoute({ ...route, gateway: 0, mtu: 0 }));
  if (verb === 'del' || verb === 'delete') return;
  const errno = host.shells.ip.run(() => host.ip.addRoute(route));
  if (errno !== 0) throw new Error(`${errnoText(errno)} (at ${now})`);
}

function apply(route: Route, key: string, value: string): void {
  switch (key) {
    case 'via':
      route.gateway = addressOf(value);
      route.scope = RT_SCOPE_UNIVERSE;
      return;
    case 'src':
      route.prefsrc = addressOf(value);
      return;
    case 'mtu':
      route.mtu = Number(value);
      return;
    case 'dev':
    case 'proto':
    case 'scope':
    case 'table':
      return;
    default:
      throw new Error(`'ip route … ${key}' is not supported by the engine target`);
  }
}

function addressOf(text: string): number {
  const a = parseIpv4(text);
  if (a === undefined) throw new Error(`'${text}' is no IPv4 address`);
  return a;
}
