import { macOfAddress } from '@skbus/dev';
import { ConfigError } from '@skbus/nest-kit';
import { parseCidr, parseMac, type MacAddr } from '@skbus/skb';
import type { NicConfig } from './drivers/driver.ts';
import { parseHostPort } from './drivers/hostport.ts';

/** `SKBUS_NIC_*`. Throws ConfigError naming the variable. */
export function readNicConfig(env: Record<string, string | undefined>, netns: string): NicConfig {
  const get = (name: string): string | undefined => env[`SKBUS_NIC_${name}`] || undefined;
  const backend = oneOf('BACKEND', get('BACKEND') ?? 'wire', ['tap', 'udp', 'wire'] as const);
  const config: NicConfig = {
    backend,
    ifname: ifname('IFNAME', get('IFNAME') ?? 'skb0'),
    kernelIfname: ifname('KERNEL_IFNAME', get('KERNEL_IFNAME') ?? 'skbus0'),
    mac: macOf(get('MAC'), netns),
    mtu: mtuOf(get('MTU')),
    offload: oneOf('OFFLOAD', get('OFFLOAD') ?? 'on', ['on', 'off'] as const) === 'on',
    cable: cableOf(get('CABLE') ?? 'lan'),
  };
  const netnsPath = get('NETNS');
  if (netnsPath !== undefined) config.netnsPath = netnsPath;
  const tapFd = get('TAP_FD');
  if (tapFd !== undefined) config.tapFd = fdOf(tapFd);
  const uplink = get('UPLINK');
  if (uplink !== undefined) config.uplink = uplinkOf(uplink);
  if (backend === 'udp') {
    config.udpLocal = checked('UDP_LOCAL', get('UDP_LOCAL'));
    config.udpPeer = checked('UDP_PEER', get('UDP_PEER'));
  }
  return config;
}

function oneOf<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  const hit = allowed.find((a) => a === value);
  if (hit === undefined) throw new ConfigError(`SKBUS_NIC_${name} "${value}" is none of ${allowed.join(', ')}`);
  return hit;
}

function ifname(name: string, value: string): string {
  if (/^[\w.-]{1,15}$/.test(value)) return value;
  throw new ConfigError(`SKBUS_NIC_${name} "${value}" is no interface name: up to 15 letters, digits, _ . -`);
}

function uplinkOf(value: string): string {
  if (/^[\w.-]{1,15}$/.test(value) || parseCidr(value) !== undefined) return value;
  throw new ConfigError(`SKBUS_NIC_UPLINK "${value}" is neither an interface (eth1) nor a subnet (10.77.0.0/24)`);
}

function macOf(text: string | undefined, netns: string): MacAddr {
  if (text === undefined) return macOfAddress(hash(netns));
  const mac = parseMac(text);
  if (mac === undefined)
    throw new ConfigError(`SKBUS_NIC_MAC "${text}" is no Ethernet address such as 02:00:0a:4d:00:02`);
  if (Math.floor(mac / 0x100_0000_0000) & 1 || mac === 0)
    throw new ConfigError(`SKBUS_NIC_MAC "${text}" is no unicast address`);
  return mac;
}

function mtuOf(text: string | undefined): number {
  const mtu = Number(text ?? 1500);
  if (!Number.isInteger(mtu) || mtu < 68 || mtu > 65_521)
    throw new ConfigError(`SKBUS_NIC_MTU "${text}" is not between 68 and 65521`);
  return mtu;
}

function fdOf(text: string): number {
  if (/^\d{1,4}$/.test(text)) return Number(text);
  throw new ConfigError(`SKBUS_NIC_TAP_FD "${text}" is no file descriptor`);
}

function cableOf(text: string): string {
  if (/^[a-z0-9_-]{1,32}$/.test(text)) return text;
  throw new ConfigError(`SKBUS_NIC_CABLE "${text}" must be 1 to 32 of a–z, 0–9, _ and -`);
}

function checked(name: string, text: string | undefined): string {
  try {
    parseHostPort(text, `SKBUS_NIC_${name}`, false);
  } catch (e) {
    throw new ConfigError(e instanceof Error ? e.message : String(e));
  }
  return text!;
}

/** FNV-1a: a stack without a configured MAC keeps the one its name gives it. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}
