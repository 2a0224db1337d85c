export { Icmp, ICMP_SYSCTL, type IcmpSysctl } from './icmp.ts';
export { IcmpRatelimit, type RateSysctl } from './icmp-ratelimit.ts';
export { HEADROOM, IcmpSender } from './icmp-send.ts';
export { icmpErrno, isIcmpError, unreachCode } from './icmp-types.ts';
export { icmpFlow, type IcmpLower, type IcmpRoute } from './lower.ts';
export { type PingRequest, type PingResult, PingTable } from './ping.ts';
