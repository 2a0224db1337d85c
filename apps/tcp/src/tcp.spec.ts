import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { MemoryBus, MemoryHub } from '@skbus/bus';
import {
  buckets,
  decodeEvts,
  decodeSkbList,
  encodeCmds,
  encodeSkbList,
  encodeWfree,
  pb,
  subjects,
} from '@skbus/contracts';
import { readConfig, startLayer, type RunningLayer } from '@skbus/nest-kit';
import { ERRNO, SkBuff, TCP_ESTABLISHED, TCP_SYN_SENT, type SkCmd, type SkEvt, type SkView } from '@skbus/skb';
import { emitIpv4Header, emitTcp, parseTcp, TCP_ACK, TCP_PSH, TCP_SYN, type TcpRepr } from '@skbus/wire';
import { definition } from './index.ts';

const NS = 't';
const ME = 0x0a4d0002;
const PEER = 0x0a4d0001;

let hub: MemoryHub;
let other: MemoryBus;
let running: RunningLayer;
/** Event lists and segments in the order in which they came out. */
let lists: { publisher: number; evts: SkEvt[] }[];
let out: SkBuff[];

beforeEach(async () => {
  // On a busy machine a pause must not look like time in which a timer of the protocol ran out.
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] });
  hub = new MemoryHub();
  other = hub.bus();
  lists = [];
  out = [];
  other.subscribe(subjects.skEvt(NS, 'tcp'), (d) => lists.push(decodeEvts(d)!));
  other.subscribe(subjects.skb(NS, 'ip_queue_xmit'), (d) => out.push(...decodeSkbList(d)!.skbs));
  other.respond(subjects.ctl(NS, 'ip', 'route_query'), (d) => {
    const { id, daddr } = pb.RouteQuery.decode(d);
    return pb.RouteReply.encode({ id, daddr, saddr: ME, oif: 2, mtu: 1500, type: daddr === ME ? 2 : 1 }).finish();
  });
  other.respond(subjects.ctl(NS, 'ip', 'register'), (d) => {
    const r = pb.RegisterRequest.decode(d);
    const wanted = r.key === 6 && r.handler === 'tcp_v4_rcv' && r.errHandler === 'tcp_v4_err';
    return pb.RegisterReply.encode({ errno: wanted ? 0 : 22 }).finish();
  });
  running = await start();
  // the socket layer that it asks has nothing to give back
  await initcall('tcp_init');
  await settle();
  const { hello } = lists.flatMap((l) => l.evts)[0]!;
  await command({ sk: 0, opSeq: 0, restoreEnd: hello! });
  lists = [];
});

afterEach(async () => {
  await running.close();
  await other.close();
  jest.useRealTimers();
});

const start = (): Promise<RunningLayer> =>
  startLayer(definition, hub.bus(), readConfig({ SKBUS_NETNS: NS, SKBUS_LOG_LEVEL: 'silent' }));

/** Until nothing is queued on the bus any more. */
async function settle(): Promise<void> {
  for (let i = 0; i < 30; i++) await new Promise((r) => setImmediate(r));
}

async function command(...cmds: SkCmd[]): Promise<SkEvt[]> {
  return commandFrom(1, ...cmds);
}

async function commandFrom(publisher: number, ...cmds: SkCmd[]): Promise<SkEvt[]> {
  const before = lists.length;
  other.publish(subjects.skCmd(NS, 'tcp'), encodeCmds(publisher, cmds));
  await settle();
  return lists.slice(before).flatMap((l) => l.evts);
}

async function call(verb: string, request: Uint8Array): Promise<Uint8Array> {
  return other.request(subjects.ctl(NS, 'tcp', verb), request, 1000);
}

async function initcall(name: string): Promise<{ errno: number; message: string; printk: string[] }> {
  return pb.InitcallReply.decode(await call('initcall', pb.InitcallRequest.encode({ name, level: 'fs' }).finish()));
}

function segment(to: TcpRepr, flags: number, seq: number, data = ''): SkBuff {
  const skb = SkBuff.alloc(0, 40 + data.length);
  skb.id = 7;
  skb.networkHeader = skb.put(40 + data.length);
  const ip = { hlen: 20, tos: 0, id: 1, df: true, mf: false, fragOffset: 0, ttl: 64, proto: 6, saddr: PEER, daddr: ME };
  emitIpv4Header({ ...ip, totalLen: 40 + data.length }, skb.buf, 0);
  const { sport, dport } = to;
  const ports = { sport: dport, dport: sport };
  emitTcp({ ...ports, seq, ack: (to.seq + 1) >>> 0, hlen: 20, flags, window: 8000, urgent: 0 }, skb.buf, 20);
  skb.buf.set(new TextEncoder().encode(data), 40);
  skb.data = 20;
  skb.ipSummed = 1;
  return skb;
}

async function receive(...skbs: SkBuff[]): Promise<SkEvt[]> {
  const before = lists.length;
  other.publish(subjects.skb(NS, 'tcp_v4_rcv'), encodeSkbList(9, 0, 0, skbs));
  await settle();
  return lists.slice(before).flatMap((l) => l.evts);
}

const header = (skb: SkBuff): TcpRepr => parseTcp(skb.buf, skb.data, skb.tail)!;
const view = (got: number): SkView => ({
  sndTo: 0,
  rcvGot: got,
  rcvRead: got,
  finGot: false,
  haveChild: true,
  accepted: true,
});

test('its initcalls', async () => {
  for (const name of ['proto_register(&tcp_prot)', 'inet_add_protocol(&tcp_protocol)', 'tcp_congestion_default'])
    expect(await initcall(name)).toMatchObject({ errno: 0 });
  expect(await initcall('tcp_init')).toMatchObject({
    errno: 0,
    printk: expect.arrayContaining(['TCP: reno registered']),
  });
  expect(running.kit.ready).toBe(true);
  await settle();
  expect(lists).toEqual([{ publisher: running.kit.epoch, evts: [], to: 0 }]);
});

test('connect, data both ways, one list of events per batch', async () => {
  const begun = await command({ sk: 2, opSeq: 1, connect: { addr: PEER, port: 7 } });
  expect(begun).toEqual([
    expect.objectContaining({ sk: 2, opAck: 1, opErrno: 0, view: expect.objectContaining({ state: TCP_SYN_SENT }) }),
  ]);
  const syn = header(out[0]!);
  expect(syn.flags).toBe(TCP_SYN);
  const up = await receive(segment(syn, TCP_SYN | TCP_ACK, 100));
  expect(up.at(-1)!.view).toMatchObject({ state: TCP_ESTABLISHED, raddr: PEER, rport: 7 });

  const before = lists.length;
  const evts = await receive(segment(syn, TCP_ACK, 101, 'he'), segment(syn, TCP_ACK | TCP_PSH, 103, 'llo'));
  expect(lists.length).toBe(before + 1);
  expect(evts.map((e) => new TextDecoder().decode(e.data?.data)).join('')).toBe('hello');
  await command({ sk: 2, opSeq: 0, view: view(5) });
  expect(header(out.at(-1)!)).toMatchObject({ flags: TCP_ACK, ack: 106 });

  await command({ sk: 2, opSeq: 0, view: view(5), data: { offset: 0, data: new TextEncoder().encode('world') } });
  const sent = out.at(-1)!;
  expect(header(sent)).toMatchObject({ flags: TCP_ACK | TCP_PSH, seq: (syn.seq + 1) >>> 0 });
  expect(new TextDecoder().decode(sent.bytes().subarray(20))).toBe('world');
  expect(sent.flow).toMatchObject({ saddr: ME, daddr: PEER, proto: 6, df: true });
  expect(running.kit.env.ledger.imbalance).toBe(0);
});

test('a small write waits for the one before until it has left, or was dropped on its way', async () => {
  await command({ sk: 2, opSeq: 1, options: { nodelay: true }, connect: { addr: PEER, port: 7 } });
  const syn = header(out[0]!);
  await receive(segment(syn, TCP_SYN | TCP_ACK, 100));
  const sent = (): number => out.filter((skb) => skb.len > header(skb).hlen).length;
  let written = 0;
  const write = async (text: string): Promise<number> => {
    const data = { offset: written, data: new TextEncoder().encode(text) };
    written += text.length;
    await command({ sk: 2, opSeq: 0, view: view(0), data });
    return sent();
  };
  expect(await write('a')).toBe(1);
  expect(await write('b')).toBe(2);
  expect(await write('c')).toBe(2);
  const asked = out.at(-1)!;
  other.publish(subjects.tcpWfree(NS), encodeWfree(new Map([[asked.sk, asked.wmem]])));
  await settle();
  expect(sent()).toBe(3);
  const kv = await other.kv(buckets.fault(NS));
  const text = "at tcp tx match 'tcp.len > 0' drop first 1";
  await kv.put('rule.r', pb.FaultRule.encode({ id: 'r', text, order: 1, setAtUnixMs: Date.now() }).finish());
  await settle();
  // the driver's answer for `c` is not there yet
  expect(await write('d')).toBe(3);
  other.publish(subjects.tcpWfree(NS), encodeWfree(new Map([[2, out.at(-1)!.wmem]])));
  await settle();
  expect(await write('e')).toBe(4);
});

test('sock_diag and sysctl; a sysctl outlives the service', async () => {
  await command({ sk: 2, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 5 } });
  const diag = pb.SockDiagReply.decode(await call('sock_diag', pb.SockDiagRequest.encode({ sk: 0 }).finish())).json;
  expect(JSON.parse(diag)).toEqual([expect.objectContaining({ sk: 2, lport: 80, maxAckBacklog: 5 })]);

  const sysctl = async (name: string, value = ''): Promise<Record<string, unknown>> => {
    const { errno, message, values, foreign } = pb.SysctlReply.decode(
      await call('sysctl', pb.SysctlRequest.encode({ name, value }).finish()),
    );
    return { errno, message, values, foreign };
  };
  expect(await sysctl('net.ipv4.tcp_fin_timeout', '30')).toMatchObject({
    errno: 0,
    values: { 'net.ipv4.tcp_fin_timeout': '30' },
  });
  expect(await sysctl('net.ipv4.tcp_rmem')).toMatchObject({ values: { 'net.ipv4.tcp_rmem': '4096\t131072\t6291456' } });
  expect(await sysctl('net.ipv4.tcp_rmem', '5 4')).toMatchObject({ errno: ERRNO.EINVAL });
  expect(await sysctl('net.ipv4.tcp_rmem', '9000 8000 9999')).toMatchObject({ errno: ERRNO.EINVAL });
  const cc = 'net.ipv4.tcp_congestion_control';
  expect(await sysctl(cc)).toMatchObject({ values: { [cc]: 'cubic' } });
  expect(await sysctl(cc, 'reno')).toMatchObject({ errno: 0, values: { [cc]: 'reno' } });
  expect(await sysctl(cc, 'vegas')).toMatchObject({ errno: ERRNO.ENOENT, foreign: false });
  const available = 'net.ipv4.tcp_available_congestion_control';
  expect(await sysctl(available)).toMatchObject({ values: { [available]: 'reno cubic dctcp bbr' } });
  expect(await sysctl(available, 'reno')).toMatchObject({ errno: ERRNO.EACCES });
  const allowed = 'net.ipv4.tcp_allowed_congestion_control';
  expect(await sysctl(allowed, 'reno dctcp')).toMatchObject({ errno: 0 });
  expect(await sysctl(allowed, 'reno vegas')).toMatchObject({ errno: ERRNO.ENOENT });
  expect(await sysctl('net.ipv4.tcp_nonsense')).toMatchObject({ errno: ERRNO.ENOENT, foreign: true });
  expect(Object.keys((await sysctl(''))['values'] as object)).toContain('net.ipv4.tcp_syn_retries');
  await running.close();
  running = await start();
  await initcall('tcp_init');
  expect(await sysctl('net.ipv4.tcp_fin_timeout')).toMatchObject({ values: { 'net.ipv4.tcp_fin_timeout': '30' } });
});

test('another socket layer: the connections of the one before are reset', async () => {
  await command({ sk: 2, opSeq: 1, connect: { addr: PEER, port: 7 } });
  const syn = header(out[0]!);
  await receive(segment(syn, TCP_SYN | TCP_ACK, 100));
  out.length = 0;
  await commandFrom(2, { sk: 100, opSeq: 1, bind: { addr: 0, port: 53 } });
  expect(out.map((s) => header(s).flags)).toEqual([0x14]);
});

test('bytes that are no message are counted and hurt nobody', async () => {
  await command({ sk: 2, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 5 } });
  for (let i = 0; i < 200; i++) {
    const junk = Uint8Array.from({ length: i }, (_, k) => (i * 131 + k * 17) & 0xff);
    other.publish(subjects.skCmd(NS, 'tcp'), junk);
    other.publish(subjects.skb(NS, 'tcp_v4_rcv'), junk);
    other.publish(subjects.skb(NS, 'tcp_v4_err'), junk);
    const skb = SkBuff.alloc(0, i);
    skb.put(i);
    skb.buf.set(junk);
    skb.networkHeader = i & 1 ? 0 : -1;
    other.publish(subjects.skb(NS, 'tcp_v4_rcv'), encodeSkbList(9, 0, 0, [skb]));
    other.publish(subjects.skb(NS, 'tcp_v4_err'), encodeSkbList(9, 0, 0, [skb]));
  }
  await settle();
  const stats = pb.StatsReply.decode(await call('stats', new Uint8Array(0)));
  expect(stats.dropped!['BUS_MALFORMED']).toBeGreaterThan(0);
  expect(stats.dropped!['PKT_TOO_SMALL']).toBeGreaterThan(0);
  expect(running.kit.env.ledger.imbalance).toBe(0);
  expect((await command({ sk: 4, opSeq: 1, bind: { addr: 0, port: 81 } }))[0]).toMatchObject({ opErrno: 0 });
});
