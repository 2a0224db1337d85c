export { TcpStack, type TcpStackOptions } from './stack.ts';
export type { TcpSockInfo } from './info.ts';
export { TCP_SYSCTL_DEFAULTS, type TcpSysctl } from './sysctl.ts';
export { parseTcpSysctl, readTcpSysctl, SysctlRefusal, tcpSysctlNames } from './sysctl-files.ts';
export { parseFastOpenKeys } from './fastopen.ts';
export { SECRET_BYTES } from './isn.ts';
export { TRANSITIONS, isLegalTransition, transitionsDiagram } from './transitions.ts';
export type { CongestionControl, CongestionState } from './cong/cong.ts';
export { availableCongestionControls, findCongestionControl, registerCongestionControl } from './cong/registry.ts';
