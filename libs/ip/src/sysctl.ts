import { FRAG_SYSCTL, type FragSysctl } from '@skbus/frag';
import { ICMP_SYSCTL, type IcmpSysctl } from '@skbus/icmp';
import type { Millis } from '@skbus/skb';

/** net.ipv4.*, named like the kernel's keys (ip_default_ttl → ipDefaultTtl). */
export interface IpSysctl extends FragSysctl, IcmpSysctl {
  ipDefaultTtl: number;
  ipForward: boolean;
  /** 0: none, 1: strict, 2: loose (RFC 3704). */
  rpFilter: 0 | 1 | 2;
  acceptLocal: boolean;
  acceptSourceRoute: boolean;
  dropUnicastInL2Multicast: boolean;
  /** A path MTU below this is not believed; packets are cut to it without DF instead. */
  ipRtMinPmtu: number;
  ipRtMtuExpiresMs: Millis;
}

/** Linux's defaults. */
export const IP_SYSCTL: IpSysctl = {
  ...FRAG_SYSCTL,
  ...ICMP_SYSCTL,
  ipDefaultTtl: 64,
  ipForward: false,
  rpFilter: 0,
  acceptLocal: false,
  acceptSourceRoute: false,
  dropUnicastInL2Multicast: false,
  ipRtMinPmtu: 552,
  ipRtMtuExpiresMs: 600_000,
};
