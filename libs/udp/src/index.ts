export { UdpStack } from './udp-stack.ts';
export type { UdpOptions } from './context.ts';
export type { UdpSockInfo } from './sock.ts';
export { UDP_SYSCTL_DEFAULTS, type UdpSysctl } from './sysctl.ts';
export { UDP_PAYLOAD_MAX } from './output.ts';
