import { expect, test } from '@jest/globals';
import type { TcpPacket } from '../lang/ast.ts';
import type { LivePacket } from '../wire/live.ts';
import { Conn } from './conn.ts';
import { EarlyAcks } from './early-ack.ts';

const script = (over: Partial<TcpPacket>): TcpPacket => ({
  proto: 'tcp',
  ip: {},
  ports: undefined,
  flags: { bits: 0x10, ace: undefined },
  seq: 1,
  len: 0,
  ack: 1,
  window: undefined,
  urgent: undefined,
  ipId: undefined,
  options: [],
  ...over,
});

const wire = (ack: number, over: object = {}): LivePacket => ({
  proto: 'tcp',
  ip: { saddr: 1, daddr: 2, tos: 0, ttl: 64, id: 0, df: true },
  sport: 80,
  dport: 4000,
  seq: 7001,
  ack,
  flags: 0x10,
  window: 500,
  urgent: 0,
  options: [],
  payload: new Uint8Array(0),
  ...over,
});

const ISN = 0xffff_ffa0;
const blocks: [number, number][] = [[200, 300]];

test.each([
  [
    'an ACK of new data before the one with SACK blocks',
    script({ ack: 100, options: [{ kind: 'sack', blocks }] }),
    {},
    75_000,
    true,
  ],
  ['an ACK before one that covers more', script({ ack: 200 }), {}, 75_000, true],
  ['data that carries the ACK', script({ ack: 100, len: 10 }), {}, 75_000, true],
  ['the very ACK that is expected', script({ ack: 100 }), {}, 75_000, false],
  ['a script that means it to the millisecond', script({ ack: 200 }), {}, 4000, false],
  ['more than the script expects', script({ ack: 50 }), {}, 75_000, false],
  ['data', script({ ack: 200 }), { payload: new Uint8Array(1) }, 75_000, false],
  ['a FIN', script({ ack: 200 }), { flags: 0x11 }, 75_000, false],
  ['a duplicate ACK', script({ ack: 200 }), { ack: (ISN + 1) >>> 0 }, 75_000, false],
])('%s', (_what, expected, over, toleranceUs, passed) => {
  const early = new EarlyAcks(toleranceUs);
  const conn = new Conn(80, 4000);
  early.note(conn, wire((ISN + 1) >>> 0));
  const live = wire((ISN + 100) >>> 0, over);
  const actual = script({ ack: (live as { ack: number }).ack === (ISN + 1) >>> 0 ? 1 : 100 });
  expect(early.is(expected, actual, conn, live)).toBe(passed);
});
