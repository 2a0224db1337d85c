export { type Dst, type DstOutput } from './dst.ts';
export { HhCache, type HhEntry } from './hh-cache.ts';
export type { NetProtocol } from './ip-input.ts';
export { IpStack, type IpStackOptions } from './ip-stack.ts';
export { ipSysctlNames, parseIpSysctl, readIpSysctl } from './sysctl-files.ts';
export { IP_SYSCTL, type IpSysctl } from './sysctl.ts';
export { defaultScope } from '@skbus/fib';
export type { PingRequest, PingResult } from '@skbus/icmp';
