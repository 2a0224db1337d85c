import { expect, test } from '@jest/globals';
import { SkBuff, type SkCmd, type SkEvt } from '@skbus/skb';
import fc from 'fast-check';
import {
  decodeCmds,
  decodeEvts,
  decodeSkbList,
  decodeWfree,
  encodeCmds,
  encodeEvts,
  encodeSkbList,
  encodeWfree,
  pb,
} from './index.ts';

test('an skb comes out as it went in, from its first header on', () => {
  const u = (bits: number) => fc.nat({ max: 2 ** bits - 1 });
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 70, maxLength: 200 }),
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 3 }),
      u(32),
      u(16),
      u(8),
      fc.nat({ max: 20 }),
      fc.boolean(),
      (head, frags, id, gso, small, at, withFlow) => {
        const skb = new SkBuff(head, at + 34, head.length, frags);
        Object.assign(skb, {
          id,
          parent: (id ^ 5) >>> 0,
          protocol: 0x800,
          ifindex: small,
          pktType: small & 3,
          mark: id,
          priority: small,
        });
        Object.assign(skb, {
          macHeader: at,
          networkHeader: at + 14,
          transportHeader: at + 34,
          tstampMs: id / 8,
          rtMtu: gso,
          confirm: withFlow,
        });
        Object.assign(skb, {
          ipSummed: 3,
          csumStart: at + 34,
          csumOffset: 6,
          gsoSize: gso,
          gsoSegs: gso ? 3 : 0,
          gsoType: gso ? 1 : 0,
          nextHop: id,
          sk: small > 0 ? id : 0,
          wmem: small > 0 ? (id ^ 7) >>> 0 : 0,
        });
        if (withFlow)
          skb.flow = {
            saddr: id,
            daddr: (id ^ 1) >>> 0,
            proto: 6,
            tos: small,
            ttl: small,
            df: true,
            oif: small,
            connected: small > 0,
          };
        const list = decodeSkbList(encodeSkbList(1, 2, 3, [skb]))!;
        expect(list).toMatchObject({ publisher: 1, seq: 2, sentBefore: 3, malformed: 0 });
        const got = list.skbs[0]!;
        expect(got.bytes()).toEqual(skb.bytes());
        expect(got.frags.length).toBe(frags.length);
        expect(got.buf.subarray(got.macHeader, got.tail).slice()).toEqual(head.slice(at));
        expect([
          got.networkHeader - got.macHeader,
          got.transportHeader - got.macHeader,
          got.csumStart - got.macHeader,
        ]).toEqual([14, 34, 34]);
        for (const k of [
          'id',
          'parent',
          'protocol',
          'ifindex',
          'pktType',
          'mark',
          'priority',
          'ipSummed',
          'csumOffset',
          'gsoSize',
          'gsoSegs',
          'gsoType',
          'tstampMs',
          'nextHop',
          'rtMtu',
          'confirm',
          'sk',
          'wmem',
          'flow',
        ] as const) {
          expect([k, got[k]]).toEqual([k, skb[k]]);
        }
      },
    ),
  );
});

test('what has left: pairs, or nothing at all', () => {
  const freed = new Map([
    [2, 0],
    [0xffff_ffff, 0xffff_fffe],
  ]);
  expect(decodeWfree(encodeWfree(freed))).toEqual({ sk: [...freed.keys()], wmem: [...freed.values()] });
  const [one, two] = [new Map([[2, 1]]), new Map([[3, 1]])].map(encodeWfree);
  // both at once make two pairs; half a pair is not one
  expect(decodeWfree(Uint8Array.of(...one!, ...two!))!.sk).toEqual([2, 3]);
  expect(decodeWfree(Uint8Array.of(...one!, 8, 3))).toBeUndefined();
  expect(decodeWfree(Uint8Array.of(255, 255))).toBeUndefined();
});

test('commands and events round trip with their levels', () => {
  const cmd: SkCmd = {
    sk: 2,
    opSeq: 3,
    options: { nodelay: true, keepIdleMs: 1500.5, congestion: 'reno' },
    connect: { addr: 0x0a4d0001, port: 80 },
    view: { sndTo: 2 ** 40, rcvGot: 1, rcvRead: 0, finGot: true, haveChild: false, accepted: false },
    data: { offset: 2 ** 40, data: Uint8Array.of(1, 2) },
  };
  const got = decodeCmds(encodeCmds(9, [cmd]))!;
  expect(got.publisher).toBe(9);
  expect(got.cmds[0]).toMatchObject({ ...cmd, data: { offset: 2 ** 40 } });
  expect([...got.cmds[0]!.data!.data]).toEqual([1, 2]);
  const evt: SkEvt = {
    sk: 5,
    opAck: 1,
    opErrno: 111,
    child: { listener: 4 },
    view: {
      state: 1,
      laddr: 1,
      lport: 2,
      raddr: 3,
      rport: 4,
      sndGot: 5,
      sndUna: 6,
      sndLimit: 7,
      rcvNxt: 8,
      finRcvd: true,
      finAcked: false,
      err: 104,
      softErr: 0,
    },
  };
  expect(decodeEvts(encodeEvts(9, [evt]))!.evts[0]).toMatchObject(evt);
});

test('a socket that is given back to a new transport round trips', () => {
  const record = Uint8Array.of(1, 2, 3);
  const restore = {
    to: 77,
    opSeq: 3,
    record,
    state: 1,
    sndUna: 5,
    sndMax: 2 ** 33,
    sndbuf: 9,
    shutdown: 2,
    closed: true,
  };
  const list = decodeCmds(encodeCmds(1, [{ sk: 4, opSeq: 0, restore: { ...restore, finAcked: false, ageMs: 1.5 } }]));
  expect(list?.cmds[0]?.restore).toMatchObject({ ...restore, ageMs: 1.5 });
  expect(decodeCmds(encodeCmds(1, [{ sk: 4, opSeq: 0, restore: { ...restore, finAcked: false, sndUna: -1 } }]))).toBe(
    undefined,
  );
  const evt: SkEvt = { sk: 5, opAck: 0, opErrno: 0, record: { seq: 1, data: record, keepMs: 60_000, listener: 4 } };
  expect(decodeEvts(encodeEvts(1, [evt]))?.evts[0]?.record).toMatchObject(evt.record!);
});

test('an option that was not set is absent, not null', () => {
  const got = decodeCmds(encodeCmds(1, [{ sk: 2, opSeq: 1, options: { nodelay: false } }]))!.cmds[0]!.options!;
  expect([got.sndbuf, got.nodelay, 'rcvbuf' in got]).toEqual([undefined, false, false]);
});

test.each([
  [{ ttl: 0 }, false],
  [{ ttl: 64, tos: 0, keepIdleMs: 0, linger2Ms: -1, maxSeg: 0 }, true],
  [{ ttl: 256 }, false],
  [{ keepIntvlMs: 0.5 }, false],
  [{ keepIntvlMs: 1_000 }, true],
  [{ keepIdleMs: -1 }, false],
  [{ userTimeoutMs: 1e300 }, false],
  [{ maxSeg: 1 }, false],
  [{ rcvbuf: 0xffff_ffff }, false],
])('options %p that setsockopt() would not let through are refused here, too: %p', (options, right) => {
  expect(decodeCmds(encodeCmds(1, [{ sk: 2, opSeq: 1, options }])) !== undefined).toBe(right);
});

test.each([NaN, -1, Infinity, 0.5, 2 ** 60])('an offset of %p is refused', (offset) => {
  expect(decodeCmds(encodeCmds(1, [{ sk: 2, opSeq: 0, data: { offset, data: new Uint8Array(1) } }]))).toBeUndefined();
  expect(
    decodeEvts(encodeEvts(1, [{ sk: 2, opAck: 0, opErrno: 0, data: { offset, data: new Uint8Array(1) } }])),
  ).toBeUndefined();
});

test('header offsets beyond the head make the skb malformed, not the list', () => {
  const good = { id: 1, head: new Uint8Array(20), data: 14 };
  const bad = [
    { id: 2, head: new Uint8Array(4), data: 5 },
    { id: 3, head: new Uint8Array(4), networkHeader: 6 },
    { id: 4, head: new Uint8Array(4), ipSummed: 3, csumStart: 3 },
  ];
  const list = decodeSkbList(pb.SkbList.encode({ skbs: [good, ...bad] }).finish())!;
  expect(list.skbs.map((s) => s.id)).toEqual([1]);
  expect(list.malformed).toBe(3);
});

test('what is decoded is no Buffer: slice() copies', () => {
  const skb = new SkBuff(new Uint8Array(20), 0, 20, [new Uint8Array(9)]);
  const got = decodeSkbList(Buffer.from(encodeSkbList(1, 1, 1, [skb])))!.skbs[0]!;
  const cmd = decodeCmds(
    Buffer.from(encodeCmds(1, [{ sk: 2, opSeq: 0, data: { offset: 0, data: new Uint8Array(3) } }])),
  )!.cmds[0]!;
  for (const b of [got.buf, got.frags[0]!, cmd.data!.data]) expect(b.constructor).toBe(Uint8Array);
});

test('random bytes, and messages with bytes flipped, never throw', () => {
  const skb = new SkBuff(new Uint8Array(80), 34, 80, [new Uint8Array(100)]);
  const valid = encodeSkbList(1, 2, 3, [skb, skb]);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (b) => void [decodeSkbList(b), decodeCmds(b), decodeEvts(b)]),
    { numRuns: 1000 },
  );
  fc.assert(
    fc.property(fc.nat({ max: valid.length - 1 }), fc.nat({ max: 255 }), (at, v) => {
      const b = valid.slice();
      b[at] = v;
      for (const s of decodeSkbList(b)?.skbs ?? []) void s.bytes();
    }),
    { numRuns: 1000 },
  );
});
