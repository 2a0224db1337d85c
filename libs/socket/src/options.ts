import * as K from '@skbus/skb';
import { ERRNO, NEVER, type SkOptions, SO_SNDLOWAT } from '@skbus/skb';
import type { DgramSock } from './dgram-sock.ts';
import { getOpenOption, setOpenOption } from './open-options.ts';
import type { StreamSock } from './stream-sock.ts';
import { type Linger, type OptValue, type SysReply, type Timeval, fail, ok } from './types.ts';
import type { Park } from './wait.ts';
import { MEM_MAX, SOCK_MIN_RCVBUF, SOCK_MIN_SNDBUF } from './uapi.ts';

type AnySock = StreamSock | DgramSock;

const E = ERRNO;
const IPDEFTTL = 64;
const TCP_MIN_MSS = 88;
const MAX_TCP_WINDOW = 32_767;
const MAX_TCP_KEEPIDLE = 32_767;
const MAX_TCP_KEEPINTVL = 32_767;
const MAX_TCP_KEEPCNT = 127;
const MAX_TCP_SYNCNT = 127;
const TCP_FIN_TIMEOUT_MAX_S = 120;
/** net.ipv4.tcp_rmem[2] */
const TCP_RMEM_MAX = 6_291_456;
/** SOL_TCP options whose value TCP has. */
const TCP_QUERIES = new Set([
  K.TCP_MAXSEG,
  K.TCP_KEEPIDLE,
  K.TCP_KEEPINTVL,
  K.TCP_KEEPCNT,
  K.TCP_SYNCNT,
  K.TCP_LINGER2,
  K.TCP_WINDOW_CLAMP,
  K.TCP_QUICKACK,
  K.TCP_USER_TIMEOUT,
  K.TCP_TIMESTAMP,
  K.TCP_INFO,
  K.TCP_CONGESTION,
]);

/** Options that are one field of SkOptions, a boolean as int 0 or 1. */
const FLAGS: Record<number, Record<number, keyof SkOptions>> = {
  [K.SOL_SOCKET]: {
    [K.SO_REUSEADDR]: 'reuseAddr',
    [K.SO_REUSEPORT]: 'reusePort',
    [K.SO_BROADCAST]: 'broadcast',
    [K.SO_KEEPALIVE]: 'keepalive',
  },
  [K.SOL_TCP]: { [K.TCP_NODELAY]: 'nodelay', [K.TCP_CORK]: 'cork' },
};

/** sk_getsockopt(), do_ip_getsockopt(), do_tcp_getsockopt(). */
export function getsockopt(s: AnySock, level: number, name: number): SysReply | Park {
  const flag = FLAGS[level]?.[name];
  if (flag !== undefined && (level !== K.SOL_TCP || s.proto === 'tcp')) return value(s.options[flag] === true ? 1 : 0);
  switch (level) {
    case K.SOL_SOCKET:
      return getSocket(s, name);
    case K.SOL_IP:
      return getIp(s, name);
    case K.SOL_TCP:
      return s.proto === 'tcp' ? getTcp(s, name) : fail(E.EOPNOTSUPP);
    default:
      return fail(s.proto === 'tcp' ? E.ENOPROTOOPT : E.EOPNOTSUPP);
  }
}

/** sk_setsockopt(), do_ip_setsockopt(), do_tcp_setsockopt(). */
export function setsockopt(
  s: AnySock,
  level: number,
  name: number,
  v: OptValue,
  congestion: readonly string[],
): SysReply {
  const flag = FLAGS[level]?.[name];
  if (flag !== undefined && (level !== K.SOL_TCP || s.proto === 'tcp')) {
    if (typeof v !== 'number') return fail(E.EINVAL);
    s.setOptions({ [flag]: v !== 0 });
    return ok();
  }
  switch (level) {
    case K.SOL_SOCKET:
      return setSocket(s, name, v);
    case K.SOL_IP:
      return setIp(s, name, v);
    case K.SOL_TCP:
      return s.proto === 'tcp' ? setTcp(s, name, v, congestion) : fail(E.ENOPROTOOPT);
    default:
      return fail(E.ENOPROTOOPT);
  }
}

const value = (v: OptValue): SysReply => ({ errno: 0, result: 0, value: v });

/** Asks TCP; ints come as 4 bytes. */
function ask(s: StreamSock, level: number, name: number): Park {
  return s.ask(level, name, (a) => {
    if (a.errno !== 0) return fail(a.errno);
    const { value: v } = a;
    if (name === K.TCP_CONGESTION && level === K.SOL_TCP) return value(nameOf(v));
    if (v.length !== 4) return value(v.slice());
    return value(new DataView(v.buffer, v.byteOffset, 4).getInt32(0, true));
  });
}

function nameOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return String.fromCharCode(...bytes.subarray(0, end < 0 ? bytes.length : end));
}

function getIp(s: AnySock, name: number): SysReply | Park {
  switch (name) {
    case K.IP_TTL:
      return value(s.options.ttl ?? IPDEFTTL);
    case K.IP_TOS:
      return value(s.options.tos ?? 0);
    case K.IP_MTU_DISCOVER:
      return value(s.options.pmtuDisc ?? K.IP_PMTUDISC_WANT);
    case K.IP_BIND_ADDRESS_NO_PORT:
      return value(s.options.bindNoPort === true ? 1 : 0);
    case K.IP_RECVERR:
      return value(s.options.recvErr === true ? 1 : 0);
    case K.IP_MTU:
      if (s.proto !== 'tcp') return fail(E.ENOPROTOOPT);
      return s.established ? ask(s, K.SOL_IP, name) : fail(E.ENOTCONN);
    default:
      return fail(E.ENOPROTOOPT);
  }
}

function getSocket(s: AnySock, name: number): SysReply | Park {
  switch (name) {
    case K.SO_TYPE:
      return value(s.proto === 'tcp' ? K.SOCK_STREAM : K.SOCK_DGRAM);
    case K.SO_PROTOCOL:
      return value(s.proto === 'tcp' ? K.IPPROTO_TCP : K.IPPROTO_UDP);
    case K.SO_DOMAIN:
      return value(K.AF_INET);
    case K.SO_ACCEPTCONN:
      return value(s.state === K.TCP_LISTEN ? 1 : 0);
    case K.SO_ERROR: {
      const err = s.takeErr() || s.softErr;
      s.softErr = 0;
      return value(err);
    }
    case K.SO_SNDBUF:
      return value(s.sndbuf);
    case K.SO_RCVBUF:
      // TCP may have made it larger
      return s.proto === 'tcp' && s.established && s.options.rcvbuf === undefined
        ? ask(s, K.SOL_SOCKET, name)
        : value(s.rcvbuf);
    case K.SO_PRIORITY:
      return value(s.options.priority ?? 0);
    case K.SO_MARK:
      return value(s.options.mark ?? 0);
    case K.SO_OOBINLINE:
      return s.proto === 'tcp' ? value(s.oobInline ? 1 : 0) : value(0);
    case K.SO_MAX_PACING_RATE:
      return value(s.options.maxPacingRate || 0xffffffff);
    case K.SO_RCVLOWAT:
      return value(s.rcvLowat);
    case SO_SNDLOWAT:
      return value(1);
    case K.SO_LINGER:
      return value(s.linger);
    case K.SO_RCVTIMEO:
      return value(timeval(s.rcvTimeoMs));
    case K.SO_SNDTIMEO:
      return value(timeval(s.sndTimeoMs));
    default:
      return fail(E.ENOPROTOOPT);
  }
}

/** What the socket layer knows by itself; the rest depends on TCP's sysctls or on the connection. */
function getTcp(s: StreamSock, name: number): SysReply | Park {
  const open = getOpenOption(s, name);
  if (open !== undefined) return open;
  const o = s.options;
  switch (name) {
    case K.TCP_INQ:
      return value(s.wantsInq ? 1 : 0);
    case K.TCP_THIN_LINEAR_TIMEOUTS:
      return value(o.thinLto === true ? 1 : 0);
    case K.TCP_THIN_DUPACK:
      return value(0);
    case K.TCP_CC_INFO:
      return value(new Uint8Array(0));
    case K.TCP_NOTSENT_LOWAT:
      return value(o.notsentLowat ?? 0);
    default:
      return TCP_QUERIES.has(name) ? ask(s, K.SOL_TCP, name) : fail(E.ENOPROTOOPT);
  }
}

function setSocket(s: AnySock, name: number, v: OptValue): SysReply {
  switch (name) {
    case K.SO_SNDBUF:
      if (typeof v !== 'number') return fail(E.EINVAL);
      s.sndbuf = bufsize(v, SOCK_MIN_SNDBUF);
      s.setOptions({ sndbuf: s.sndbuf });
      return ok();
    case K.SO_RCVBUF:
      if (typeof v !== 'number') return fail(E.EINVAL);
      s.rcvbuf = bufsize(v, SOCK_MIN_RCVBUF);
      s.setOptions({ rcvbuf: s.rcvbuf });
      return ok();
    case K.SO_MAX_PACING_RATE:
      if (typeof v !== 'number') return fail(E.EINVAL);
      // ~0 of either width is no limit
      s.setOptions({ maxPacingRate: v < 0 || v >= 0xffffffff ? 0 : v });
      return ok();
    case K.SO_RCVLOWAT:
      if (typeof v !== 'number') return fail(E.EINVAL);
      s.rcvLowat = v < 0 ? 0x7fffffff : Math.max(v, 1);
      if (s.proto === 'tcp') setRcvLowat(s);
      return ok();
    case K.SO_PRIORITY:
      // above 6 it takes CAP_NET_ADMIN
      if (typeof v !== 'number') return fail(E.EINVAL);
      if (v < 0 || v > 6) return fail(E.EPERM);
      s.setOptions({ priority: v });
      return ok();
    case K.SO_MARK:
      if (typeof v !== 'number') return fail(E.EINVAL);
      s.setOptions({ mark: v >>> 0 });
      return ok();
    case K.SO_OOBINLINE:
      if (typeof v !== 'number') return fail(E.EINVAL);
      if (s.proto === 'tcp') s.oobInline = v !== 0;
      return ok();
    case K.SO_LINGER: {
      if (!isLinger(v)) return fail(E.EINVAL);
      s.linger = { onoff: v.onoff === 0 ? 0 : 1, linger: Math.max(0, v.linger) };
      return ok();
    }
    case K.SO_RCVTIMEO:
    case K.SO_SNDTIMEO: {
      if (!isTimeval(v)) return fail(E.EINVAL);
      if (v.usec < 0 || v.usec >= 1_000_000) return fail(E.EDOM);
      const ms = v.sec < 0 ? 0 : v.sec === 0 && v.usec === 0 ? NEVER : v.sec * 1000 + v.usec / 1000;
      if (name === K.SO_RCVTIMEO) s.rcvTimeoMs = ms;
      else s.sndTimeoMs = ms;
      return ok();
    }
    default:
      return fail(E.ENOPROTOOPT);
  }
}

function setIp(s: AnySock, name: number, v: OptValue): SysReply {
  if (typeof v !== 'number') return fail(E.EINVAL);
  if (name === K.IP_TOS) {
    s.setOptions({ tos: v & 0xff });
    return ok();
  }
  if (name === K.IP_BIND_ADDRESS_NO_PORT) {
    s.setOptions({ bindNoPort: v !== 0 });
    return ok();
  }
  if (name === K.IP_MTU_DISCOVER) {
    if (v < K.IP_PMTUDISC_DONT || v > K.IP_PMTUDISC_OMIT) return fail(E.EINVAL);
    s.setOptions({ pmtuDisc: v });
    return ok();
  }
  if (name === K.IP_RECVERR) {
    s.setOptions({ recvErr: v !== 0 });
    return ok();
  }
  if (name !== K.IP_TTL) return fail(E.ENOPROTOOPT);
  if (v !== -1 && (v < 1 || v > 255)) return fail(E.EINVAL);
  s.setOptions({ ttl: v === -1 ? IPDEFTTL : v });
  return ok();
}

function setTcp(s: StreamSock, name: number, v: OptValue, congestion: readonly string[]): SysReply {
  if (name === K.TCP_CONGESTION) {
    if (typeof v !== 'string' || v === '') return fail(E.EINVAL);
    const wanted = v.slice(0, K.TCP_CA_NAME_MAX - 1);
    if (!congestion.includes(wanted)) return fail(E.ENOENT);
    s.setOptions({ congestion: wanted });
    return ok();
  }
  const open = setOpenOption(s, name, v);
  if (open !== undefined) return open;
  if (typeof v !== 'number') return fail(E.EINVAL);
  const within = (min: number, max: number, set: SkOptions): SysReply => {
    if (v < min || v > max) return fail(E.EINVAL);
    s.setOptions(set);
    return ok();
  };
  switch (name) {
    case K.TCP_MAXSEG:
      return v === 0 ? ok() : within(TCP_MIN_MSS, MAX_TCP_WINDOW, { maxSeg: v });
    case K.TCP_KEEPIDLE:
      return within(1, MAX_TCP_KEEPIDLE, { keepIdleMs: v * 1000 });
    case K.TCP_KEEPINTVL:
      return within(1, MAX_TCP_KEEPINTVL, { keepIntvlMs: v * 1000 });
    case K.TCP_KEEPCNT:
      return within(1, MAX_TCP_KEEPCNT, { keepCnt: v });
    case K.TCP_SYNCNT:
      return within(1, MAX_TCP_SYNCNT, { synCnt: v });
    case K.TCP_LINGER2:
      return within(-0x80000000, 0x7fffffff, { linger2Ms: v < 0 ? -1 : Math.min(v, TCP_FIN_TIMEOUT_MAX_S) * 1000 });
    case K.TCP_WINDOW_CLAMP:
      if (v === 0 && s.state !== K.TCP_CLOSE) return fail(E.EINVAL);
      return within(0, 0x7fffffff, { windowClamp: v === 0 ? 0 : Math.max(v, SOCK_MIN_RCVBUF / 2) });
    case K.TCP_QUICKACK:
      return within(-0x80000000, 0x7fffffff, { quickack: v !== 0 });
    case K.TCP_USER_TIMEOUT:
      return within(0, 0x7fffffff, { userTimeoutMs: v });
    case K.TCP_INQ:
      if (v < 0 || v > 1) return fail(E.EINVAL);
      s.wantsInq = v === 1;
      return ok();
    case K.TCP_THIN_LINEAR_TIMEOUTS:
      return within(0, 1, { thinLto: v === 1 });
    case K.TCP_THIN_DUPACK:
      return v < 0 || v > 1 ? fail(E.EINVAL) : ok();
    case K.TCP_TIMESTAMP:
      return fail(E.EPERM);
    case K.TCP_NOTSENT_LOWAT:
      s.snd.lowat = v >>> 0;
      return within(-0x80000000, 0xffffffff, { notsentLowat: v >>> 0 });
    default:
      return fail(E.ENOPROTOOPT);
  }
}

/** tcp_set_rcvlowat(): no more than half of what the buffer may become, which then becomes that large. */
function setRcvLowat(s: StreamSock): void {
  const locked = s.options.rcvbuf !== undefined;
  s.rcvLowat = Math.min(s.rcvLowat, (locked ? s.rcvbuf : TCP_RMEM_MAX) >> 1);
  s.setOptions({ rcvLowat: s.rcvLowat });
}

/** Doubled for the kernel's own overhead, within what sysctl allows (sk_setsockopt). */
function bufsize(v: number, min: number): number {
  return Math.max(Math.min(v < 0 ? MEM_MAX : v, MEM_MAX) * 2, min);
}

function timeval(ms: number): Timeval {
  if (ms === NEVER) return { sec: 0, usec: 0 };
  return { sec: Math.floor(ms / 1000), usec: Math.round((ms % 1000) * 1000) };
}

function isLinger(v: OptValue): v is Linger {
  return typeof v === 'object' && 'onoff' in v;
}

function isTimeval(v: OptValue): v is Timeval {
  return typeof v === 'object' && 'usec' in v;
}
