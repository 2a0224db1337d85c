import { describe, expect, test } from '@jest/globals';
import { TCP_ESTABLISHED, TCP_SYN_RECV, TCP_SYN_SENT, type SkOptions } from '@skbus/skb';
import type { TcpOptions } from '@skbus/wire';
import { Scripted, SK, THEM } from './testing/peer.ts';

const OPTS: TcpOptions = { mss: 1460, sackPermitted: true, wscale: 7 };
const text = (s: string): Uint8Array => new TextEncoder().encode(s);

function server(options: SkOptions = { fastopen: 5 }, tcpFastopen = 3): Scripted {
  const t = new Scripted({ sysctl: { tcpFastopen }, isn: 5000 });
  t.ourPort = 80;
  t.cmd({ sk: SK, opSeq: 1, options, bind: { addr: 0, port: 80 }, listen: { backlog: 8 } });
  return t;
}

/** What the server gives to who asks. */
function askCookie(t: Scripted): Uint8Array {
  t.inject('S', 0, 0, { sport: 39_999, opts: { ...OPTS, fastOpen: new Uint8Array(0) } });
  return t.sent()[0]!.opts.fastOpen!;
}

const childOf = (t: Scripted): number | undefined => t.events.find((e) => e.child)?.sk;

describe('server', () => {
  test('a cookie is given to who asks, in the form that was used to ask', () => {
    const t = server();
    expect(askCookie(t)).toHaveLength(8);
    expect(t.env.mib.get('TcpExtTCPFastOpenCookieReqd')).toBe(1);
    t.inject('S', 0, 0, { sport: 39_998, opts: { ...OPTS, fastOpen: new Uint8Array(0), fastOpenExp: true } });
    const { fastOpen, fastOpenExp } = t.sent()[0]!.opts;
    expect(fastOpenExp).toBe(true);
    t.inject('S', 0, 0, { opts: { ...OPTS, fastOpen: fastOpen! }, data: text('x') });
    expect(childOf(t)).toBeDefined();
  });

  test('with a right cookie the data goes up before the handshake is done, and the server may answer', () => {
    const t = server();
    const fastOpen = askCookie(t);
    t.inject('S', 0, 0, { opts: { ...OPTS, fastOpen }, data: text('request') });
    const child = childOf(t)!;
    expect(t.state(child)).toBe(TCP_SYN_RECV);
    expect(t.data(child)).toMatchObject([{ offset: 0, data: text('request') }]);
    expect(t.sent()).toEqual([]); // nothing is acknowledged that nobody has
    t.view(child, { rcvGot: 7 });
    expect(t.sent()).toMatchObject([{ flags: 'S.', seq: 0, ack: 8 }]);
    t.cmd({ sk: child, data: { offset: 0, data: text('answer') } });
    expect(t.sent()).toMatchObject([{ flags: 'P.', seq: 1, len: 6, ack: 8 }]);
    t.inject('.', 8, 7);
    expect(t.state(child)).toBe(TCP_ESTABLISHED);
    expect(t.lastView(child)).toMatchObject({ state: TCP_ESTABLISHED, sndUna: 6 });
    expect(t.env.mib.get('TcpExtTCPFastOpenPassive')).toBe(1);
    expect(t.env.ledger.imbalance).toBe(0);
    expect(t.tcp.illegalTransitions).toBe(0);
  });

  test('only the SYN-ACK is retransmitted until it is acknowledged', () => {
    const t = server();
    const fastOpen = askCookie(t);
    t.inject('S', 0, 0, { opts: { ...OPTS, fastOpen }, data: text('request') });
    const child = childOf(t)!;
    t.view(child, { rcvGot: 7 });
    t.cmd({ sk: child, data: { offset: 0, data: text('answer') } });
    t.sent();
    t.wait(3100);
    expect(t.sentText().filter((s) => !s.includes('ack 1'))).toEqual(['S. 0:0 ack 8', 'S. 0:0 ack 8']);
    t.inject('.', 8, 1);
    t.wait(1100);
    expect(t.sentText()).toContain('P. 1:7 ack 8');
  });

  test('a wrong cookie falls back to a handshake, and the right one comes along', () => {
    const t = server();
    t.inject('S', 0, 0, { opts: { ...OPTS, fastOpen: new Uint8Array(8) }, data: text('request') });
    expect(t.sent()).toMatchObject([{ flags: 'S.', ack: 1, opts: { fastOpen: expect.any(Uint8Array) } }]);
    expect(childOf(t)).toBeUndefined();
    expect(t.env.mib.get('TcpExtTCPFastOpenPassiveFail')).toBe(1);
  });

  test('off, or not asked for by the listener: as if the option were unknown', () => {
    for (const t of [server({ fastopen: 5 }, 1), server({}, 3)]) {
      t.inject('S', 0, 0, { opts: { ...OPTS, fastOpen: new Uint8Array(0) } });
      expect(t.sent()[0]!.opts.fastOpen).toBeUndefined();
    }
  });

  test('the queue is bounded; a reset in the handshake keeps its place for a minute', () => {
    const t = server({ fastopen: 1 });
    const fastOpen = askCookie(t);
    t.inject('S', 0, 0, { opts: { ...OPTS, fastOpen } });
    t.inject('R', 1, 0);
    t.sent();
    t.inject('S', 0, 0, { sport: 41_000, opts: { ...OPTS, fastOpen }, data: text('x') });
    expect(t.sent()[0]).toMatchObject({ flags: 'S.', ack: 1 });
    expect(t.env.mib.get('TcpExtTCPFastOpenListenOverflow')).toBe(1);
    t.wait(61_000);
    t.sent();
    t.inject('S', 0, 0, { sport: 42_000, opts: { ...OPTS, fastOpen }, data: text('x') });
    expect(t.events.filter((e) => e.child && e.data === undefined).length).toBeGreaterThan(1);
    expect(t.env.mib.get('TcpExtTCPFastOpenPassive')).toBe(2);
  });

  test('the cookie of the key before this one is still good, and replaced', () => {
    const key = Uint8Array.from({ length: 16 }, (_, i) => i);
    const old = server({ fastopen: 5, fastopenKey: key });
    const fastOpen = askCookie(old);
    const both = new Uint8Array(32).fill(9);
    both.set(key, 16);
    const t = server({ fastopen: 5, fastopenKey: both });
    t.inject('S', 0, 0, { opts: { ...OPTS, fastOpen }, data: text('request') });
    t.view(childOf(t)!, { rcvGot: 7 });
    expect(t.sent()[0]!.opts.fastOpen).not.toEqual(fastOpen);
    expect(t.env.mib.get('TcpExtTCPFastOpenPassiveAltKey')).toBe(1);
  });
});

describe('client', () => {
  const COOKIE = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

  function connect(t: Scripted, sk: number, data: string, options: SkOptions = {}): void {
    t.forgetIsn();
    t.theirPort = 8080;
    t.cmd({ sk, opSeq: 1, options, connect: { addr: THEM, port: 8080, fastopen: { data: text(data) } } });
  }

  /** A first connection that brings a cookie home. */
  function withCookie(): Scripted {
    const t = new Scripted();
    connect(t, 2, 'hello');
    expect(t.sent()).toMatchObject([{ flags: 'S', len: 0, opts: { fastOpen: new Uint8Array(0) } }]);
    expect(t.lastView(2)).toMatchObject({ state: TCP_SYN_SENT, sndGot: 0 });
    t.inject('S.', 0, 1, { opts: { ...OPTS, mss: 1400, fastOpen: COOKIE } });
    t.inject('R', 1, 1);
    t.sent();
    return t;
  }

  test('no cookie yet: asks for one; then data goes with the SYN and is acknowledged by the SYN-ACK', () => {
    const t = withCookie();
    connect(t, 4, 'hello');
    expect(t.sent()).toMatchObject([{ flags: 'S', len: 5, opts: { fastOpen: COOKIE } }]);
    expect(t.lastView(4).sndGot).toBe(5);
    t.inject('S.', 0, 6, { opts: OPTS });
    expect(t.sent()).toMatchObject([{ flags: '.', seq: 6, ack: 1 }]);
    expect(t.lastView(4)).toMatchObject({ state: TCP_ESTABLISHED, sndUna: 5 });
    expect(t.env.mib.get('TcpExtTCPFastOpenActive')).toBe(1);
  });

  test('a SYN-ACK of the SYN alone: the data goes again at once', () => {
    const t = withCookie();
    connect(t, 4, 'hello');
    t.sent();
    t.inject('S.', 0, 1, { opts: OPTS });
    expect(t.sent()).toMatchObject([{ flags: 'P.', seq: 1, len: 5, ack: 1 }]);
    expect(t.env.mib.get('TcpExtTCPFastOpenActiveFail')).toBe(1);
  });

  test('a lost SYN goes again plain, without option and data', () => {
    const t = withCookie();
    connect(t, 4, 'hello');
    t.sent();
    t.wait(1100);
    const [again] = t.sent();
    expect(again).toMatchObject({ flags: 'S', len: 0 });
    expect(again!.opts.fastOpen).toBeUndefined();
  });

  test('the cached MSS bounds what goes with the SYN', () => {
    const t = withCookie();
    connect(t, 4, 'x'.repeat(5000));
    expect(t.sent()[0]!.len).toBe(1400 - 40);
    expect(t.lastView(4).sndGot).toBe(1360);
  });

  test('a server that gave no cookie is asked in the experimental form next time', () => {
    const t = new Scripted();
    connect(t, 2, 'hello');
    t.inject('S.', 0, 1, { opts: OPTS });
    t.sent();
    connect(t, 4, 'hello');
    expect(t.sent().at(-1)!.opts).toMatchObject({ fastOpen: new Uint8Array(0), fastOpenExp: true });
  });
});
