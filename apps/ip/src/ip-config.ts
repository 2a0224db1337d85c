import { type Ipv4Addr, maskOf, parseIpv4 } from '@skbus/skb';

/** The kernel command line's `ip=` (Documentation/admin-guide/nfs/nfsroot.rst), as far as an address by hand needs it. */
export interface IpConfig {
  client: Ipv4Addr;
  prefixLen: number;
  /** 0: none. */
  gateway: Ipv4Addr;
  host: string;
  /** Empty: the first device that is no loopback. */
  device: string;
}

/** `undefined`: nothing to do (`off`, `none`); a string: what is wrong, naming the field. */
export function parseIpConfig(text: string): IpConfig | undefined | string {
  if (text === '' || text === 'off' || text === 'none') return undefined;
  const [client = '', , gw = '', netmask = '', host = '', device = '', autoconf = ''] = text.split(':');
  if (!text.includes(':') || !['', 'off', 'none'].includes(autoconf)) {
    return `ip=${text}: there is no DHCP or BOOTP here; use ip=ADDRESS::GATEWAY:NETMASK:HOST:DEVICE:off`;
  }
  const addr = parseIpv4(client);
  if (addr === undefined || addr === 0) return `ip=: client address "${client}" is no IPv4 address`;
  const gateway = gw === '' ? 0 : parseIpv4(gw);
  if (gateway === undefined) return `ip=: gateway "${gw}" is no IPv4 address`;
  const prefixLen = netmask === '' ? classfulLen(addr) : maskLen(netmask);
  if (prefixLen === undefined) return `ip=: netmask "${netmask}" is no netmask such as 255.255.255.0`;
  return { client: addr, prefixLen, gateway, host, device };
}

function maskLen(text: string): number | undefined {
  const mask = parseIpv4(text);
  if (mask === undefined) return undefined;
  for (let len = 0; len <= 32; len++) if (maskOf(len) === mask) return len;
  return undefined;
}

/** What ipconfig.c assumes without a netmask: the address's class (RFC 791). */
function classfulLen(addr: Ipv4Addr): number {
  if (addr >>> 31 === 0) return 8;
  return addr >>> 30 === 2 ? 16 : 24;
}
