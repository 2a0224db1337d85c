import { expect, test } from '@jest/globals';
import { decodeCmds, decodeEvts, decodeSkbList, encodeCmds, encodeEvts, encodeSkbList } from '@skbus/contracts';
import {
  below,
  HAND_OVERS,
  IPPROTO_TCP,
  SeededRng,
  SkBuff,
  type NeighUpdate,
  type SkCmd,
  type SkEvt,
} from '@skbus/skb';
import { twoHosts, whole, type Host, type ReadProgress } from '@skbus/sim';

// A layer that has gone mad says well-formed nonsense to its neighbours: every field may have any value that its type has. None of
// them may throw, run for ever or lose count of an skb, and the other host does not notice. More seeds: SIM_ABSURD=1-2000.

const [first = 1, last = first + 59] = (process.env.SIM_ABSURD ?? '1-60').split('-').map(Number);
const MESSAGES = 150;

class Nonsense {
  private readonly rng: SeededRng;
  private readonly host: Host;

  constructor(rng: SeededRng, host: Host) {
    this.rng = rng;
    this.host = host;
  }

  private oneOf<T>(from: readonly T[]): T {
    return from[below(this.rng, from.length)]!;
  }

  /** Most of what a message may have is absent: what is there is then looked at. */
  private maybe<T>(make: () => T, oneIn = 3): T | undefined {
    return below(this.rng, oneIn) === 0 ? make() : undefined;
  }

  private readonly u32 = (): number =>
    this.oneOf([0, 1, 2, 3, 7, 80, 1000, 65_535, 65_536, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, this.rng.u32()]);

  /** As a double: the contract lets only offsets through that are some. */
  private readonly offset = (): number =>
    this.oneOf([0, 1, 2, 5000, 5001, 10_000, 65_536, 1e6, 1e9, 2 ** 32, 2 ** 40, Number.MAX_SAFE_INTEGER]);

  private readonly ms = (): number =>
    this.oneOf([0, 1, 0.5, 1000, 1e9, 1e300, -1, -1e9, Number.NaN, Number.POSITIVE_INFINITY]);

  private readonly flag = (): boolean => below(this.rng, 2) === 0;

  private readonly bytes = (): Uint8Array =>
    Uint8Array.from({ length: this.oneOf([0, 1, 5, 16, 32, 100, 3000]) }, () => below(this.rng, 256));

  private readonly addr = (): number =>
    this.oneOf([0, 0x7f00_0001, 0x0a00_0001, 0xe000_0001, 0xffff_ffff, this.host.addr]);

  private readonly sk = (): number => {
    const known = [...this.host.tcp.sockets().map((s) => s.sk), ...this.host.sockets.sockets().map((s) => s.sk)];
    return below(this.rng, 4) === 0 || known.length === 0 ? this.u32() : this.oneOf(known);
  };

  /** Near what is expected, so that it is not only old or far ahead. */
  private readonly seq = (): number => this.oneOf([0, 1, 2, 3, 4, 5, 0xffff_ffff, this.u32()]);

  private readonly data = (): { offset: number; data: Uint8Array } => ({ offset: this.offset(), data: this.bytes() });

  private readonly to = (): { addr: number; port: number } => ({ addr: this.addr(), port: this.u32() });

  private options(): NonNullable<SkCmd['options']> {
    const { u32, ms, flag, bytes } = this;
    return {
      nodelay: this.maybe(flag),
      cork: this.maybe(flag),
      keepalive: this.maybe(flag),
      keepIdleMs: this.maybe(ms),
      keepIntvlMs: this.maybe(ms),
      keepCnt: this.maybe(u32),
      rcvbuf: this.maybe(u32),
      sndbuf: this.maybe(u32),
      maxSeg: this.maybe(u32),
      synCnt: this.maybe(u32),
      userTimeoutMs: this.maybe(ms),
      linger2Ms: this.maybe(ms),
      windowClamp: this.maybe(u32),
      quickack: this.maybe(flag),
      congestion: this.maybe(() => this.oneOf(['', 'reno', 'bbr', 'dctcp', 'nobody', '__proto__'])),
      maxPacingRate: this.maybe(ms),
      notsentLowat: this.maybe(u32),
      tos: this.maybe(u32),
      ttl: this.maybe(u32),
      reuseAddr: this.maybe(flag),
      reusePort: this.maybe(flag),
      deferAccept: this.maybe(u32),
      saveSyn: this.maybe(u32),
      bindNoPort: this.maybe(flag),
      fastopen: this.maybe(u32),
      fastopenNoCookie: this.maybe(flag),
      fastopenKey: this.maybe(bytes),
      rcvLowat: this.maybe(u32),
      pmtuDisc: this.maybe(u32),
      recvErr: this.maybe(flag),
      priority: this.maybe(u32),
      mark: this.maybe(u32),
    } as NonNullable<SkCmd['options']>;
  }

  cmd(): SkCmd {
    const { u32, offset, flag } = this;
    const c = {
      sk: this.sk(),
      opSeq: this.seq(),
      options: this.maybe(() => this.options()),
      owner: this.maybe(() => this.oneOf([0, 1, 5e-324, 1e300, Number.NaN])),
      view: this.maybe(() => ({
        sndTo: offset(),
        rcvGot: offset(),
        rcvRead: offset(),
        finGot: flag(),
        haveChild: flag(),
        accepted: flag(),
        noSpace: flag(),
        urgTo: offset(),
        recordSeq: u32(),
        rcvGapTo: offset(),
      })),
      data: this.maybe(() => ({ ...this.data(), more: flag(), eor: flag() })),
      query: this.maybe(
        () => ({ id: u32(), level: this.oneOf([0, 1, IPPROTO_TCP, u32()]), name: below(this.rng, 70) }),
        5,
      ),
      unread: this.maybe(this.data, 8),
      adopt: this.maybe(() => ({ owner: offset(), rcvRead: offset(), children: flag() }), 8),
      restoreEnd: this.maybe(u32, 20),
      restore: this.maybe(
        () => ({
          to: this.oneOf([0, 1, u32()]),
          opSeq: this.seq(),
          record: this.bytes(),
          state: u32(),
          bind: this.maybe(this.to),
          listen: this.maybe(() => ({ backlog: u32() })),
          listener: this.sk(),
          sndUna: offset(),
          sndMax: offset(),
          sndbuf: u32(),
          shutdown: u32(),
          closed: flag(),
          finAcked: flag(),
          urgAt: offset(),
          urgByte: u32(),
          ageMs: this.ms(),
        }),
        8,
      ),
    };
    const op = this.oneOf([
      {},
      { bind: this.to() },
      { listen: { backlog: u32() } },
      { bind: this.to(), listen: { backlog: u32() } },
      { connect: { ...this.to(), fastopen: this.maybe(() => ({ data: this.bytes(), defer: flag() })) } },
      { shutdown: { how: u32() } },
      { close: { abort: flag() } },
      { sendto: { ...this.to(), data: this.bytes() } },
    ]);
    return { ...c, ...op } as SkCmd;
  }

  evt(): SkEvt {
    const { u32, offset, flag } = this;
    return {
      sk: this.sk(),
      opAck: this.seq(),
      opErrno: this.maybe(u32) ?? 0,
      unknown: this.maybe(flag, 10),
      restored: this.maybe(flag, 10),
      hello: this.maybe(u32, 20),
      view: this.maybe(() => ({
        state: this.oneOf([...Array(14).keys(), u32()]),
        laddr: this.addr(),
        lport: u32(),
        raddr: this.addr(),
        rport: u32(),
        sndGot: offset(),
        sndUna: offset(),
        sndLimit: offset(),
        rcvNxt: offset(),
        finRcvd: flag(),
        finAcked: flag(),
        sndbuf: u32(),
        sndGoal: u32(),
        sndBurst: u32(),
        sndNxt: offset(),
        err: this.maybe(u32) ?? 0,
        softErr: this.maybe(u32) ?? 0,
        urgAt: offset(),
        urgByte: u32(),
      })),
      data: this.maybe(this.data),
      sent: this.maybe(this.data, 8),
      dgram: this.maybe(
        () => ({ ...this.to(), offset: offset(), charge: u32(), data: this.bytes(), daddr: this.addr() }),
        8,
      ),
      child: this.maybe(() => ({ listener: this.sk(), savedSyn: this.maybe(this.bytes) }), 5),
      answer: this.maybe(() => ({ id: u32(), errno: u32(), value: this.bytes() }), 5),
      record: this.maybe(() => ({ seq: u32(), data: this.bytes(), keepMs: this.ms(), listener: this.sk() }), 5),
      adopted: this.maybe(() => ({ orphan: flag(), rcvFrom: offset() }), 8),
    } as SkEvt;
  }

  update(): NeighUpdate {
    return {
      epoch: this.oneOf([0, 1, 2, this.u32()]),
      ifindex: this.oneOf([0, 1, 2, 3, this.u32()]),
      addr: this.addr(),
      lladdr: this.oneOf([0, 0x0200_0000_0001, 0xffff_ffff_ffff]),
      devAddr: this.oneOf([0, 0x0200_0000_0002]),
      connected: this.flag(),
      validMs: this.oneOf([0, 1, 1e9, 0xffff_ffff]),
    };
  }

  /** A frame, or what begins at one of its headers, of which each byte and each word of metadata may be wrong. */
  skb(): SkBuff {
    const { u32, flag } = this;
    const proto = this.oneOf([1, 6, 17, below(this.rng, 256)]);
    const ports = this.oneOf([
      [0, 80, 0, 81],
      [0, 81, 156, 64],
    ]);
    const ip = [0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, proto, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1];
    const transport = [
      ...ports,
      0,
      0,
      0,
      1,
      0,
      0,
      0,
      1,
      0x50 + below(this.rng, 2) * 0x60,
      below(this.rng, 256),
      255,
      255,
      0,
      0,
    ];
    const ether = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, this.oneOf([0, 6])];
    const bytes = Uint8Array.from([...ether, ...ip, ...transport, 0, 0, ...this.bytes()]);
    for (let i = below(this.rng, 5); i > 0; i--) bytes[below(this.rng, bytes.length)] = below(this.rng, 256);
    const at = this.oneOf([0, 14, 14, 34, 34, below(this.rng, bytes.length)]);
    const skb = new SkBuff(bytes, at, bytes.length, flag() ? [] : [this.bytes()]);
    const header = (usual: number): number => this.oneOf([-1, usual, usual, below(this.rng, bytes.length)]);
    skb.id = u32();
    skb.protocol = this.oneOf([0x0800, 0x0806, u32()]);
    skb.ifindex = this.oneOf([0, 1, 2, 2, u32()]);
    skb.pktType = this.oneOf([0, 0, 1, 2, 3, 4, u32()]);
    skb.macHeader = header(0);
    skb.networkHeader = header(14);
    skb.transportHeader = header(34);
    skb.mark = u32();
    skb.priority = u32();
    skb.ipSummed = this.oneOf([0, 1, 1, 2, 3]);
    skb.csumStart = header(34);
    skb.csumOffset = this.oneOf([16, 6, u32()]);
    skb.gsoSize = this.oneOf([0, 0, 0, 1, 500, u32()]);
    skb.gsoSegs = u32();
    skb.gsoType = this.oneOf([0, 1, u32()]);
    skb.tstampMs = this.ms();
    skb.nextHop = this.addr();
    skb.rtMtu = this.oneOf([0, 0, 1, 68, 1500, u32()]);
    skb.confirm = flag();
    skb.sk = this.sk();
    skb.wmem = u32();
    if (flag())
      skb.flow = {
        saddr: this.addr(),
        daddr: this.addr(),
        proto,
        tos: u32(),
        ttl: u32(),
        df: flag(),
        oif: this.oneOf([0, 1, 2, u32()]),
        connected: flag(),
      };
    return skb;
  }

  /** Says something to one of the layers, through the codec where there is one. */
  say(): void {
    const { shells, tcp, udp, sockets, ip, neigh } = this.host;
    switch (below(this.rng, 16)) {
      case 0:
      case 1:
      case 2: {
        const cmds = decodeCmds(encodeCmds(1, [this.cmd()]))?.cmds ?? [];
        return shells.tcp.run((now) => cmds.forEach((c) => tcp.onCommand(c, now)));
      }
      case 3: {
        const cmds = decodeCmds(encodeCmds(1, [this.cmd()]))?.cmds ?? [];
        return shells.udp.run((now) => cmds.forEach((c) => udp.onCommand(c, now)));
      }
      case 4:
      case 5: {
        const evts = decodeEvts(encodeEvts(1, [this.evt()]))?.evts ?? [];
        const udpToo = this.flag();
        return shells.socket.run((now) =>
          evts.forEach((e) => (udpToo ? sockets.onUdpEvent(e, now) : sockets.onTcpEvent(e, now))),
        );
      }
      case 6:
        return shells.ip.run((now) => ip.onNeighUpdate(this.update(), now));
      default: {
        const { skbs } = decodeSkbList(encodeSkbList(1, 1, 0, [this.skb()]))!;
        return this.host.deliver(this.oneOf(HAND_OVERS), 0, skbs);
      }
      case 7:
        return shells.neigh.run((now) =>
          neigh.hint({ ifindex: this.oneOf([0, 1, 2, this.u32()]), addr: this.addr(), confirm: this.flag() }, now),
        );
    }
  }
}

test.each(Array.from({ length: last - first + 1 }, (_, i) => first + i))('seed %i', (seed) => {
  const rng = new SeededRng(seed * 104_729);
  const two = twoHosts({ latencyMs: 2 }, { seed, codec: false }); // what is said is coded, and what follows from it may be as absurd
  const { net, a, b, onA, onB } = two;
  onA.serve(80, () => {});
  onB.serve(81, (fd) => onB.readAll(fd, 1));
  onA.connect(b.addr, 81);
  const { fd } = onA.connect(b.addr, 81);
  if (fd >= 0) onA.writeAll(fd, 20_000, 1);
  net.runFor(20);
  const mad = new Nonsense(rng, a);
  for (let i = 0; i < MESSAGES; i++) {
    mad.say();
    net.runFor(below(rng, 20) / 4);
  }
  net.runFor(300_000);
  // What is counted is still counted right, and the engines know no more than they were told.
  const expected = /illegal transitions|handed on|^link/;
  expect(net.check().filter((p) => !expected.test(p))).toEqual([]);
  expect(a.sockets.gauges.sockets).toBeLessThan(MESSAGES);
  expect(a.tcp.sockets().length).toBeLessThan(MESSAGES + 10);
  // The other host is as it was.
  expect(b.tcp.sockets().length).toBeLessThan(20);
  let got: ReadProgress | undefined;
  onB.serve(90, (child) => (got = onB.readAll(child, 3)));
  onB.writeAll(onB.connect(b.addr, 90).fd, 5_000, 3);
  net.runFor(1_000);
  expect(got).toEqual(whole(5_000));
});
