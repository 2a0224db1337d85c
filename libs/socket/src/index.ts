export { SocketLayer, type CallHandle, type SocketLayerOptions } from './layer.ts';
export type { Linger, OptValue, PollFd, ProcId, SockAddr, SocketInfo, SysReply, SysRequest, Timeval } from './types.ts';
