export { SocketLayer, type CallHandle, type SocketLayerOptions } from './layer.ts';
export type {
  EpollEvent,
  FileNews,
  Linger,
  OptValue,
  PollFd,
  ProcId,
  SessionFile,
  SockAddr,
  SocketInfo,
  SysReply,
  SysRequest,
  Timeval,
} from './types.ts';
