import * as K from '@skbus/skb';
import { ERRNO, type ProtoAnswer, type SkQuery } from '@skbus/skb';
import { inPingpong } from './ack-output.ts';
import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';
import { TCP_MSS_DEFAULT } from './sysctl.ts';
import { tcpInfoBytes } from './tcp-info.ts';

const { ENOPROTOOPT, ENOTCONN } = ERRNO;

/** do_tcp_getsockopt(), and what others' options have of the connection: values as C lays them out. */
export function answerQuery(cx: TcpContext, sk: TcpSock, q: SkQuery): ProtoAnswer {
  const value = valueOf(cx, sk, q.level, q.name);
  if (value instanceof Uint8Array) return { id: q.id, errno: 0, value };
  if (value === undefined) return { id: q.id, errno: ENOPROTOOPT, value: new Uint8Array(0) };
  if (value < 0 && q.name === K.IP_MTU && q.level === K.SOL_IP) {
    return { id: q.id, errno: ENOTCONN, value: new Uint8Array(0) };
  }
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return { id: q.id, errno: 0, value: bytes };
}

function valueOf(cx: TcpContext, sk: TcpSock, level: number, name: number): number | Uint8Array | undefined {
  if (level === K.SOL_SOCKET) return name === K.SO_RCVBUF ? sk.rcvbuf : undefined;
  if (level === K.SOL_IP) return name === K.IP_MTU ? (sk.rport === 0 ? -1 : sk.mtu) : undefined;
  if (level !== K.SOL_TCP) return undefined;
  const { sysctl } = cx;
  switch (name) {
    case K.TCP_MAXSEG:
      return maxSeg(sk);
    case K.TCP_KEEPIDLE:
      return sk.keepIdleMs > 0 ? sk.keepIdleMs / 1000 : sysctl.tcpKeepaliveTime;
    case K.TCP_KEEPINTVL:
      return sk.keepIntvlMs > 0 ? sk.keepIntvlMs / 1000 : sysctl.tcpKeepaliveIntvl;
    case K.TCP_KEEPCNT:
      return sk.keepCnt || sysctl.tcpKeepaliveProbes;
    case K.TCP_SYNCNT:
      return sk.synCnt || sysctl.tcpSynRetries;
    case K.TCP_LINGER2:
      return sk.linger2Ms < 0 ? -1 : sk.linger2Ms > 0 ? sk.linger2Ms / 1000 : sysctl.tcpFinTimeout;
    case K.TCP_WINDOW_CLAMP:
      return sk.windowClamp;
    case K.TCP_QUICKACK:
      return inPingpong(cx, sk) ? 0 : 1;
    case K.TCP_USER_TIMEOUT:
      return sk.userTimeoutMs;
    case K.TCP_TIMESTAMP:
      return cx.tsNow(sk.tsOffset) | 0;
    case K.TCP_INFO:
      return tcpInfoBytes(cx, sk);
    case K.TCP_CONGESTION:
      return nameBytes(sk.cc.name);
    default:
      return undefined;
  }
}

/** The whole of what the kernel copies: names of four letters must not look like an int. */
function nameBytes(name: string): Uint8Array {
  const bytes = new Uint8Array(K.TCP_CA_NAME_MAX);
  for (let i = 0; i < name.length; i++) bytes[i] = name.charCodeAt(i);
  return bytes;
}

/** What was asked for while there is no connection; then what segments may carry. */
function maxSeg(sk: TcpSock): number {
  const closed = sk.state === K.TCP_CLOSE || sk.state === K.TCP_LISTEN;
  if (closed) return sk.userMss || TCP_MSS_DEFAULT;
  return sk.mssCache;
}
