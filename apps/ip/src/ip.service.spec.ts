import { afterEach, describe, expect, test } from '@jest/globals';
import { MemoryHub } from '@skbus/bus';
import { decodeSkbList, devToPb, encodeSkbList, buckets, pb, subjects } from '@skbus/contracts';
import { readConfig, type RunningLayer, startLayer } from '@skbus/nest-kit';
import { ERRNO, formatIpv4, IFF_BROADCAST, IFF_LOOPBACK, IFF_UP, parseIpv4, SkBuff } from '@skbus/skb';
import { emitIcmp, emitIpv4Header, parseIpv4Header } from '@skbus/wire';
import { definition } from './index.ts';

const NS = 't';
const ip = (text: string): number => parseIpv4(text)!;
const config = readConfig({ SKBUS_NETNS: NS, SKBUS_LOG_LEVEL: 'silent' });
const INITCALLS = [
  'fib_rules_init',
  'ip_static_sysctl_init',
  'inet_add_protocol(&icmp_protocol)',
  'ip_init',
  'init_ipv4_mibs',
  'icmp_init',
  'ipfrag_init',
  'dev_add_pack(&ip_packet_type)',
  'ip_auto_config',
];
const running: RunningLayer[] = [];
afterEach(async () => {
  for (const r of running.splice(0)) await r.close();
});

/** A hub with a device layer that only answers, and lo and skb0 registered. */
async function hubWithNic(onError?: (e: unknown) => void): Promise<{ hub: MemoryHub; registered: string[] }> {
  const hub = new MemoryHub(onError === undefined ? {} : { onError });
  const bus = hub.bus();
  const registered: string[] = [];
  bus.respond(subjects.ctl(NS, 'nic', 'register'), (data) => {
    registered.push(pb.RegisterRequest.decode(data).handler);
    return pb.RegisterReply.encode({}).finish();
  });
  const netdev = await bus.kv(buckets.netdev(NS));
  const lo = { ifindex: 1, name: 'lo', mac: 0, mtu: 65_536, flags: IFF_UP | IFF_LOOPBACK };
  const skb0 = { ifindex: 2, name: 'skb0', mac: 0x020000000002, mtu: 1500, flags: IFF_UP | IFF_BROADCAST };
  for (const d of [lo, skb0]) await netdev.put(String(d.ifindex), pb.NetDevice.encode(devToPb(d)).finish());
  return { hub, registered };
}

async function boot(
  hub: MemoryHub,
  replay = false,
  cmdline = '10.77.0.2::10.77.0.1:255.255.255.0:skbus:skb0:off',
): Promise<string[]> {
  running.push(await startLayer(definition, hub.bus(), config));
  const printk: string[] = [];
  for (const name of INITCALLS) {
    const r = await ask(
      hub,
      'initcall',
      pb.InitcallRequest.encode({ name, replay, params: { ip: cmdline } }).finish(),
      pb.InitcallReply,
    );
    expect([name, r.errno, r.message]).toEqual([name, 0, '']);
    printk.push(...r.printk);
  }
  return printk;
}

async function ask<T>(
  hub: MemoryHub,
  verb: string,
  data: Uint8Array,
  as: { decode: (b: Uint8Array) => T },
): Promise<T> {
  return as.decode(await hub.bus().request(subjects.ctl(NS, 'ip', verb), data, 1000));
}

const net = (
  hub: MemoryHub,
  verb: 'addr' | 'route',
  q: Parameters<typeof pb.NetRequest.encode>[0],
): Promise<InstanceType<typeof pb.NetReply>> => ask(hub, verb, pb.NetRequest.encode(q).finish(), pb.NetReply);
const { ADD, DEL, SHOW, GET } = pb.NetRequest.Op;
const prefixes = async (hub: MemoryHub): Promise<string[]> =>
  (await net(hub, 'route', { op: SHOW, table: 254 })).routes.map((r) => `${formatIpv4(r.dst!)}/${r.dstLen}`);

describe('boot', () => {
  test('runs the initcalls, opens receive at the device and takes the address from the command line', async () => {
    const { hub, registered } = await hubWithNic();
    const printk = await boot(hub);
    expect(registered).toEqual(['ip_rcv']);
    expect(printk).toContain('IP-Config: Complete:');
    expect(running[0]!.kit.ready).toBe(true);
    expect(await prefixes(hub)).toEqual(['0.0.0.0/0', '10.77.0.0/24']);
  });

  test.each([
    ['10.77.0.300::::::off', 'client address "10.77.0.300"'],
    ['10.77.0.2::x:255.255.255.0::skb0:off', 'gateway "x"'],
    ['10.77.0.2:::255.0.255.0::skb0:off', 'netmask "255.0.255.0"'],
    ['10.77.0.2:::255.255.255.0::eth9:off', 'no device "eth9"'],
    ['10.77.0.2::10.9.9.9:255.255.255.0::skb0:off', 'gateway 10.9.9.9'],
    ['dhcp', 'no DHCP'],
  ])('ip=%s is refused with its reason', async (text, why) => {
    const { hub } = await hubWithNic();
    running.push(await startLayer(definition, hub.bus(), config));
    const request = pb.InitcallRequest.encode({ name: 'ip_auto_config', params: { ip: text } }).finish();
    const r = await ask(hub, 'initcall', request, pb.InitcallReply);
    expect(r.errno).not.toBe(0);
    expect(r.message).toContain(why);
  });
});

describe('run time', () => {
  test('an echo request on ip_rcv is answered towards the neighbour layer', async () => {
    const { hub } = await hubWithNic();
    await boot(hub);
    const got = new Promise<Uint8Array>((resolve) => hub.bus().subscribe(subjects.skb(NS, 'neigh_output'), resolve));
    const skb = SkBuff.alloc(14, 28);
    const at = skb.put(28);
    emitIcmp({ type: 8, code: 0, id: 1, seq: 2 }, skb.buf, at + 20, []);
    emitIpv4Header(
      {
        hlen: 20,
        tos: 0,
        totalLen: 28,
        id: 5,
        df: false,
        mf: false,
        fragOffset: 0,
        ttl: 64,
        proto: 1,
        saddr: ip('10.77.0.1'),
        daddr: ip('10.77.0.2'),
      },
      skb.buf,
      at,
    );
    skb.ifindex = 2;
    hub.bus().publish(subjects.skb(NS, 'ip_rcv'), encodeSkbList(99, 0, 0, [skb]));
    const list = decodeSkbList(await got)!;
    expect(list.skbs[0]).toMatchObject({ nextHop: ip('10.77.0.1'), ifindex: 2 });
    expect(parseIpv4Header(list.skbs[0]!.buf, list.skbs[0]!.data, list.skbs[0]!.tail)).toMatchObject({
      proto: 1,
      daddr: ip('10.77.0.1'),
    });
    expect(running[0]!.kit.env.ledger.imbalance).toBe(0);
  });

  test('addresses and routes change, and survive a restart', async () => {
    const { hub } = await hubWithNic();
    await boot(hub);
    const flushes: number[] = [];
    hub.bus().subscribe(subjects.all(NS, 'rt_cache_flush'), () => flushes.push(1));
    const second = { ifindex: 2, local: ip('192.0.2.1'), prefixLen: 24, broadcast: 0, scope: 0, label: '' };
    expect((await net(hub, 'addr', { op: ADD, addr: second })).errno).toBe(0);
    expect((await net(hub, 'addr', { op: ADD, addr: second })).errno).toBe(ERRNO.EEXIST);
    expect(
      (await net(hub, 'route', { op: ADD, route: { dst: ip('198.51.100.0'), dstLen: 24, gateway: ip('192.0.2.254') } }))
        .errno,
    ).toBe(0);
    const bad = await net(hub, 'route', {
      op: ADD,
      route: { dst: ip('203.0.113.0'), dstLen: 24, gateway: ip('8.8.8.8'), oif: 2 },
    });
    expect([bad.errno, bad.message]).toEqual([
      ERRNO.ENETUNREACH,
      '203.0.113.0/24: Nexthop has invalid gateway: 8.8.8.8 is on no link of ours',
    ]);
    expect(flushes.length).toBeGreaterThan(0);
    await running.splice(0)[0]!.close();

    await boot(hub, true);
    expect(await prefixes(hub)).toEqual(['0.0.0.0/0', '10.77.0.0/24', '192.0.2.0/24', '198.51.100.0/24']);
    const labels = (await net(hub, 'addr', { op: SHOW })).addrs.map((a) => `${formatIpv4(a.local!)} ${a.label}`);
    expect(labels).toEqual(['127.0.0.1 lo', '10.77.0.2 skb0', '192.0.2.1 skb0']);
    const get = await net(hub, 'route', { op: GET, query: { daddr: ip('198.51.100.7') } });
    expect(get.reply).toMatchObject({ saddr: ip('192.0.2.1'), gateway: ip('192.0.2.254'), oif: 2, mtu: 1500 });
    expect((await net(hub, 'addr', { op: DEL, addr: second })).errno).toBe(0);
    expect(await prefixes(hub)).toEqual(['0.0.0.0/0', '10.77.0.0/24', '198.51.100.0/24']);
    expect((await net(hub, 'route', { op: DEL, route: { dst: ip('198.51.100.0'), dstLen: 24 } })).errno).toBe(0);
    const again = await net(hub, 'route', { op: DEL, route: { dst: ip('198.51.100.0'), dstLen: 24 } });
    expect([again.errno, again.message]).toEqual([ERRNO.ESRCH, '198.51.100.0/24: no such route']);
  });

  test('a restart while the device is away keeps its addresses', async () => {
    const { hub } = await hubWithNic();
    await boot(hub);
    await running.splice(0)[0]!.close();
    const netdev = await hub.bus().kv(buckets.netdev(NS));
    const skb0 = await netdev.get('2');
    await netdev.delete('2');
    await boot(hub, true, '');
    expect(await prefixes(hub)).toEqual([]);
    await net(hub, 'addr', { op: ADD, addr: { ifindex: 1, local: ip('10.1.1.1'), prefixLen: 32, scope: 254 } });
    await netdev.put('2', skb0!);
    await new Promise((r) => setImmediate(() => setImmediate(r)));
    expect(await prefixes(hub)).toEqual(['0.0.0.0/0', '10.77.0.0/24']);
  });

  test('protocols register by request and come back after a restart', async () => {
    const { hub } = await hubWithNic();
    await boot(hub);
    const { NET_PROTOCOL } = pb.RegisterRequest.Table;
    const tcp = { table: NET_PROTOCOL, key: 6, handler: 'tcp_v4_rcv', errHandler: 'tcp_v4_err' };
    const register = (r: object): Promise<InstanceType<typeof pb.RegisterReply>> =>
      ask(hub, 'register', pb.RegisterRequest.encode(r).finish(), pb.RegisterReply);
    expect((await register(tcp)).errno).toBe(0);
    expect((await register(tcp)).errno).toBe(0);
    expect((await register({ ...tcp, handler: 'udp_rcv' })).errno).toBe(ERRNO.EEXIST);
    expect((await register({ ...tcp, key: 7, handler: 'rm -rf' })).errno).toBe(ERRNO.EINVAL);
    await running.splice(0)[0]!.close();
    running.push(await startLayer(definition, hub.bus(), config));
    expect(running[0]!.kit.stats()['extra']).toMatchObject({ protocols: 2 });
  });

  test('sysctls are listed, checked, set and kept', async () => {
    const { hub } = await hubWithNic();
    await boot(hub);
    const sysctl = (name: string, value = ''): Promise<InstanceType<typeof pb.SysctlReply>> =>
      ask(hub, 'sysctl', pb.SysctlRequest.encode({ name, value }).finish(), pb.SysctlReply);
    expect((await sysctl('')).values).toMatchObject({ 'net.ipv4.ip_forward': '0', 'net.ipv4.ipfrag_time': '30' });
    expect((await sysctl('net.ipv4.nonsense')).errno).toBe(ERRNO.ENOENT);
    expect((await sysctl('net.ipv4.ip_default_ttl', '999')).errno).toBe(ERRNO.EINVAL);
    expect((await sysctl('net.ipv4.ip_default_ttl', '33')).values).toEqual({ 'net.ipv4.ip_default_ttl': '33' });
    await running.splice(0)[0]!.close();
    await boot(hub, true);
    expect((await sysctl('net.ipv4.ip_default_ttl')).values).toEqual({ 'net.ipv4.ip_default_ttl': '33' });
  });

  test('ping answers with an errno when there is no way', async () => {
    const { hub } = await hubWithNic();
    await boot(hub, false, '10.77.0.2:::255.255.255.0::skb0:off');
    const r = await ask(
      hub,
      'ping',
      pb.PingRequest.encode({ daddr: ip('8.8.8.8'), id: 1, seq: 1, size: 8 }).finish(),
      pb.PingReply,
    );
    expect(r.errno).toBe(ERRNO.ENETUNREACH);
  });

  test('random bytes on every subject crash nothing', async () => {
    const { hub } = await hubWithNic(() => {});
    await boot(hub);
    let x = 1;
    const junk = (): Uint8Array =>
      Uint8Array.from({ length: 1 + (x % 61) }, () => (x = (x * 1_103_515_245 + 12_345) & 0x7fffffff) >>> 8);
    for (let i = 0; i < 200; i++) {
      for (const to of ['ip_rcv', 'ip_queue_xmit', 'ip_send_skb', 'icmp_send', 'ipv4_link_failure'] as const)
        hub.bus().publish(subjects.skb(NS, to), junk());
      hub.bus().publish(subjects.neighUpdate(NS), junk());
      for (const verb of ['register', 'addr', 'route', 'route_query', 'sysctl']) {
        await ask(hub, verb, junk(), { decode: (b) => b }).catch(() => undefined);
      }
    }
    expect(running[0]!.kit.env.ledger.imbalance).toBe(0);
    expect((await net(hub, 'addr', { op: SHOW })).errno).toBe(0);
  });
});
