export { SocketLayer, type CallHandle, type SocketLayerOptions } from './layer.ts';
export type {
  EpollEvent,
  Linger,
  OptValue,
  PollFd,
  ProcId,
  SockAddr,
  SocketInfo,
  SysReply,
  SysRequest,
  Timeval,
} from './types.ts';
