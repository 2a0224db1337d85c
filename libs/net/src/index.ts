import * as dgramModule from './dgram.ts';
import { Server, createServer } from './server.ts';
import { Socket, connect, createConnection } from './socket.ts';

export { connectDoor, defaultDoor } from './default-door.ts';
export { defaultDoorPath, type Door, type DoorCall, type DoorReply, type OnReply } from './door.ts';
export type { DoorWorld, Link, LinkEvents } from './link.ts';
export { UnixDoor } from './unix-door.ts';
export { FRAME_DATA_MAX, FRAME_MAX, FrameReader, frameHead, writeAll, type OnFrame } from './frame.ts';
export { rereadInto } from './read-room.ts';
export { sysError, type SysError } from './errors.ts';
export {
  Sys,
  sys,
  type SysAddr,
  type SysCallOptions,
  type SysEpollEvent,
  type SysOptValue,
  type SysPollFd,
} from './sys.ts';
export type { AddressInfo, Lookup } from './address.ts';
export { Socket, connect, createConnection, type ConnectOptions, type SocketOptions } from './socket.ts';
export { Server, createServer, type ConnectionListener, type ListenOptions, type ServerOptions } from './server.ts';
export { DgramSocket, createSocket, type DgramOptions, type RemoteInfo } from './dgram.ts';
export { connector, httpAgent, serveHttp, type ConnectorOptions } from './http.ts';
/** Linux's constants: SOL_SOCKET, MSG_PEEK, POLLIN, SO_LINGER, TCP_NODELAY … and errnos. */
export * from './constants.ts';

/** In the place of `import net from 'node:net'`. */
export const net = { Socket, Server, connect, createConnection, createServer, Stream: Socket };
/** In the place of `import dgram from 'node:dgram'`. */
export const dgram = { Socket: dgramModule.DgramSocket, createSocket: dgramModule.createSocket };
