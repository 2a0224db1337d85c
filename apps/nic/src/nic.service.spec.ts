import { afterEach, describe, expect, test } from '@jest/globals';
import { MemoryHub, type Bus } from '@skbus/bus';
import { buckets, decodeSkbList, devFromPb, encodeSkbList, pb, type skbus, subjects } from '@skbus/contracts';
import { readConfig, startLayer, type RunningLayer } from '@skbus/nest-kit';
import { ERRNO, ETH_P_ARP, ETH_P_IP, IFF_BROADCAST, IFF_LOOPBACK, IFF_UP, SkBuff } from '@skbus/skb';
import { emitEthernet } from '@skbus/wire';
import fc from 'fast-check';
import { definition } from './index.ts';

const MACS: Record<string, string> = { a: '02:00:0a:4d:00:02', b: '02:00:0a:4d:00:03' };
const MAC_B = 0x02000a4d0003;
const running: RunningLayer[] = [];
afterEach(async () => {
  for (const r of running.splice(0)) await r.close();
});

/** One stack's nic on the hub, with what it hands up recorded. */
class Nic {
  readonly hub: MemoryHub;
  readonly netns: string;
  readonly got: SkBuff[] = [];
  layer!: RunningLayer;
  private seq = 0;

  constructor(hub: MemoryHub, netns: string) {
    this.hub = hub;
    this.netns = netns;
    for (const to of ['ip_rcv', 'arp_rcv'] as const) {
      hub.bus().subscribe(subjects.skb(netns, to), (m) => this.got.push(...decodeSkbList(m)!.skbs));
    }
  }

  async boot(replay = false, env: Record<string, string> = {}, bus: Bus = this.hub.bus()): Promise<string[]> {
    const config = readConfig({
      SKBUS_NETNS: this.netns,
      SKBUS_LOG_LEVEL: 'silent',
      SKBUS_NIC_MAC: MACS[this.netns],
      ...env,
    });
    this.layer = await startLayer(definition, bus, config);
    running.push(this.layer);
    const lines: string[] = [];
    for (const name of ['net_dev_init', 'ipv4_offload_init', 'tun_init']) {
      const r = await this.initcall(name, replay);
      expect([name, r.errno, r.message]).toEqual([name, 0, '']);
      lines.push(...r.printk);
    }
    return lines;
  }

  async initcall(name: string, replay = false): Promise<InstanceType<typeof pb.InitcallReply>> {
    return pb.InitcallReply.decode(await this.ask('initcall', pb.InitcallRequest.encode({ name, replay }).finish()));
  }

  async register(
    key: number,
    handler: string,
    more: { remove?: boolean; table?: skbus.v1.RegisterRequest.Table } = {},
  ): Promise<number> {
    const data = pb.RegisterRequest.encode({ key, handler, ...more }).finish();
    return pb.RegisterReply.decode(await this.ask('register', data)).errno;
  }

  async link(q: Parameters<typeof pb.NetRequest.encode>[0]): Promise<InstanceType<typeof pb.NetReply>> {
    return pb.NetReply.decode(await this.ask('link', pb.NetRequest.encode(q).finish()));
  }

  xmit(skb: SkBuff, ifindex = 2): void {
    skb.ifindex = ifindex;
    this.hub
      .bus()
      .publish(subjects.skb(this.netns, 'dev_queue_xmit', ifindex), encodeSkbList(9, this.seq++, this.seq - 1, [skb]));
  }

  async until(n: number): Promise<void> {
    for (let i = 0; this.got.length < n && i < 1000; i++) await turn();
    expect(this.got).toHaveLength(n);
  }

  private ask(verb: string, data: Uint8Array): Promise<Uint8Array> {
    return this.hub.bus().request(subjects.ctl(this.netns, 'nic', verb), data, 1000);
  }
}

/** The same bus with a store that answers some turns of the event loop later, as one behind a broker does. */
function withSlowStore(bus: Bus): Bus {
  const kv: Bus['kv'] = async (bucket) => {
    const store = await bus.kv(bucket);
    const get: typeof store.get = async (key) => {
      for (let i = 0; i < 10; i++) await turn();
      return store.get(key);
    };
    return Object.assign(Object.create(store), { get });
  };
  return Object.assign(Object.create(bus), { kv });
}

const turn = (): Promise<void> => new Promise((go) => setImmediate(go));

function frame(dst: number, payload: number, type = ETH_P_IP): SkBuff {
  const b = new Uint8Array(14 + payload);
  emitEthernet({ dst, src: 0x02000a4d0002, type }, b, 0);
  const skb = new SkBuff(b, 0, b.length);
  skb.protocol = type;
  skb.macHeader = 0;
  skb.networkHeader = 14;
  return skb;
}

async function pair(): Promise<{ a: Nic; b: Nic }> {
  const hub = new MemoryHub();
  const a = new Nic(hub, 'a');
  const b = new Nic(hub, 'b');
  await a.boot();
  await b.boot();
  expect(await b.register(ETH_P_IP, 'ip_rcv')).toBe(0);
  return { a, b };
}

describe('boot', () => {
  test('makes lo and skb0 and tells the rest of the stack', async () => {
    const hub = new MemoryHub();
    const nic = new Nic(hub, 'a');
    expect(await nic.boot()).toContain('skb0: wire lan, checksum offload on, TSO on');
    expect(nic.layer.kit.ready).toBe(true);
    const kv = await hub.bus().kv(buckets.netdev('a'));
    const devs = [...(await kv.entries()).values()].map((row) => devFromPb(pb.NetDevice.decode(row)));
    expect(devs).toMatchObject([
      { ifindex: 1, name: 'lo', mtu: 65_536, mac: 0 },
      { ifindex: 2, name: 'skb0', mtu: 1500, mac: 0x02000a4d0002 },
    ]);
    expect(devs[0]!.flags & (IFF_UP | IFF_LOOPBACK)).toBe(IFF_UP | IFF_LOOPBACK);
    expect(devs[1]!.flags & (IFF_UP | IFF_BROADCAST)).toBe(IFF_UP | IFF_BROADCAST);
  });

  test('a replay finds its registrations and what a person changed', async () => {
    const { a, b } = await pair();
    expect((await b.link({ op: pb.NetRequest.Op.SET, dev: { name: 'skb0', mtu: 1400 } })).errno).toBe(0);
    await running.splice(running.indexOf(b.layer), 1)[0]!.close();
    await b.boot(true);
    expect((await b.link({ dev: { name: 'skb0' } })).devs[0]!.mtu).toBe(1400);
    a.xmit(frame(MAC_B, 100));
    await b.until(1);
  });

  test('what is on the cable when it is opened again finds the device there', async () => {
    const { a, b } = await pair();
    await running.splice(running.indexOf(b.layer), 1)[0]!.close();
    const over = new AbortController();
    const sending = (async () => {
      for (; !over.signal.aborted; await turn()) a.xmit(frame(MAC_B, 100));
    })();
    await b.boot(true, {}, withSlowStore(b.hub.bus()));
    for (let i = 0; i < 20; i++) await turn();
    over.abort();
    await sending;
    expect(b.got.length).toBeGreaterThan(0);
    expect([...b.layer.kit.env.ledger.drops]).toEqual([]);
  });

  test('a cold boot starts with an empty packet_type table', async () => {
    const { a, b } = await pair();
    await running.splice(running.indexOf(b.layer), 1)[0]!.close();
    await b.boot(false);
    a.xmit(frame(MAC_B, 100));
    for (let i = 0; i < 20; i++) await turn();
    expect(b.got).toEqual([]);
    expect(b.layer.kit.env.ledger.drops.get('UNHANDLED_PROTO')).toBe(1);
  });

  test('a cable that cannot be opened: the initcall says why', async () => {
    const nic = new Nic(new MemoryHub(), 'a');
    const config = readConfig({
      SKBUS_NETNS: 'a',
      SKBUS_LOG_LEVEL: 'silent',
      SKBUS_NIC_BACKEND: 'tap',
      SKBUS_NIC_NETNS: '/nonexistent/netns',
    });
    running.push((nic.layer = await startLayer(definition, nic.hub.bus(), config)));
    const r = await nic.initcall('tun_init');
    expect(r.errno).toBe(ERRNO.ENODEV);
    expect(r.message).toMatch(/^skb0: /);
  });
});

describe('data', () => {
  test('a frame crosses the cable into the other stack, as an skb of its own', async () => {
    const { a, b } = await pair();
    a.xmit(frame(MAC_B, 1000));
    a.xmit(frame(0x020000000077, 1000));
    await b.until(1);
    expect(b.got[0]).toMatchObject({ protocol: ETH_P_IP, ifindex: 2 });
    expect(b.got[0]!.len).toBe(1000);
    for (const n of [a, b]) expect(n.layer.kit.env.ledger.imbalance).toBe(0);
    expect(a.layer.kit.env.ledger).toMatchObject({ received: 2, passed: 2 });
    expect(b.layer.kit.env.ledger).toMatchObject({ created: 1, passed: 1 });
    const extra = b.layer.kit.stats()['extra'] as Record<string, number>;
    expect(extra).toMatchObject({ 'skb0.rx_packets': 1, 'skb0.ring_rx_filtered': 1, 'lo.rx_packets': 0 });
  });

  test('lo', async () => {
    const { b } = await pair();
    b.xmit(frame(0, 100), 1);
    await b.until(1);
    expect(b.got[0]).toMatchObject({ ifindex: 1, protocol: ETH_P_IP });
  });

  test('random bytes on its subjects are counted and change nothing', async () => {
    const { a, b } = await pair();
    const bus = a.hub.bus();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (raw) => {
        bus.publish(subjects.skb('b', 'dev_queue_xmit', 2), Uint8Array.from(raw));
        bus.publish(subjects.wire('lan', 'ffff'), Uint8Array.from(raw));
      }),
      { seed: 4, numRuns: 100 },
    );
    for (let i = 0; i < 20; i++) await turn();
    expect(b.layer.kit.env.ledger.imbalance).toBe(0);
    a.xmit(frame(MAC_B, 10));
    await b.until(1);
  });
});

describe('control', () => {
  test('register checks what it is asked', async () => {
    const { b } = await pair();
    expect(await b.register(0, 'ip_rcv')).toBe(ERRNO.EINVAL);
    expect(await b.register(ETH_P_ARP, 'no_such_function')).toBe(ERRNO.EINVAL);
    expect(await b.register(6, 'ip_rcv', { table: pb.RegisterRequest.Table.NET_PROTOCOL })).toBe(ERRNO.EINVAL);
    expect(await b.register(ETH_P_ARP, 'arp_rcv')).toBe(0);
    expect(await b.register(ETH_P_ARP, 'arp_rcv', { remove: true })).toBe(0);
  });

  test('link: show, change, refuse', async () => {
    const { b } = await pair();
    const { SET, ADD } = pb.NetRequest.Op;
    const shown = await b.link({});
    expect(shown.devs.map((d) => d.name)).toEqual(['lo', 'skb0']);
    expect(Object.keys(shown.devs[1]!.stats!)).toContain('rx_over_errors');
    expect(await b.link({ op: SET, dev: { name: 'skb0', mtu: 60 } })).toMatchObject({
      errno: ERRNO.EINVAL,
      message: 'skb0: Invalid argument',
    });
    expect(await b.link({ op: SET, dev: { name: 'eth7', mtu: 1400 } })).toMatchObject({ errno: ERRNO.ENODEV });
    expect(await b.link({ dev: { name: 'eth7' } })).toMatchObject({
      errno: ERRNO.ENODEV,
      message: 'Device "eth7" does not exist.',
    });
    expect(await b.link({ op: ADD, dev: { name: 'x' } })).toMatchObject({ errno: ERRNO.EOPNOTSUPP });
    const down = await b.link({ op: SET, dev: { name: 'skb0', flags: IFF_BROADCAST } });
    expect(down.devs[0]!.flags! & IFF_UP).toBe(0);
    const up = await b.link({ op: SET, dev: { name: 'skb0', flags: IFF_BROADCAST | IFF_UP } });
    expect(up.devs[0]!.flags! & IFF_UP).toBe(IFF_UP);
  });
});
