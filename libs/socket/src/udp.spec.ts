import { describe, expect, test } from '@jest/globals';
import {
  AF_INET,
  AF_UNSPEC,
  ERRNO,
  FIONREAD,
  MSG_PEEK,
  MSG_TRUNC,
  POLLERR,
  POLLIN,
  SHUT_RD,
  SOCK_DGRAM,
  type SkCmd,
  type SkEvt,
  SOL_SOCKET,
  SO_BROADCAST,
  SO_ERROR,
  errnoName,
  SeededRng,
  LayerEnv,
} from '@skbus/skb';
import { SocketLayer } from './layer.ts';
import { ModelUdp } from './testing/model-udp.ts';
import type { SockAddr, SysReply, SysRequest } from './types.ts';

const HERE = 0x0a4d0002;
const at = (port: number): SockAddr => ({ family: AF_INET, addr: HERE, port });
const name = (r: SysReply | undefined): string | number =>
  r === undefined ? 'sleeps' : r.errno === 0 ? r.result : errnoName(r.errno);

class UdpBench {
  now = 0;
  readonly cmds: SkCmd[] = [];
  readonly sent: SkCmd[] = [];
  readonly udp: ModelUdp;
  readonly layer: SocketLayer;
  private evts: SkEvt[] = [];
  private readonly proc: number;
  drop = false;

  constructor() {
    const env = new LayerEnv({ layer: 'socket', rng: new SeededRng(1), out: { pass: () => {} } });
    this.layer = new SocketLayer(env, { toTcp: () => {}, toUdp: (c) => this.cmds.push(c) });
    this.udp = new ModelUdp((e) => this.evts.push(e));
    this.proc = this.layer.openProcess();
  }

  sys(req: SysRequest): SysReply | undefined {
    const box = this.start(req);
    this.settle();
    return box.reply;
  }

  start(req: SysRequest): { reply: SysReply | undefined } {
    const box: { reply: SysReply | undefined } = { reply: undefined };
    this.layer.call(this.proc, req, this.now, (r) => {
      box.reply = r;
    });
    this.settle();
    return box;
  }

  settle(): void {
    this.layer.flush(this.now);
    while (this.cmds.length > 0 || this.evts.length > 0) {
      for (const c of this.cmds.splice(0)) {
        this.sent.push(c);
        if (!this.drop) this.udp.onCmd(c, this.now);
      }
      for (const e of this.evts.splice(0)) this.layer.onUdpEvent(e, this.now);
      this.layer.flush(this.now);
    }
  }

  later(ms: number): void {
    for (const end = this.now + ms; this.layer.pollTimeout() <= end;) {
      this.now = Math.max(this.now, this.layer.pollTimeout());
      this.layer.handleTimeout(this.now);
      this.settle();
    }
  }

  socket(port?: number): number {
    const fd = this.sys({ call: 'socket', domain: AF_INET, type: SOCK_DGRAM, protocol: 0 })!.result;
    if (port !== undefined) expect(name(this.sys({ call: 'bind', fd, addr: at(port) }))).toBe(0);
    return fd;
  }
}

const sendto = (fd: number, n: number, to?: SockAddr): SysRequest => ({
  call: 'sendto',
  fd,
  data: [new Uint8Array(n).fill(7)],
  flags: 0,
  to,
});
const recv = (fd: number, len = 100, flags = 0): SysRequest => ({ call: 'recvfrom', fd, len, flags });

describe('datagrams', () => {
  test('bind, sendto with autobind, recvfrom with the sender', () => {
    const b = new UdpBench();
    const s = b.socket(7);
    const c = b.socket();
    expect(name(b.sys(sendto(c, 5, at(7))))).toBe(5);
    const r = b.sys(recv(s))!;
    expect(r).toMatchObject({ errno: 0, result: 5, msgFlags: 0 });
    expect(r.addr).toEqual(b.sys({ call: 'getsockname', fd: c })!.addr);
    expect(name(b.sys(sendto(s, 3, r.addr!)))).toBe(3);
    expect(name(b.sys(recv(c)))).toBe(3);
  });

  test('one datagram per call: cut, MSG_TRUNC, MSG_PEEK, empty ones, FIONREAD', () => {
    const b = new UdpBench();
    const s = b.socket(7);
    const c = b.socket();
    for (const n of [10, 0, 4]) b.sys(sendto(c, n, at(7)));
    expect(b.sys({ call: 'ioctl', fd: s, request: FIONREAD, arg: 0 })!.value).toBe(10);
    expect(b.sys(recv(s, 3, MSG_PEEK))).toMatchObject({ result: 3, msgFlags: MSG_TRUNC });
    expect(b.sys(recv(s, 3, MSG_TRUNC))).toMatchObject({ result: 10, msgFlags: MSG_TRUNC });
    expect(b.sys(recv(s))).toMatchObject({ errno: 0, result: 0 });
    expect(b.sys(recv(s))).toMatchObject({ result: 4 });
    expect(name(b.sys(recv(s)))).toBe('sleeps');
  });

  test('errnos', () => {
    const b = new UdpBench();
    const c = b.socket();
    expect(name(b.sys(sendto(c, 1)))).toBe('EDESTADDRREQ');
    expect(name(b.sys(sendto(c, 1, at(0))))).toBe('EINVAL');
    expect(name(b.sys(sendto(c, 65_508, at(7))))).toBe('EMSGSIZE');
    expect(name(b.sys(sendto(c, 1, { ...at(7), family: 10 })))).toBe('EAFNOSUPPORT');
    expect(name(b.sys(sendto(c, 1, { ...at(7), addr: 0xffffffff })))).toBe('EACCES');
    b.sys({ call: 'setsockopt', fd: c, level: SOL_SOCKET, name: SO_BROADCAST, value: 1 });
    expect(name(b.sys(sendto(c, 1, { ...at(7), addr: 0xffffffff })))).toBe(1);
    for (const call of ['listen', 'accept'] as const)
      expect(name(b.sys({ call, fd: c, backlog: 1, flags: 0 } as SysRequest))).toBe('EOPNOTSUPP');
    expect(name(b.sys({ call: 'shutdown', fd: c, how: SHUT_RD }))).toBe('ENOTCONN');
    expect(name(b.sys(recv(c)))).toBe(0);
    b.socket(9);
    const d = b.socket();
    expect(name(b.sys({ call: 'bind', fd: d, addr: at(9) }))).toBe('EADDRINUSE');
    expect(name(b.sys({ call: 'bind', fd: d, addr: at(10) }))).toBe(0);
    expect(name(b.sys({ call: 'bind', fd: d, addr: at(11) }))).toBe('EINVAL');
    expect(name(b.sys({ call: 'getpeername', fd: d }))).toBe('ENOTCONN');
  });

  test('connected: send, and a closed port is refused once; AF_UNSPEC ends it', () => {
    const b = new UdpBench();
    const c = b.socket();
    expect(name(b.sys({ call: 'connect', fd: c, addr: at(9) }))).toBe(0);
    expect(b.sys({ call: 'getpeername', fd: c })!.addr).toEqual(at(9));
    expect(name(b.sys(sendto(c, 1)))).toBe(1);
    expect(b.sys({ call: 'poll', fds: [{ fd: c, events: POLLIN }], timeoutMs: 0 })!.revents).toEqual([POLLERR]);
    expect(name(b.sys(recv(c)))).toBe('ECONNREFUSED');
    expect(name(b.sys(recv(c, 1, 0x40)))).toBe('EAGAIN');
    b.sys(sendto(c, 1));
    expect(name(b.sys(sendto(c, 1)))).toBe('ECONNREFUSED');
    b.sys(sendto(c, 1));
    expect(b.sys({ call: 'getsockopt', fd: c, level: SOL_SOCKET, name: SO_ERROR })!.value).toBe(ERRNO.ECONNREFUSED);
    b.sys({ call: 'connect', fd: c, addr: { family: AF_UNSPEC, addr: 0, port: 0 } });
    expect(name(b.sys(sendto(c, 1)))).toBe('EDESTADDRREQ');
    expect(name(b.sys({ call: 'getpeername', fd: c }))).toBe('ENOTCONN');
  });
});

describe('the seam', () => {
  test('datagrams that come twice count once; what was read opens the buffer again', () => {
    const b = new UdpBench();
    const s = b.socket(7);
    const [sk] = [...b.udp.socks.keys()];
    const evt = (offset: number): SkEvt => ({
      sk: sk!,
      opAck: 1,
      opErrno: 0,
      dgram: { addr: HERE, port: 9, offset, charge: 1000, data: new Uint8Array(3), daddr: HERE },
    });
    for (const o of [0, 0, 2000, 1000]) b.layer.onUdpEvent(evt(o), 0);
    expect(name(b.sys(recv(s)))).toBe(3);
    expect(name(b.sys(recv(s)))).toBe(3);
    expect(name(b.sys(recv(s, 1, 0x40)))).toBe('EAGAIN');
    expect(b.sent.at(-1)!.view).toMatchObject({ rcvGot: 3000, rcvRead: 3000 });
  });

  test('when UDP comes back without memory, bound and connected sockets go on', () => {
    const b = new UdpBench();
    const s = b.socket(7);
    const c = b.socket();
    b.sys({ call: 'connect', fd: c, addr: at(7) });
    b.sys(sendto(c, 1));
    b.sys(recv(s));
    const waiting = b.start(recv(s));
    b.udp.restart();
    b.layer.resync('udp');
    b.settle();
    expect(b.sys({ call: 'getsockname', fd: s })!.addr!.port).toBe(7);
    expect(name(b.sys(sendto(c, 2)))).toBe(2);
    expect(name(waiting.reply)).toBe(2);
    for (const fd of [s, c]) b.sys({ call: 'close', fd });
    b.later(20_000);
    expect(b.layer.gauges.sockets).toBe(0);
    expect(b.udp.socks.size).toBe(0);
  });

  test('a lost bind is repeated; a lost close as well', () => {
    const b = new UdpBench();
    const s = b.socket();
    b.drop = true;
    const box = b.start({ call: 'bind', fd: s, addr: at(7) });
    b.later(1000);
    b.drop = false;
    b.later(1000);
    expect(name(box.reply)).toBe(0);
    b.drop = true;
    b.sys({ call: 'close', fd: s });
    b.later(3000);
    expect(b.layer.gauges.sockets).toBe(1);
    b.drop = false;
    b.later(1000);
    expect(b.layer.gauges.sockets).toBe(0);
    expect(b.udp.socks.size).toBe(0);
  });
});
