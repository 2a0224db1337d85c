import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { MemoryBus, MemoryHub } from '@skbus/bus';
import { decodeEvts, decodeSkbList, encodeCmds, encodeSkbList, pb, subjects } from '@skbus/contracts';
import { readConfig, startLayer, type RunningLayer } from '@skbus/nest-kit';
import { ERRNO, type HandOver, SkBuff, type SkCmd, type SkEvt } from '@skbus/skb';
import { emitIpv4Header, emitUdp, parseUdp } from '@skbus/wire';
import { definition } from './index.ts';

const NS = 't';
const ME = 0x0a4d0002;
const PEER = 0x0a4d0001;

let hub: MemoryHub;
let other: MemoryBus;
let running: RunningLayer;
/** Event lists and skbs in the order in which they came out. */
let lists: { publisher: number; evts: SkEvt[] }[];
let out: { to: HandOver; skb: SkBuff }[];
let routeQueries: number;
/** What IP answers to register. */
let registerErrno: number;

beforeEach(async () => {
  // On a busy machine a pause must not look like time in which a timer of the protocol ran out.
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] });
  hub = new MemoryHub();
  other = hub.bus();
  lists = [];
  out = [];
  routeQueries = 0;
  registerErrno = 0;
  other.subscribe(subjects.skEvt(NS, 'udp'), (d) => lists.push(decodeEvts(d)!));
  for (const to of ['ip_send_skb', 'icmp_send'] as const) {
    other.subscribe(subjects.skb(NS, to), (d) => out.push(...decodeSkbList(d)!.skbs.map((skb) => ({ to, skb }))));
  }
  other.respond(subjects.ctl(NS, 'ip', 'route_query'), (d) => {
    routeQueries++;
    const { id, daddr } = pb.RouteQuery.decode(d);
    return pb.RouteReply.encode({ id, daddr, saddr: ME, oif: 2, mtu: 1500, type: daddr === ME ? 2 : 1 }).finish();
  });
  other.respond(subjects.ctl(NS, 'ip', 'register'), (d) => {
    const r = pb.RegisterRequest.decode(d);
    const wanted = r.key === 17 && r.handler === 'udp_rcv' && r.errHandler === 'udp_err';
    return pb.RegisterReply.encode({ errno: wanted ? registerErrno : 22, message: 'IP says no' }).finish();
  });
  running = await startLayer(definition, hub.bus(), readConfig({ SKBUS_NETNS: NS, SKBUS_LOG_LEVEL: 'silent' }));
});

afterEach(async () => {
  await running.close();
  await other.close();
  jest.useRealTimers();
});

/** Until nothing is queued on the bus any more. */
async function settle(): Promise<void> {
  for (let i = 0; i < 30; i++) await new Promise((r) => setImmediate(r));
}

async function command(...cmds: SkCmd[]): Promise<SkEvt[]> {
  return commandFrom(1, ...cmds);
}

async function commandFrom(publisher: number, ...cmds: SkCmd[]): Promise<SkEvt[]> {
  const before = lists.length;
  other.publish(subjects.skCmd(NS, 'udp'), encodeCmds(publisher, cmds));
  await settle();
  return lists.slice(before).flatMap((l) => l.evts);
}

async function call(verb: string, request: Uint8Array): Promise<Uint8Array> {
  return other.request(subjects.ctl(NS, 'udp', verb), request, 1000);
}

async function initcall(name: string): Promise<{ errno: number; message: string; printk: string[] }> {
  return pb.InitcallReply.decode(await call('initcall', pb.InitcallRequest.encode({ name, level: 'fs' }).finish()));
}

function datagram(dport: number, data: string): SkBuff {
  const skb = SkBuff.alloc(0, 64);
  skb.id = 7;
  skb.networkHeader = skb.put(20);
  const len = 8 + data.length;
  emitIpv4Header(
    {
      hlen: 20,
      tos: 0,
      totalLen: 20 + len,
      id: 1,
      df: true,
      mf: false,
      fragOffset: 0,
      ttl: 64,
      proto: 17,
      saddr: PEER,
      daddr: ME,
    },
    skb.buf,
    0,
  );
  const at = skb.put(len);
  emitUdp({ sport: 4000, dport, len, checksum: 0 }, skb.buf, at);
  skb.buf.set(new TextEncoder().encode(data), at + 8);
  skb.data = at;
  return skb;
}

test('its initcalls', async () => {
  expect(running.kit.ready).toBe(false);
  expect(await initcall('proto_register(&udp_prot)')).toMatchObject({ errno: 0 });
  expect(await initcall('inet_add_protocol(&udp_protocol)')).toMatchObject({ errno: 0 });
  expect(await initcall('udp_init')).toMatchObject({ errno: 0, printk: [expect.stringContaining('32768-60999')] });
  expect(running.kit.ready).toBe(true);
  await settle();
  expect(lists).toEqual([{ publisher: running.kit.epoch, evts: [], to: 0 }]);
  registerErrno = ERRNO.EEXIST;
  expect(await initcall('inet_add_protocol(&udp_protocol)')).toMatchObject({
    errno: ERRNO.EEXIST,
    message: 'IP says no',
  });
});

test('bind, receive, answer; one list of events per batch', async () => {
  const bound = await command({ sk: 2, opSeq: 1, bind: { addr: ME, port: 7 } });
  expect(bound).toEqual([
    expect.objectContaining({ sk: 2, opAck: 1, opErrno: 0, view: expect.objectContaining({ lport: 7 }) }),
  ]);
  expect(routeQueries).toBe(1);

  lists.length = 0;
  other.publish(
    subjects.skb(NS, 'udp_rcv'),
    encodeSkbList(9, 0, 0, [datagram(7, 'one'), datagram(7, 'two'), datagram(9, 'three')]),
  );
  await settle();
  expect(lists.length).toBe(1);
  expect(lists[0]!.evts.map((e) => new TextDecoder().decode(e.dgram!.data))).toEqual(['one', 'two']);
  expect(out.map((o) => o.to)).toEqual(['icmp_send']);

  await command({ sk: 2, opSeq: 0, sendto: { addr: PEER, port: 4000, data: new TextEncoder().encode('pong') } });
  const { to, skb } = out[1]!;
  expect(to).toBe('ip_send_skb');
  expect(skb.flow).toMatchObject({ saddr: ME, daddr: PEER, proto: 17, df: true });
  expect(parseUdp(skb.buf, skb.data, skb.tail)).toMatchObject({ sport: 7, dport: 4000, len: 12 });
  expect(running.kit.env.ledger.imbalance).toBe(0);
});

test('ICMP errors come by udp_err', async () => {
  const [evt] = await command({ sk: 2, opSeq: 1, connect: { addr: PEER, port: 7 } });
  const skb = datagram(0, '');
  emitIpv4Header(
    {
      hlen: 20,
      tos: 0,
      totalLen: 28,
      id: 1,
      df: true,
      mf: false,
      fragOffset: 0,
      ttl: 64,
      proto: 17,
      saddr: ME,
      daddr: PEER,
    },
    skb.buf,
    0,
  );
  emitUdp({ sport: evt!.view!.lport, dport: 7, len: 8, checksum: 0 }, skb.buf, 20);
  skb.data = 0;
  skb.mark = (3 << 8) | 3;
  other.publish(subjects.skb(NS, 'udp_err'), encodeSkbList(9, 0, 0, [skb]));
  await settle();
  expect(lists.at(-1)!.evts[0]!.view!.err).toBe(ERRNO.ECONNREFUSED);
});

test('routes are asked for again when IP says that they changed', async () => {
  const send: SkCmd = { sk: 2, opSeq: 0, sendto: { addr: PEER, port: 7, data: new Uint8Array(1) } };
  await command({ sk: 2, opSeq: 1, bind: { addr: 0, port: 53 } }, send, send);
  await command(send);
  expect(routeQueries).toBe(1);
  other.publish(subjects.all(NS, 'rt_cache_flush'), new Uint8Array(0));
  await settle();
  await command(send);
  expect(routeQueries).toBe(2);
  expect(out.length).toBe(4);
});

test('sock_diag', async () => {
  await command({ sk: 2, opSeq: 1, bind: { addr: 0, port: 53 } }, { sk: 4, opSeq: 1, bind: { addr: 0, port: 54 } });
  const diag = async (sk: number): Promise<unknown[]> =>
    JSON.parse(
      pb.SockDiagReply.decode(await call('sock_diag', pb.SockDiagRequest.encode({ sk }).finish())).json,
    ) as unknown[];
  expect(await diag(0)).toHaveLength(2);
  expect(await diag(4)).toEqual([expect.objectContaining({ sk: 4, lport: 54, laddr: 0 })]);
});

test('another socket layer: the sockets of the one before are closed, and it is not heard any more', async () => {
  await command({ sk: 2, opSeq: 1, bind: { addr: 0, port: 53 } });
  const [evt] = await commandFrom(2, { sk: 100, opSeq: 1, bind: { addr: 0, port: 53 } });
  expect(evt).toMatchObject({ sk: 100, opErrno: 0 });
  expect(await command({ sk: 2, opSeq: 2, close: { abort: true } })).toEqual([]);
  expect(await commandFrom(2, { sk: 2, opSeq: 2, close: { abort: true } })).toEqual([
    expect.objectContaining({ unknown: true }),
  ]);
});

test('bytes that are no message are counted and hurt nobody', async () => {
  for (let i = 0; i < 200; i++) {
    const junk = Uint8Array.from({ length: i }, (_, k) => (i * 131 + k * 17) & 0xff);
    other.publish(subjects.skCmd(NS, 'udp'), junk);
    other.publish(subjects.skb(NS, 'udp_rcv'), junk);
    other.publish(subjects.skb(NS, 'udp_err'), junk);
  }
  await settle();
  const stats = pb.StatsReply.decode(await call('stats', new Uint8Array(0)));
  expect(stats.extra!['malformedCommandLists']).toBeGreaterThan(0);
  expect(stats.dropped!['BUS_MALFORMED']).toBeGreaterThan(0);
  expect(running.kit.env.ledger.imbalance).toBe(0);
  expect((await command({ sk: 2, opSeq: 1, bind: { addr: 0, port: 53 } }))[0]).toMatchObject({ opErrno: 0 });
});
