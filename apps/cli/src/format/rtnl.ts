// Numbers of rtnetlink and the words iproute2 has for them (/etc/iproute2/rt_*, lib/rt_names.c).
import {
  IFF_BROADCAST,
  IFF_LOOPBACK,
  IFF_LOWER_UP,
  IFF_MULTICAST,
  IFF_NOARP,
  IFF_RUNNING,
  IFF_UP,
  NUD_DELAY,
  NUD_FAILED,
  NUD_INCOMPLETE,
  NUD_NOARP,
  NUD_NONE,
  NUD_PERMANENT,
  NUD_PROBE,
  NUD_REACHABLE,
  NUD_STALE,
} from '@skbus/skb';

type Names = readonly (readonly [number, string])[];

export const SCOPES: Names = [
  [0, 'global'],
  [200, 'site'],
  [253, 'link'],
  [254, 'host'],
  [255, 'nowhere'],
];
export const PROTOCOLS: Names = [
  [0, 'unspec'],
  [1, 'redirect'],
  [2, 'kernel'],
  [3, 'boot'],
  [4, 'static'],
  [16, 'dhcp'],
];
export const TABLES: Names = [
  [0, 'all'],
  [253, 'default'],
  [254, 'main'],
  [255, 'local'],
];
export const TYPES: Names = [
  [1, 'unicast'],
  [2, 'local'],
  [3, 'broadcast'],
  [4, 'anycast'],
  [5, 'multicast'],
  [6, 'blackhole'],
  [7, 'unreachable'],
  [8, 'prohibit'],
  [9, 'throw'],
];
// prettier-ignore
export const NUD: Names = [
  [NUD_NONE, 'NONE'], [NUD_INCOMPLETE, 'INCOMPLETE'], [NUD_REACHABLE, 'REACHABLE'], [NUD_STALE, 'STALE'], [NUD_DELAY, 'DELAY'],
  [NUD_PROBE, 'PROBE'], [NUD_FAILED, 'FAILED'], [NUD_NOARP, 'NOARP'], [NUD_PERMANENT, 'PERMANENT'],
];
const FLAGS: Names = [
  [IFF_LOOPBACK, 'LOOPBACK'],
  [IFF_BROADCAST, 'BROADCAST'],
  [0x10, 'POINTOPOINT'],
  [IFF_MULTICAST, 'MULTICAST'],
  [IFF_NOARP, 'NOARP'],
  [0x200, 'ALLMULTI'],
  [0x100, 'PROMISC'],
  [IFF_UP, 'UP'],
  [IFF_LOWER_UP, 'LOWER_UP'],
];

export const nameOf = (names: Names, n: number): string => names.find(([v]) => v === n)?.[1] ?? String(n);

export function valueOf(names: Names, word: string): number | undefined {
  const hit = names.find(([, name]) => name.toLowerCase() === word.toLowerCase());
  if (hit) return hit[0];
  return /^(\d+|0x[0-9a-f]+)$/i.test(word) ? Number(word) : undefined;
}

/** ip/ipaddress.c:print_link_flags */
export function flagNames(flags: number): string[] {
  const names = FLAGS.filter(([bit]) => flags & bit).map(([, name]) => name);
  return flags & IFF_UP && !(flags & IFF_RUNNING) ? ['NO-CARRIER', ...names] : names;
}

export function operstate(flags: number): string {
  if (flags & IFF_LOOPBACK) return flags & IFF_UP ? 'UNKNOWN' : 'DOWN';
  return flags & IFF_UP && flags & IFF_RUNNING ? 'UP' : 'DOWN';
}

export const isLoopback = (flags: number): boolean => (flags & IFF_LOOPBACK) !== 0;
