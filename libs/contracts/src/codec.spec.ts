import { expect, test } from '@jest/globals';
import { SkBuff, type SkCmd, type SkEvt } from '@skbus/skb';
import fc from 'fast-check';
import {
  decodeCmds,
  decodeDoorReply,
  decodeDoorRequest,
  decodeEvts,
  decodeSkbList,
  decodeWfree,
  encodeCmds,
  encodeDoorReply,
  encodeDoorRequest,
  encodeEvts,
  encodeSkbList,
  encodeWfree,
  pb,
} from './index.ts';

const u = (bits: number) => fc.oneof(fc.nat({ max: 2 ** bits - 1 }), fc.constantFrom(0, 1, 127, 128, 2 ** bits - 1));
const anyFlow = fc.record({
  saddr: u(32),
  daddr: u(32),
  proto: u(8),
  tos: u(8),
  ttl: u(8),
  df: fc.boolean(),
  oif: u(32),
  connected: fc.boolean(),
});
const anySkb = fc
  .record({
    head: fc.uint8Array({ minLength: 70, maxLength: 200 }),
    frags: fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 3 }),
    page: fc.constantFrom(0, 0, 0, 5_000),
    at: fc.nat({ max: 20 }),
    flow: fc.option(anyFlow, { nil: undefined }),
    gso: fc.record({ gsoSize: u(16), gsoSegs: u(16), gsoType: u(8) }),
    sk: fc.record({ sk: u(32), wmem: u(32) }),
    rest: fc.record({
      id: u(32),
      parent: u(32),
      protocol: u(16),
      ifindex: u(31),
      pktType: u(3),
      mark: u(32),
      priority: u(32),
      nextHop: u(32),
      rtMtu: u(16),
      confirm: fc.boolean(),
      tstampMs: fc.double({ min: 0, max: 1e15, noNaN: true }),
    }),
  })
  .map(({ head, frags, page, at, flow, gso, sk, rest }) => {
    const skb = new SkBuff(head, at + 34, head.length, page > 0 ? [...frags, new Uint8Array(page).fill(7)] : frags);
    Object.assign(skb, rest, { flow, macHeader: at, networkHeader: at + 14, transportHeader: at + 34 });
    Object.assign(skb, { ipSummed: 3, csumStart: at + 34, csumOffset: 6 });
    if (gso.gsoSize > 0) Object.assign(skb, gso);
    if (sk.sk > 0) Object.assign(skb, sk);
    return skb;
  });
/** A field that no message has: what it is added to has to be decoded by the generated code. */
const odd = (message: Uint8Array): Uint8Array => Buffer.concat([message, Uint8Array.of(0xf8, 0x7f, 1)]);

const FIELDS = [
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
] as const;

test('an skb comes out as it went in, from its first header on', () => {
  fc.assert(
    fc.property(fc.array(anySkb, { maxLength: 3 }), u(32), (skbs, n) => {
      const list = decodeSkbList(encodeSkbList(n, 2, 3, skbs))!;
      expect(list).toMatchObject({ publisher: n, seq: 2, sentBefore: 3, malformed: 0 });
      expect(list.skbs.length).toBe(skbs.length);
      skbs.forEach((skb, i) => {
        const got = list.skbs[i]!;
        const mac = skb.macHeader;
        expect(Buffer.compare(got.bytes(), skb.bytes())).toBe(0);
        expect(got.frags.length).toBe(skb.frags.length);
        expect(got.buf.subarray(got.macHeader, got.tail).slice()).toEqual(skb.buf.slice(mac, skb.tail));
        const places = [got.networkHeader, got.transportHeader, got.csumStart].map((at) => at - got.macHeader);
        expect(places).toEqual([14, 34, 34]);
        for (const k of FIELDS) expect([k, got[k]]).toEqual([k, skb[k]]);
      });
    }),
  );
});

test('lists of skbs are the bytes that the generated code writes, and both read the same', () => {
  fc.assert(
    fc.property(fc.array(anySkb, { maxLength: 3 }), u(32), (skbs, seq) => {
      const bytes = encodeSkbList(1, seq, 3, skbs);
      expect(Buffer.compare(bytes, pb.SkbList.encode(pb.SkbList.decode(bytes)).finish())).toBe(0);
      expect(decodeSkbList(odd(bytes))).toEqual(decodeSkbList(bytes));
    }),
    { numRuns: 60 },
  );
});

const offset = fc.oneof(fc.nat({ max: 2 ** 30 }), fc.constantFrom(0, 2 ** 40, Number.MAX_SAFE_INTEGER));
const bytes = fc.uint8Array({ maxLength: 200 });
const maybe = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: null });
const anyCmd: fc.Arbitrary<SkCmd> = fc.record({
  sk: u(32),
  opSeq: fc.constantFrom(0, 0, 0, 7),
  view: maybe(
    fc.record({
      sndTo: offset,
      rcvGot: offset,
      rcvRead: offset,
      finGot: fc.boolean(),
      haveChild: fc.boolean(),
      accepted: fc.boolean(),
      urgTo: offset,
      noSpace: fc.boolean(),
      rcvGapTo: offset,
      recordSeq: u(32),
    }),
  ),
  data: maybe(fc.record({ offset, data: bytes, more: fc.boolean(), eor: fc.boolean() })),
});
const anyEvt: fc.Arbitrary<SkEvt> = fc.record({
  sk: u(32),
  opAck: u(32),
  opErrno: u(8),
  unknown: fc.constantFrom(false, false, false, true),
  view: maybe(
    fc.record({
      ...{ state: u(4), laddr: u(32), lport: u(16), raddr: u(32), rport: u(16), err: u(8), softErr: u(8) },
      ...{ sndGot: offset, sndUna: offset, sndLimit: offset, rcvNxt: offset, urgAt: offset, sndNxt: offset },
      ...{ finRcvd: fc.boolean(), finAcked: fc.boolean() },
      ...{ sndbuf: u(31), urgByte: u(8), sndGoal: u(31), sndBurst: u(16) },
    }),
  ),
  data: maybe(fc.record({ offset, data: bytes })),
});
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

test('commands and events are the bytes that the generated code writes, and both read the same', () => {
  fc.assert(
    fc.property(fc.array(anyCmd, { maxLength: 4 }), fc.array(anyEvt, { maxLength: 4 }), u(32), (cmds, evts, n) => {
      const c = encodeCmds(n, cmds);
      expect(same(c, pb.SkCmdList.encode({ publisher: n, cmds } as never).finish())).toBe(true);
      for (const list of [decodeCmds(c)!, decodeCmds(odd(c))!]) {
        expect(list.cmds.length).toBe(cmds.length);
        expect(same(encodeCmds(list.publisher, list.cmds), c)).toBe(true);
      }
      const e = encodeEvts(n, evts, n);
      expect(same(e, pb.SkEvtList.encode({ publisher: n, evts, to: n } as never).finish())).toBe(true);
      for (const list of [decodeEvts(e)!, decodeEvts(odd(e))!]) {
        expect(list.evts.length).toBe(evts.length);
        expect(same(encodeEvts(list.publisher, list.evts, list.to), e)).toBe(true);
      }
    }),
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

test('what the generated code refuses is refused, whatever was read of it before', () => {
  const skb = new SkBuff(new Uint8Array(40), 0, 40, []);
  skb.flow = { saddr: 1, daddr: 2, proto: 6, tos: 0, ttl: 64, df: true, oif: 0, connected: true };
  const cmd: SkCmd = { sk: 2, opSeq: 0, data: { offset: 0, data: Uint8Array.of(1, 2, 3) } };
  const evt: SkEvt = { sk: 2, opAck: 1, opErrno: 0, data: { offset: 0, data: Uint8Array.of(1, 2, 3) } };
  const kinds = [
    { valid: encodeSkbList(1, 2, 3, [skb]), ours: decodeSkbList, generated: pb.SkbList },
    { valid: encodeCmds(1, [cmd]), ours: decodeCmds, generated: pb.SkCmdList },
    { valid: encodeEvts(1, [evt]), ours: decodeEvts, generated: pb.SkEvtList },
  ];
  for (const { valid, ours, generated } of kinds) {
    const refused = (m: Uint8Array): boolean => {
      try {
        generated.decode(m);
        return false;
      } catch {
        return true;
      }
    };
    const bent = [Uint8Array.of(...valid, 0), valid.subarray(0, -1)];
    for (let at = 0; at < valid.length; at++) for (const v of [0, 1, 0x7f, 0xff]) bent.push(valid.with(at, v));
    const wrong = bent.filter(refused);
    expect(wrong.length).toBeGreaterThan(20);
    expect(wrong.filter((m) => ours(m) !== undefined)).toEqual([]);
  }
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

const s32 = fc.oneof(fc.integer(), fc.constantFrom(0, 1, -1, 4, 65_536));
const anyAddr = fc.record({ family: u(8), addr: u(32), port: u(16) });

test('the door’s messages are the bytes that the generated code writes, and both read the same', () => {
  const call = fc.oneof(
    fc.record({ recvfrom: fc.record({ fd: s32, len: s32, flags: s32 }), later: fc.boolean() }),
    fc.record({ sendto: fc.record({ fd: s32, flags: s32, to: maybe(anyAddr) }), later: fc.boolean() }),
    fc.record({ close: fc.record({ fd: s32 }), later: fc.boolean() }),
    fc.constant({}),
  );
  const reply = fc.record({
    ...{ id: u(32), errno: u(8), result: s32, msgFlags: u(8), sk: u(32), rcvTo: offset },
    addr: maybe(anyAddr),
    revents: fc.constantFrom<number[]>([], [], [], [1, 4]),
    inq: fc.constantFrom(null, null, 0, 5),
  });
  fc.assert(
    fc.property(call, reply, u(32), u(32), (c, r, id, seen) => {
      const asked = encodeDoorRequest(c, id, seen);
      expect(same(asked, pb.DoorRequest.encode({ ...c, id, seen }).finish())).toBe(true);
      for (const m of [decodeDoorRequest(asked), decodeDoorRequest(odd(asked))])
        expect(same(encodeDoorRequest(m, m.id ?? 0, m.seen ?? 0), asked)).toBe(true);
      const answer = encodeDoorReply(r);
      expect(same(answer, pb.DoorReply.encode(r).finish())).toBe(true);
      for (const m of [decodeDoorReply(answer), decodeDoorReply(odd(answer))]) {
        expect(same(encodeDoorReply(m), answer)).toBe(true);
        expect([m.id, m.errno, m.result, m.sk, m.rcvTo]).toEqual([r.id, r.errno, r.result, r.sk, r.rcvTo]);
      }
    }),
  );
});
