import { afterAll, beforeEach, afterEach, describe, expect, test } from '@jest/globals';
import {
  emitIpv4Header,
  emitTcp,
  finish,
  IPV4_HLEN,
  parseTcp,
  pseudoHeaderSum,
  put16,
  sumBytes,
  TCP_ACK,
  TCP_CSUM_OFFSET,
  TCP_HLEN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  type TcpRepr,
} from '@skbus/wire';
import type { Sniffed, SysResult, SysTicket } from '../../target.ts';
import { LinuxTarget, whyNoLinux } from './linux-target.ts';

const OPTIONS = {
  localIp: '192.168.0.1',
  remoteIp: '192.0.2.1',
  gatewayIp: '192.168.0.2',
  prefixLen: 16,
  mtu: 1500,
};
const [LOCAL, REMOTE] = [0xc0a80001, 0xc0000201];
const [AF_INET, SOCK_STREAM, SOL_SOCKET, SO_REUSEADDR, IPPROTO_TCP, TCP_CONGESTION] = [2, 1, 1, 2, 6, 13];
const [ECONNREFUSED, EAGAIN, MSG_DONTWAIT] = [111, 11, 0x40];

test('without what it needs: one sentence', () => {
  const why = whyNoLinux();
  if (process.getuid?.() !== 0) expect(why).toMatch(/needs root/);
  else expect(why ?? '').toMatch(/^(the linux target needs [^\n]+)?$/);
});

const suite = whyNoLinux() === undefined ? describe : describe.skip;

suite(`the kernel of this machine (${whyNoLinux() ?? 'as root'})`, () => {
  const target = new LinuxTarget();
  const { sys } = target;
  beforeEach(() => target.open(OPTIONS));
  afterEach(() => target.close());
  afterAll(() => target.dispose());

  async function done(ticket: SysTicket): Promise<SysResult> {
    await target.wait(ticket, target.now() + 1_000_000);
    expect(ticket.result).toBeDefined();
    return ticket.result!;
  }

  function segment(r: Partial<TcpRepr>, payload = new Uint8Array(0)): void {
    const b = new Uint8Array(IPV4_HLEN + TCP_HLEN + payload.length);
    const tcp = { sport: 5000, dport: 80, seq: 0, ack: 0, hlen: TCP_HLEN, flags: TCP_ACK, window: 65_535, urgent: 0 };
    const ip = { hlen: IPV4_HLEN, tos: 0, id: 1, df: true, mf: false, fragOffset: 0, ttl: 64, proto: 6 };
    emitIpv4Header({ ...ip, totalLen: b.length, saddr: REMOTE, daddr: LOCAL }, b, 0);
    emitTcp({ ...tcp, ...r }, b, IPV4_HLEN);
    b.set(payload, IPV4_HLEN + TCP_HLEN);
    const length = b.length - IPV4_HLEN;
    const sum = sumBytes(b, IPV4_HLEN, length, pseudoHeaderSum(REMOTE, LOCAL, 6, length));
    put16(b, IPV4_HLEN + TCP_CSUM_OFFSET, finish(sum));
    target.inject(b);
  }

  const seen = async (ms = 100): Promise<(TcpRepr & Sniffed) | undefined> => {
    const p = await target.nextPacket(target.now() + ms * 1000);
    return p && { ...parseTcp(p.bytes, IPV4_HLEN, p.bytes.length)!, ...p };
  };

  async function listener(): Promise<number> {
    const { ret: fd } = await done(sys.socket(AF_INET, SOCK_STREAM, 0));
    expect(await done(sys.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, { kind: 'int', value: 1 }))).toMatchObject({
      ret: 0,
    });
    expect((await done(sys.bind(fd, { ip: '0.0.0.0', port: 80 }))).ret).toBe(0);
    expect((await done(sys.listen(fd, 5))).ret).toBe(0);
    return fd;
  }

  async function established(): Promise<{ fd: number; isn: number; lfd: number }> {
    const lfd = await listener();
    const accepting = sys.accept(lfd, 0);
    segment({ flags: TCP_SYN, seq: 100 });
    const synAck = (await seen())!;
    expect([synAck.flags, synAck.ack]).toEqual([TCP_SYN | TCP_ACK, 101]);
    expect(accepting.result).toBeUndefined();
    segment({ seq: 101, ack: synAck.seq + 1 });
    const { ret, addr } = await done(accepting);
    expect(addr).toEqual({ ip: '192.0.2.1', port: 5000 });
    return { fd: ret, isn: synAck.seq, lfd };
  }

  test('accept() blocks until the handshake is over; data both ways; counters from zero', async () => {
    const { fd, isn } = await established();
    const reading = sys.recv(fd, 100, 0);
    await target.wait(reading, target.now() + 20_000);
    expect(reading.result).toBeUndefined();
    segment({ seq: 101, ack: isn + 1, flags: TCP_ACK | TCP_PSH }, Uint8Array.of(1, 2, 3));
    expect(await done(reading)).toEqual({ ret: 3, errno: 0, data: Uint8Array.of(1, 2, 3) });
    expect(await seen()).toMatchObject({ flags: TCP_ACK, ack: 104 });
    expect((await done(sys.send(fd, new Uint8Array(10), 0))).ret).toBe(10);
    const out = (await seen())!;
    expect([out.seq, out.bytes.length]).toEqual([(isn + 1) >>> 0, IPV4_HLEN + TCP_HLEN + 10]);
    expect(out.atUs).toBeLessThanOrEqual(target.now());
    expect(await done(sys.recv(fd, 100, MSG_DONTWAIT))).toMatchObject({ ret: -1, errno: EAGAIN });
    expect(await seen(5)).toBeUndefined();
    const counters = await target.counters();
    expect([counters.get('TcpPassiveOpens'), counters.get('TcpInSegs')]).toEqual([1, 3]);
  });

  test('recvmsg() brings control messages, epoll_wait() what is ready', async () => {
    const { fd, isn } = await established();
    const [SO_TIMESTAMP, EPOLL_CTL_ADD, EPOLLIN] = [29, 1, 1];
    await done(sys.setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, { kind: 'int', value: 1 }));
    const { ret: ep } = await done(sys.epollCreate(0));
    expect((await done(sys.epollCtl(ep, EPOLL_CTL_ADD, fd, { events: EPOLLIN, data: 77 }))).ret).toBe(0);
    const ready = sys.epollWait(ep, 4, -1);
    segment({ seq: 101, ack: isn + 1, flags: TCP_ACK | TCP_PSH }, Uint8Array.of(9, 8));
    expect(await done(ready)).toEqual({ ret: 1, errno: 0, ready: [{ events: EPOLLIN, data: 77 }] });
    let r = await done(sys.recvmsg(fd, 10, 0));
    expect(r).toMatchObject({ ret: 2, data: Uint8Array.of(9, 8), msgFlags: 0 });
    // The kernel begins to stamp packets some time after it was first asked to (net_enable_timestamp).
    for (let seq = 103; r.control!.length === 0 && seq < 200; seq++) {
      await target.sleepUntil(target.now() + 10_000);
      segment({ seq, ack: isn + 1, flags: TCP_ACK | TCP_PSH }, Uint8Array.of(1));
      r = await done(sys.recvmsg(fd, 10, 0));
    }
    expect(r.control).toEqual([{ level: SOL_SOCKET, type: SO_TIMESTAMP, data: expect.any(Uint8Array) }]);
  });

  test('a refused connect(), cubic whatever the machine prefers', async () => {
    const { ret: fd } = await done(sys.socket(AF_INET, SOCK_STREAM, 0));
    const { opt } = await done(sys.getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, 16));
    expect(new TextDecoder().decode(opt).replace(/\0+$/, '')).toBe('cubic');
    const connecting = sys.connect(fd, { ip: '192.0.2.1', port: 80 });
    const syn = (await seen())!;
    expect(syn.flags).toBe(TCP_SYN);
    expect(connecting.result).toBeUndefined();
    segment({ sport: 80, dport: syn.sport, flags: TCP_RST | TCP_ACK, ack: syn.seq + 1 });
    expect(await done(connecting)).toEqual({ ret: -1, errno: ECONNREFUSED });
  });

  test('every script has a namespace of its own: sysctls, commands, sockets', async () => {
    await target.sysctl('net.ipv4.tcp_sack', '0');
    await expect(target.command('sysctl -n net.ipv4.tcp_sack; exit 3')).rejects.toThrow('ended with 3: 0');
    await expect(target.sysctl('net.ipv4.tcp_frob', '0')).rejects.toThrow('no sysctl net.ipv4.tcp_frob');
    const { lfd } = await established();
    const blocked = sys.accept(lfd, 0);
    await target.close();
    expect((await blocked.settled).ret).toBe(-1);
    await target.open({ ...OPTIONS, mtu: 9000 });
    await target.command('test $(sysctl -n net.ipv4.tcp_sack) = 1 && ip link show tun0 | grep -q "mtu 9000"');
    await target.command('test -z "$(ss -Htan)"');
    await listener();
  });
});
