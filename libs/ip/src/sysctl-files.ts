import type { IpSysctl } from './sysctl.ts';

interface Row {
  key: keyof IpSysctl;
  min: number;
  max: number;
  /** Values of the kernel's file per unit of ours: ipfrag_time is in seconds. */
  unit?: number;
}

const flag = (key: keyof IpSysctl): Row => ({ key, min: 0, max: 1 });
const count = (key: keyof IpSysctl, max = 0x7fffffff, min = 0): Row => ({ key, min, max });
const seconds = (key: keyof IpSysctl): Row => ({ key, min: 0, max: 86_400, unit: 1000 });

/** The kernel's names of what can be set here. */
const ROWS: Readonly<Record<string, Row>> = {
  'net.ipv4.ip_default_ttl': count('ipDefaultTtl', 255, 1),
  'net.ipv4.ip_forward': flag('ipForward'),
  'net.ipv4.icmp_echo_ignore_all': flag('icmpEchoIgnoreAll'),
  'net.ipv4.icmp_echo_ignore_broadcasts': flag('icmpEchoIgnoreBroadcasts'),
  'net.ipv4.icmp_ignore_bogus_error_responses': flag('icmpIgnoreBogusErrorResponses'),
  'net.ipv4.icmp_ratelimit': count('icmpRatelimitMs'),
  'net.ipv4.icmp_ratemask': count('icmpRatemask'),
  'net.ipv4.icmp_msgs_per_sec': count('icmpMsgsPerSec'),
  'net.ipv4.icmp_msgs_burst': count('icmpMsgsBurst'),
  'net.ipv4.ipfrag_time': seconds('ipfragTimeMs'),
  'net.ipv4.ipfrag_high_thresh': count('ipfragHighThresh'),
  'net.ipv4.ipfrag_max_dist': count('ipfragMaxDist'),
  'net.ipv4.route.min_pmtu': count('ipRtMinPmtu', 0xffff, 68),
  'net.ipv4.route.mtu_expires': seconds('ipRtMtuExpiresMs'),
  'net.ipv4.conf.all.rp_filter': count('rpFilter', 2),
  'net.ipv4.conf.all.accept_local': flag('acceptLocal'),
  'net.ipv4.conf.all.accept_source_route': flag('acceptSourceRoute'),
  'net.ipv4.conf.all.drop_unicast_in_l2_multicast': flag('dropUnicastInL2Multicast'),
};

export const ipSysctlNames = (): string[] => Object.keys(ROWS);

/** The value as the kernel's file shows it; `undefined`: no such name. */
export function readIpSysctl(s: IpSysctl, name: string): string | undefined {
  const row = ROWS[name];
  if (row === undefined) return undefined;
  return String(Number(s[row.key]) / (row.unit ?? 1));
}

/** The change a text makes; a string: why it makes none. */
export function parseIpSysctl(name: string, text: string): Partial<IpSysctl> | string {
  const row = ROWS[name];
  if (row === undefined) return `no such key: ${name}`;
  const n = /^\d{1,10}$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (!(n >= row.min && n <= row.max)) return `${name}: "${text}" is not a whole number from ${row.min} to ${row.max}`;
  const boolean = row.min === 0 && row.max === 1;
  return { [row.key]: boolean ? n === 1 : n * (row.unit ?? 1) };
}
