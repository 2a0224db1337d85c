import { parseIpv4, type Ipv4Addr } from '@skbus/skb';
import { CmdlineError } from './cmdline-error.ts';

/** `ip=client:server:gateway:netmask:hostname:device:autoconf:dns0:dns1:ntp0` (Documentation/admin-guide/nfs/nfsroot.rst). */
export interface IpParam {
  /** As it goes to ip_auto_config. */
  text: string;
  /** `ip=off` or `ip=none`: no address. */
  off: boolean;
  client: Ipv4Addr | undefined;
  server: Ipv4Addr | undefined;
  gateway: Ipv4Addr | undefined;
  netmask: Ipv4Addr | undefined;
  hostname: string;
  device: string;
  autoconf: string;
  dns: Ipv4Addr[];
  ntp: Ipv4Addr | undefined;
}

const FIELDS = [
  'client-ip',
  'server-ip',
  'gw-ip',
  'netmask',
  'hostname',
  'device',
  'autoconf',
  'dns0-ip',
  'dns1-ip',
  'ntp0-ip',
];
const ALONE = /^(off|none|on|any|dhcp|bootp|rarp|both)$/;

/** Throws CmdlineError that names the field. */
export function parseIpParam(text: string): IpParam {
  if (text === '' || ALONE.test(text)) return alone(text);
  const f = text.split(':');
  if (f.length > FIELDS.length)
    throw new CmdlineError(`ip=${text}: more than ${FIELDS.length} fields (${FIELDS.join(':')})`);
  const addr = (i: number): Ipv4Addr | undefined => {
    const field = f[i] ?? '';
    if (field === '') return undefined;
    const a = parseIpv4(field);
    if (a === undefined) throw new CmdlineError(`ip=: ${FIELDS[i]} "${field}" is not an IPv4 address`);
    return a;
  };
  const p: IpParam = {
    text,
    off: false,
    client: addr(0),
    server: addr(1),
    gateway: addr(2),
    netmask: addr(3),
    hostname: f[4] ?? '',
    device: f[5] ?? '',
    autoconf: f[6] ?? '',
    dns: [addr(7), addr(8)].filter((a) => a !== undefined),
    ntp: addr(9),
  };
  if (p.client === undefined)
    throw new CmdlineError('ip=: client-ip is missing; give the address, there is no DHCP client here');
  if (p.netmask !== undefined && !isMask(p.netmask)) throw new CmdlineError(`ip=: netmask "${f[3]}" has holes`);
  if (p.device.length > 15) throw new CmdlineError(`ip=: device "${p.device}" is longer than 15 characters`);
  if (p.autoconf !== '' && !/^(off|none)$/.test(p.autoconf)) {
    throw new CmdlineError(`ip=: autoconf "${p.autoconf}" is not available here; use off and give the address`);
  }
  return p;
}

function alone(word: string): IpParam {
  if (word !== 'off' && word !== 'none') {
    throw new CmdlineError(
      `ip=${word}: there is no DHCP client here; give the address, as in ip=10.77.0.2::10.77.0.1:255.255.255.0::skb0:off`,
    );
  }
  return {
    text: word,
    off: true,
    client: undefined,
    server: undefined,
    gateway: undefined,
    netmask: undefined,
    hostname: '',
    device: '',
    autoconf: word,
    dns: [],
    ntp: undefined,
  };
}

const isMask = (m: Ipv4Addr): boolean => {
  const host = ~m >>> 0;
  return (host & (host + 1)) === 0;
};
