import { expect, test } from '@jest/globals';
import { Net, Program, sockAddr, type Host, type Link, type LinkModel, type ReadProgress } from '@skbus/sim';

/** 8 Mbit/s behind a router, of which 1448 of 1514 bytes are payload; 40 ms there and back: 27 frames fit into it. */
const MBIT = 8;
const PAYLOAD = (MBIT * 1448) / 1514;
const RTT_MS = 40;
const PATH: Partial<LinkModel> = { latencyMs: RTT_MS / 2, bitsPerSecond: MBIT * 1e6, queueFrames: 150 };

const PHASES = ['startup', 'drain', 'down', 'cruise', 'refill', 'up', 'probe-rtt'];

/** What a test sees of a connection. */
interface Sock {
  readonly caPriv: { phase: number; inflightLongterm: number } | undefined;
  readonly cwnd: number;
  readonly state: number;
  readonly rtt: { srttMs: number };
}

class Flows {
  readonly net = new Net(3);
  readonly a: Host;
  readonly b: Host;
  readonly onA: Program;
  /** The bottleneck. */
  readonly link: Link;
  readonly got: ReadProgress[] = [];

  constructor(congestion: string, model: Partial<LinkModel> = {}) {
    const { net } = this;
    this.a = net.host('a', { tcp: { tcpCongestionControl: congestion } });
    this.b = net.host('b');
    const r = net.host('r', { router: true });
    const near = net.link({ latencyMs: 0.1 });
    this.link = net.link({ ...PATH, ...model });
    this.a.attach(near, '10.1.0.2/24');
    r.attach(near, '10.1.0.1/24');
    r.attach(this.link, '10.2.0.1/24');
    this.b.attach(this.link, '10.2.0.2/24');
    this.a.route('default', '10.1.0.1');
    this.b.route('default', '10.2.0.1');
    this.onA = new Program(net, this.a);
    const onB = new Program(net, this.b);
    onB.serve(80, (fd) => void this.got.push(onB.readAll(fd)));
  }

  start(bytes = 1e9): this {
    this.onA.writeAll(this.onA.connect(this.b.addr, 80).fd, bytes);
    return this;
  }

  run(ms: number): this {
    this.net.runFor(ms);
    return this;
  }

  /** Payload in Mbit/s of each flow during the next `ms`. */
  rates(ms: number): number[] {
    const before = this.got.map((g) => g.got);
    this.run(ms);
    return this.got.map((g, i) => ((g.got - (before[i] ?? 0)) * 8) / (ms * 1000));
  }

  get socks(): Sock[] {
    const cx = Reflect.get(this.a.tcp, 'cx') as { socks: { values: () => Iterable<Sock> } };
    return [...cx.socks.values()];
  }

  get phase(): string {
    return PHASES[this.socks[0]?.caPriv?.phase ?? 0]!;
  }

  /** The phases of the next `ms`, each change once. */
  phases(ms: number): string[] {
    const seen = [this.phase];
    for (let t = 0; t < ms; t += 5) {
      this.run(5);
      if (this.phase !== seen.at(-1)) seen.push(this.phase);
    }
    return seen;
  }
}

test('a clean path is filled, and there is little queue', () => {
  const f = new Flows('bbr').start().run(2000);
  let queueMs = 0;
  for (let i = 0; i < 8; i++) {
    expect(f.rates(500)[0]).toBeGreaterThan(0.7 * PAYLOAD);
    queueMs += f.socks[0]!.rtt.srttMs - RTT_MS;
  }
  expect(f.got[0]!.got * 8).toBeGreaterThan(0.9 * PAYLOAD * 1000 * f.net.now);
  expect(queueMs / 8).toBeLessThan(RTT_MS / 2);
  expect(f.link.counters.overflow).toBe(0);
});

test('startup, drain, the cycle of probes for bandwidth, and one for the round-trip time', () => {
  const seen = new Flows('bbr').start().phases(7000);
  // after DRAIN there is nothing left for DOWN to do
  expect(seen.filter((p, i) => i > 3 || p !== 'down').slice(0, 3)).toEqual(['startup', 'drain', 'cruise']);
  expect(seen.join(' ')).toContain('cruise refill up down cruise');
  expect(seen.join(' ')).toMatch(/probe-rtt (cruise|down)/);
  expect(seen.filter((p) => p === 'probe-rtt')).toHaveLength(1);
});

test('1 % random loss: it keeps its rate, Reno does not', () => {
  const rate = (congestion: string): number =>
    new Flows(congestion, { loss: 0.01, latencyMs: RTT_MS }).start().run(2000).rates(6000)[0]!;
  expect(rate('bbr')).toBeGreaterThan(0.75 * PAYLOAD);
  expect(rate('reno')).toBeLessThan(0.4 * PAYLOAD);
});

test('a buffer far below the product of bandwidth and delay: it learns what fits', () => {
  const f = new Flows('bbr', { queueFrames: 10 }).start().run(4000);
  const { overflow, sent } = f.link.counters;
  expect(f.rates(6000)[0]).toBeGreaterThan(0.8 * PAYLOAD);
  const lost = (f.link.counters.overflow - overflow) / (f.link.counters.sent - sent);
  expect(lost).toBeLessThan(0.02);
  expect(f.socks[0]!.caPriv!.inflightLongterm).toBeLessThan(80);
});

test('two flows share: the second one, two seconds later, gets its part', () => {
  const f = new Flows('bbr').start().run(2000).start().run(16_000);
  const [first = 0, second = 0] = f.rates(6_000);
  expect(first + second).toBeGreaterThan(0.9 * PAYLOAD);
  // Jain's index of fairness: 1 is equal, 0.5 is all to one
  expect((first + second) ** 2 / (2 * (first ** 2 + second ** 2))).toBeGreaterThan(0.93);
});

test('a timeout does not end it: when the path is back, so is its rate', () => {
  const f = new Flows('bbr').start().run(3000);
  f.link.drop = (bytes) => bytes.length > 1000;
  f.run(2000);
  expect(f.socks[0]!.cwnd).toBe(1);
  f.link.drop = undefined;
  f.run(2500);
  expect(f.rates(2000)[0]).toBeGreaterThan(0.8 * PAYLOAD);
});

test('TCP_CONGESTION chooses it for one connection', () => {
  const f = new Flows('cubic');
  const { onA, b } = f;
  const fd = onA.socket(1);
  const set = (value: string) => onA.sys({ call: 'setsockopt', fd, level: 6, name: 13, value });
  expect(set('vegas')).toMatchObject({ errno: 2 });
  expect(set('bbr')).toMatchObject({ errno: 0 });
  expect(onA.sys({ call: 'connect', fd, addr: sockAddr(b.addr, 80) })).toMatchObject({ errno: 0 });
  onA.writeAll(fd, 1e9);
  expect(f.phases(2000)).toEqual(expect.arrayContaining(['startup', 'drain', 'cruise']));
});
