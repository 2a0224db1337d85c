import { AF_INET, parseIpv4 } from '@skbus/skb';
import type { Host } from '@skbus/sim';
import type { OptValue, SockAddr, SysReply, SysRequest } from '@skbus/socket';
import type { SysEpollEvent, SysOpt, SysPollFd } from '../sys.ts';
import type { SysAddr, SysCalls, SysResult, SysTicket } from '../target.ts';
import { inqControl } from './control.ts';

/** System calls of one program on a simulated host. */
export class EngineSys implements SysCalls {
  private readonly host: Host;
  private readonly process: number;
  private readonly nowUs: () => number;

  constructor(host: Host, nowUs: () => number) {
    this.host = host;
    this.nowUs = nowUs;
    this.process = host.sockets.openProcess();
  }

  socket(domain: number, type: number, protocol: number): SysTicket {
    return this.call({ call: 'socket', domain, type, protocol });
  }

  bind(fd: number, addr: SysAddr): SysTicket {
    return this.call({ call: 'bind', fd, addr: sockAddr(addr) });
  }

  listen(fd: number, backlog: number): SysTicket {
    return this.call({ call: 'listen', fd, backlog });
  }

  accept(fd: number, flags: number): SysTicket {
    return this.call({ call: 'accept', fd, flags });
  }

  connect(fd: number, addr: SysAddr): SysTicket {
    return this.call({ call: 'connect', fd, addr: sockAddr(addr) });
  }

  send(fd: number, data: Uint8Array, flags: number, to?: SysAddr): SysTicket {
    return this.call({ call: 'sendto', fd, data: [data], flags, to: to === undefined ? undefined : sockAddr(to) });
  }

  recv(fd: number, count: number, flags: number): SysTicket {
    return this.call({ call: 'recvfrom', fd, len: count, flags });
  }

  recvmsg(fd: number, count: number, flags: number): SysTicket {
    return this.call({ call: 'recvfrom', fd, len: count, flags }, ({ inq }) => inqControl(inq));
  }

  shutdown(fd: number, how: number): SysTicket {
    return this.call({ call: 'shutdown', fd, how });
  }

  close(fd: number): SysTicket {
    return this.call({ call: 'close', fd });
  }

  getsockname(fd: number): SysTicket {
    return this.call({ call: 'getsockname', fd });
  }

  getpeername(fd: number): SysTicket {
    return this.call({ call: 'getpeername', fd });
  }

  getsockopt(fd: number, level: number, name: number): SysTicket {
    return this.call({ call: 'getsockopt', fd, level, name });
  }

  setsockopt(fd: number, level: number, name: number, value: SysOpt): SysTicket {
    return this.call({ call: 'setsockopt', fd, level, name, value: optValue(value) });
  }

  fcntl(fd: number, cmd: number, arg: number): SysTicket {
    return this.call({ call: 'fcntl', fd, cmd, arg });
  }

  ioctl(fd: number, request: number, arg: number): SysTicket {
    return this.call({ call: 'ioctl', fd, request, arg });
  }

  poll(fds: readonly SysPollFd[], timeoutMs: number): SysTicket {
    return this.call({ call: 'poll', fds, timeoutMs });
  }

  epollCreate(flags: number): SysTicket {
    return this.call({ call: 'epoll_create', flags });
  }

  epollCtl(epfd: number, op: number, fd: number, event: SysEpollEvent): SysTicket {
    return this.call({ call: 'epoll_ctl', epfd, op, fd, event });
  }

  epollWait(epfd: number, max: number, timeoutMs: number): SysTicket {
    return this.call({ call: 'epoll_wait', epfd, max, timeoutMs });
  }

  private call(req: SysRequest, more?: (r: SysReply) => Partial<SysResult>): SysTicket {
    let settle!: (r: SysResult) => void;
    const ticket: { result: SysResult | undefined; doneUs: number; settled: Promise<SysResult> } = {
      result: undefined,
      doneUs: 0,
      settled: new Promise((resolve) => (settle = resolve)),
    };
    this.host.shells.socket.run((now) =>
      this.host.sockets.call(this.process, req, now, (reply) => {
        ticket.result = more === undefined ? resultOf(reply) : { ...resultOf(reply), ...more(reply) };
        ticket.doneUs = this.nowUs();
        settle(ticket.result);
      }),
    );
    return ticket;
  }
}

const sockAddr = (a: SysAddr): SockAddr => ({ family: a.family ?? AF_INET, addr: parseIpv4(a.ip) ?? 0, port: a.port });

function resultOf(r: SysReply): SysResult {
  const out: SysResult = { ret: r.errno === 0 ? r.result : -1, errno: r.errno };
  if (r.errno !== 0) return out;
  if (r.data !== undefined) out.data = joined(r.data);
  if (r.addr !== undefined) {
    const a = r.addr.addr;
    out.addr = { ip: [a >>> 24, (a >>> 16) & 255, (a >>> 8) & 255, a & 255].join('.'), port: r.addr.port };
  }
  if (typeof r.value === 'number') out.value = r.value;
  if (r.value !== undefined) out.opt = rawOpt(r.value);
  if (r.revents !== undefined) out.revents = r.revents;
  if (r.ready !== undefined) out.ready = r.ready;
  if (r.msgFlags !== undefined) out.msgFlags = r.msgFlags;
  return out;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}

function optValue(v: SysOpt): OptValue {
  switch (v.kind) {
    case 'linger':
      return { onoff: v.onoff, linger: v.linger };
    case 'timeval':
      return { sec: v.sec, usec: v.usec };
    default:
      return v.value;
  }
}

/** As C lays it out, little endian. */
function rawOpt(v: OptValue): Uint8Array {
  if (v instanceof Uint8Array) return v;
  if (typeof v === 'number') return ints([v]);
  if (typeof v === 'string') return Uint8Array.from(`${v}\0`, (c) => c.charCodeAt(0));
  if ('onoff' in v) return ints([v.onoff, v.linger]);
  return ints([v.sec, v.sec < 0 ? -1 : 0, v.usec, 0]);
}

function ints(values: readonly number[]): Uint8Array {
  const b = new Uint8Array(4 * values.length);
  const view = new DataView(b.buffer);
  for (const [i, v] of values.entries()) view.setInt32(4 * i, v | 0, true);
  return b;
}
