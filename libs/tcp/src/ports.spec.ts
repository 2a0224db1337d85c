import { describe, expect, test } from '@jest/globals';
import { ERRNO, type SkOptions } from '@skbus/skb';
import { Scripted, THEM, US } from './testing/peer.ts';

let nextId = 0;

/** A fresh socket that binds; its id and the errno. */
function bind(t: Scripted, options: SkOptions, addr: number, port: number): { sk: number; errno: number } {
  const sk = (nextId += 2);
  t.cmd({ sk, opSeq: 1, options, bind: { addr, port } });
  return { sk, errno: t.events.findLast((e) => e.sk === sk)!.opErrno };
}

function listen(t: Scripted, sk: number): number {
  t.cmd({ sk, opSeq: 2, listen: { backlog: 8 } });
  return t.events.findLast((e) => e.sk === sk)!.opErrno;
}

const A = { reuseAddr: true };
const P = { reusePort: true };
const AP = { reuseAddr: true, reusePort: true };
const OK = 0;
const NO = ERRNO.EADDRINUSE;

describe('bind conflicts (inet_csk_bind_conflict)', () => {
  test.each([
    // first, listens, second: outcome
    [{}, false, {}, NO],
    [A, false, A, OK],
    [A, true, A, NO],
    [A, false, {}, NO],
    [{}, false, A, NO],
    [P, false, P, OK],
    [P, true, P, OK],
    [P, true, {}, NO],
    [A, false, P, NO],
    [AP, true, AP, OK],
    [AP, true, A, NO],
  ] as const)('%j listening %s, then %j', (first, listens, second, outcome) => {
    const t = new Scripted();
    const one = bind(t, first, US, 5000);
    expect(one.errno).toBe(OK);
    if (listens) expect(listen(t, one.sk)).toBe(OK);
    expect(bind(t, second, 0, 5000).errno).toBe(outcome);
  });

  test('two that were bound with SO_REUSEADDR: only the first may listen', () => {
    const t = new Scripted();
    const one = bind(t, A, 0, 5000);
    const two = bind(t, A, 0, 5000);
    expect(listen(t, one.sk)).toBe(OK);
    expect(listen(t, two.sk)).toBe(NO);
  });

  test('a port that is looked for is never shared, nor a reserved one', () => {
    const t = new Scripted({
      sysctl: {
        ipLocalPortRange: [40_000, 40_009],
        ipLocalReservedPorts: [
          [40_000, 40_001],
          [40_005, 40_005],
        ],
      },
    });
    const found = new Set<number>();
    for (let i = 0; i < 7; i++) {
      const { sk, errno } = bind(t, AP, 0, 0);
      expect(errno).toBe(OK);
      found.add(t.lastView(sk).lport);
    }
    expect([...found].toSorted((a, b) => a - b)).toEqual([40_002, 40_003, 40_004, 40_006, 40_007, 40_008, 40_009]);
    expect(bind(t, AP, 0, 0).errno).toBe(NO);
  });
});

describe('connect', () => {
  const connect = (t: Scripted, port: number, options: SkOptions = {}): { sk: number; errno: number } => {
    const sk = (nextId += 2);
    t.cmd({ sk, opSeq: 1, options, connect: { addr: THEM, port } });
    return { sk, errno: t.events.findLast((e) => e.sk === sk)!.opErrno };
  };

  test("ports of the lowest one's parity first; one port serves several destinations", () => {
    const t = new Scripted({ sysctl: { ipLocalPortRange: [40_000, 40_003] } });
    const ports = [1, 2, 3, 4].map(() => t.lastView(connect(t, 80).sk).lport);
    expect(ports.slice(0, 2).toSorted((a, b) => a - b)).toEqual([40_000, 40_002]);
    expect(ports.slice(2).toSorted((a, b) => a - b)).toEqual([40_001, 40_003]);
    expect(connect(t, 80).errno).toBe(ERRNO.EADDRNOTAVAIL);
    expect(connect(t, 81).errno).toBe(OK);
  });

  test('IP_BIND_ADDRESS_NO_PORT: bind() takes no port, connect() does', () => {
    const t = new Scripted();
    const { sk, errno } = bind(t, { bindNoPort: true }, US, 0);
    expect(errno).toBe(OK);
    expect(t.lastView(sk).lport).toBe(0);
    t.cmd({ sk, opSeq: 2, connect: { addr: THEM, port: 80 } });
    expect(t.lastView(sk)).toMatchObject({ laddr: US, lport: expect.any(Number) });
    expect(t.lastView(sk).lport).toBeGreaterThan(32_767);
  });
});

describe('SO_REUSEPORT', () => {
  test('the group shares connections by four-tuple; when one closes the rest goes on', () => {
    const t = new Scripted();
    t.ourPort = 80;
    const group = [1, 2, 3].map(() => bind(t, P, 0, 80).sk);
    for (const sk of group) expect(listen(t, sk)).toBe(OK);
    const count = (): Map<number, number> => {
      const by = new Map<number, number>();
      for (const sk of group) by.set(sk, t.tcp.tcpInfo(sk)?.synBacklog ?? 0);
      return by;
    };
    for (let i = 0; i < 24; i++) t.inject('S', 0, 0, { sport: 20_000 + i });
    expect([...count().values()].every((n) => n > 0)).toBe(true);
    t.cmd({ sk: group[0]!, opSeq: 3, close: { abort: false } });
    t.sent();
    for (let i = 0; i < 24; i++) t.inject('S', 0, 0, { sport: 30_000 + i });
    expect(t.sent().every((s) => s.flags === 'S.')).toBe(true);
  });
});

describe('secrets', () => {
  test('with the secret of an earlier stack, numbers and offsets go on from where that one was', () => {
    const secret = Uint8Array.from({ length: 16 }, (_, i) => i * 7);
    const syn = (seed: number, at: number): { isn: number; ts: number } => {
      const t = new Scripted({ seed });
      t.now = at;
      t.tcp.setSecret(secret);
      t.cmd({ sk: 2, opSeq: 1, bind: { addr: US, port: 5000 } });
      t.cmd({ sk: 2, opSeq: 2, connect: { addr: THEM, port: 80 } });
      return { isn: t.ourIsn, ts: t.sent()[0]!.opts.tsVal! };
    };
    const before = syn(1, 10_000);
    const after = syn(2, 14_000);
    expect((after.isn - before.isn) >>> 0).toBe(4000 * 250);
    expect((after.ts - before.ts) >>> 0).toBe(4000);
  });
});
