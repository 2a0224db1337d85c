export { TcpStack, type TcpStackOptions } from './stack.ts';
export type { TcpSockInfo } from './info.ts';
export { TCP_SYSCTL_DEFAULTS, type TcpSysctl } from './sysctl.ts';
export { TRANSITIONS, isLegalTransition, transitionsDot } from './transitions.ts';
export { registerCongestionControl, type CongestionControl, type CongestionState } from './cong/cong.ts';
