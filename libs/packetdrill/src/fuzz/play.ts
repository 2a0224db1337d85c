import { parseIpv4, type Ipv4Addr } from '@skbus/skb';
import {
  emitIpv4Header,
  emitTcp,
  finish,
  IPV4_HLEN,
  parseIpv4Header,
  parseTcp,
  parseTcpOptions,
  pseudoHeaderSum,
  put16,
  put32,
  sumBytes,
  TCP_ACK,
  TCP_CSUM_OFFSET,
  TCP_HLEN,
  TCP_RST,
  TCP_SYN,
  type TcpOptions,
} from '@skbus/wire';
import type { Micros, ScriptAddresses, SysResult, SysTicket, Target } from '../target.ts';
import { TSVAL_0, type Call, type Scenario, type Segment } from './scenario.ts';

// Runs a scenario on a target and writes down what came back, numbers relative to the initial sequence numbers.

/** A segment of the stack. */
export interface Reply {
  atUs: Micros;
  flags: number;
  seq: number;
  ack: number;
  win: number;
  urgent: number;
  length: number;
  ecr: number | undefined;
  sack: readonly [number, number][];
  tos: number;
  synOptions: TcpOptions | undefined;
}

export interface Answer {
  name: string;
  ret: number;
  errno: number;
}

/** What happened from one step to the next; the first is the handshake. */
export interface Epoch {
  /** When its step was made. */
  startUs: Micros;
  replies: Reply[];
  answers: Answer[];
}

const DEFAULT: ScriptAddresses = {
  localIp: '192.168.0.1',
  remoteIp: '192.0.2.1',
  gatewayIp: '192.168.0.2',
  prefixLen: 16,
};
const MTU = 1500;
const [AF_INET, SOCK_STREAM, SOL_SOCKET, SOL_TCP] = [2, 1, 1, 6];
const [SO_REUSEADDR, SO_TYPE, SO_ERROR, TCP_NODELAY, TCP_CORK, TCP_INFO] = [2, 3, 4, 1, 3, 11];
const [F_SETFL, O_RDWR_NONBLOCK, MSG_DONTWAIT, MSG_NOSIGNAL] = [4, 0o4002, 0x40, 0x4000];
const [STACK_PORT, PEER_PORT, PEER_ISN] = [8080, 40_000, 0x1000_0000];
const ANSWER_US = 1_000_000;
/** Gaps in which a timer may run out. */
const LONG_US = 50_000;
/** Long against what a real machine adds, so that timers that follow from it are the same on all targets. */
export const RTT_US = 30_000;
/** What still comes when the last step is done: a delayed ACK, but no retransmission. */
const TAIL_US = 50_000;

/**
 * `stretch`: what long gaps are multiplied by. `pace`: what another target made of it; in virtual time its gaps are kept, which on a
 * machine with much else to do are longer than asked for, or a timer would run out before the end there and not here.
 */
export async function play(target: Target, s: Scenario, stretch = 1, pace: Epoch[] = []): Promise<Epoch[]> {
  const addresses = target.addresses?.() ?? DEFAULT;
  await target.open({ ...addresses, mtu: MTU });
  try {
    return await new Play(target, s, addresses, stretch, target.virtualTime ? pace : []).run();
  } finally {
    await target.close();
  }
}

class Play {
  private readonly target: Target;
  private readonly scenario: Scenario;
  private readonly stretch: number;
  private readonly pace: Epoch[];
  private readonly addresses: ScriptAddresses;
  private readonly local: Ipv4Addr;
  private readonly remote: Ipv4Addr;
  private readonly epochs: Epoch[] = [{ startUs: 0, replies: [], answers: [] }];
  private fd = -1;
  private stackPort = STACK_PORT;
  private peerPort = PEER_PORT;
  private isn: number | undefined = undefined;
  private tsEcr = 0;

  constructor(target: Target, scenario: Scenario, addresses: ScriptAddresses, stretch: number, pace: Epoch[]) {
    this.stretch = stretch;
    this.pace = pace;
    this.target = target;
    this.scenario = scenario;
    this.addresses = addresses;
    this.local = parseIpv4(addresses.localIp)!;
    this.remote = parseIpv4(addresses.remoteIp)!;
  }

  async run(): Promise<Epoch[]> {
    const { target } = this;
    await this.handshake();
    for (const step of this.scenario.steps) {
      // From when the step before was done, so that its answers come before the next one however slow the machine is.
      const gapUs = step.gapUs * (step.gapUs < LONG_US ? 1 : this.stretch);
      await this.collect(gapUs > 0 ? this.after(gapUs) : target.now());
      if (gapUs > 0) this.epochs.push({ startUs: target.now(), replies: [], answers: [] });
      if (step.kind === 'call') await this.call(step);
      else {
        this.inject(step);
        // Calls are served after what was injected before them: when this one is back, the segment has been taken.
        await this.done(target.sys.getsockopt(this.fd, SOL_SOCKET, SO_TYPE, 4));
      }
    }
    await this.collect(this.after(TAIL_US));
    await this.inquire();
    return this.epochs;
  }

  /** When the epoch that begins after this gap does. */
  private after(gapUs: Micros): Micros {
    const { pace, epochs, target } = this;
    const n = epochs.length;
    const [from, to] = [pace[n - 1], pace[n]];
    // The first one begins with the handshake.
    if (n < 2 || from === undefined || to === undefined) return target.now() + gapUs;
    return Math.max(target.now(), epochs[n - 1]!.startUs + to.startUs - from.startUs);
  }

  private async handshake(): Promise<void> {
    const { sys } = this.target;
    const { how, win } = this.scenario.handshake;
    const { ret: fd } = await this.done(sys.socket(AF_INET, SOCK_STREAM, SOL_TCP));
    this.fd = fd;
    const base = { kind: 'segment', gapUs: 0, win, urgent: 0, length: 0 } as const;
    if (how === 'passive' || how === 'half') {
      await this.done(sys.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, { kind: 'int', value: 1 }));
      await this.done(sys.bind(fd, { ip: this.addresses.localIp, port: STACK_PORT }));
      await this.done(sys.listen(fd, 1));
      this.inject({ ...base, flags: TCP_SYN, seq: 0, ack: 0 });
      await this.first();
      if (how === 'half') return;
      await this.collect(this.target.now() + RTT_US);
      this.inject({ ...base, flags: TCP_ACK, seq: 1, ack: 1, ...this.stamp() });
      this.fd = (await this.done(sys.accept(fd, 0))).ret;
      await this.done(sys.close(fd));
      return;
    }
    this.peerPort = STACK_PORT;
    await this.done(sys.fcntl(fd, F_SETFL, O_RDWR_NONBLOCK));
    await this.done(sys.connect(fd, { ip: this.addresses.remoteIp, port: this.peerPort }));
    await this.first();
    if (how === 'asked') return;
    await this.collect(this.target.now() + RTT_US);
    this.inject({ ...base, flags: TCP_SYN | TCP_ACK, seq: 0, ack: 1 });
    await this.collect(this.target.now() + 5000);
  }

  /** The stack's SYN, from which its numbers count. */
  private async first(): Promise<void> {
    const p = await this.target.nextPacket(this.target.now() + ANSWER_US);
    if (p === undefined) throw new Error(`seed ${this.scenario.seed}: no SYN`);
    const tcp = parseTcp(p.bytes, IPV4_HLEN, p.bytes.length)!;
    this.stackPort = tcp.sport;
    this.note(p.bytes, p.atUs);
  }

  private async collect(until: Micros): Promise<void> {
    for (;;) {
      const p = await this.target.nextPacket(until);
      if (p === undefined) break;
      this.note(p.bytes, p.atUs);
    }
    await this.target.sleepUntil(until);
  }

  private note(b: Uint8Array, atUs: Micros): void {
    const ip = parseIpv4Header(b, 0, b.length)!;
    if (ip.proto !== SOL_TCP) return;
    const tcp = parseTcp(b, ip.hlen, b.length)!;
    const o = parseTcpOptions(b, ip.hlen + TCP_HLEN, ip.hlen + tcp.hlen);
    const relative = (n: number): number => (n - PEER_ISN) | 0;
    // A SYN may open another connection, whose numbers and echoes count from it.
    if (tcp.flags & TCP_SYN) {
      this.isn = tcp.seq;
      this.tsEcr = o.tsVal ?? 0;
    }
    this.epochs.at(-1)!.replies.push({
      atUs,
      flags: tcp.flags,
      // A reset of what was no acknowledgement is numbered 0 (RFC 9293 3.10.7.1).
      seq: tcp.flags & TCP_RST && tcp.seq === 0 ? 0 : (tcp.seq - this.isn!) | 0,
      ack: tcp.flags & TCP_ACK ? relative(tcp.ack) : 0,
      win: tcp.window,
      urgent: tcp.urgent,
      length: ip.totalLen - ip.hlen - tcp.hlen,
      ecr: o.tsEcr,
      sack: (o.sack ?? []).map(([l, r]) => [relative(l), relative(r)]),
      tos: ip.tos,
      synOptions: tcp.flags & TCP_SYN ? o : undefined,
    });
  }

  private async call({ name, arg }: Call): Promise<void> {
    const { sys } = this.target;
    const fd = this.fd;
    const int = (value: number) => ({ kind: 'int', value }) as const;
    const made = {
      send: () => sys.send(fd, new Uint8Array(arg).fill(0x61), MSG_DONTWAIT | MSG_NOSIGNAL),
      recv: () => sys.recv(fd, arg, MSG_DONTWAIT),
      shutdown: () => sys.shutdown(fd, arg),
      close: () => sys.close(fd),
      nodelay: () => sys.setsockopt(fd, SOL_TCP, TCP_NODELAY, int(arg)),
      cork: () => sys.setsockopt(fd, SOL_TCP, TCP_CORK, int(arg)),
    }[name]();
    this.answer(name, await this.done(made));
    if (name === 'close') this.fd = -1;
  }

  /** What the program finds at the end. */
  private async inquire(): Promise<void> {
    const { sys } = this.target;
    if (this.fd < 0) return;
    this.epochs.push({ startUs: this.target.now(), replies: [], answers: [] });
    const { opt } = await this.done(sys.getsockopt(this.fd, SOL_TCP, TCP_INFO, 8));
    this.answer('state', { ret: opt?.[0] ?? -1, errno: 0 });
    const error = await this.done(sys.getsockopt(this.fd, SOL_SOCKET, SO_ERROR, 4));
    this.answer('error', { ret: error.opt?.[0] ?? -1, errno: 0 });
    this.answer('recv', await this.done(sys.recv(this.fd, 100_000, MSG_DONTWAIT)));
  }

  private answer(name: string, { ret, errno }: SysResult): void {
    this.epochs.at(-1)!.answers.push({ name, ret, errno });
  }

  private async done(ticket: SysTicket): Promise<SysResult> {
    await this.target.wait(ticket, this.target.now() + ANSWER_US);
    if (ticket.result === undefined) throw new Error(`seed ${this.scenario.seed}: a call blocks`);
    return ticket.result;
  }

  private stamp(): { tsVal?: number } {
    return this.scenario.handshake.timestamps ? { tsVal: TSVAL_0 } : {};
  }

  private inject(s: Segment): void {
    const options = this.options(s);
    const hlen = TCP_HLEN + options.length;
    const b = new Uint8Array(IPV4_HLEN + hlen + s.length).fill(0x62, IPV4_HLEN + hlen);
    const ip = { hlen: IPV4_HLEN, tos: 0, id: 0, df: true, mf: false, fragOffset: 0, ttl: 64, proto: SOL_TCP };
    emitIpv4Header({ ...ip, totalLen: b.length, saddr: this.remote, daddr: this.local }, b, 0);
    const seq = (PEER_ISN + s.seq) >>> 0;
    const ack = s.flags & TCP_ACK ? ((this.isn ?? 0) + s.ack) >>> 0 : 0;
    const { flags, win: window, urgent } = s;
    emitTcp({ sport: this.peerPort, dport: this.stackPort, seq, ack, hlen, flags, window, urgent }, b, IPV4_HLEN);
    b.set(options, IPV4_HLEN + TCP_HLEN);
    const n = hlen + s.length;
    const sum = sumBytes(b, IPV4_HLEN, n, pseudoHeaderSum(this.remote, this.local, SOL_TCP, n));
    put16(b, IPV4_HLEN + TCP_CSUM_OFFSET, finish(sum));
    this.target.inject(b);
  }

  private options(s: Segment): Uint8Array {
    const h = this.scenario.handshake;
    const o: number[] = [];
    const words = (...w: number[]): number[] =>
      w.flatMap((x) => {
        const b = new Uint8Array(4);
        put32(b, 0, x >>> 0);
        return [...b];
      });
    const syn = (s.flags & TCP_SYN) !== 0;
    if (syn) o.push(2, 4, h.mss >>> 8, h.mss & 0xff);
    if (syn && h.sackOk) o.push(1, 1, 4, 2);
    const tsVal = s.tsVal ?? (syn ? this.stamp().tsVal : undefined);
    if (tsVal !== undefined) o.push(1, 1, 8, 10, ...words(tsVal, s.flags & TCP_ACK ? this.tsEcr : 0));
    if (syn && h.wscale !== undefined) o.push(1, 3, 3, h.wscale);
    if (s.sack !== undefined) o.push(1, 1, 5, 10, ...words(this.isn! + s.sack[0], this.isn! + s.sack[1]));
    if (s.unknown) o.push(0xfa, 4, 0xca, 0xfe);
    return Uint8Array.from(o);
  }
}
