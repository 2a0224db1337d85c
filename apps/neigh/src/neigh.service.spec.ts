import { afterEach, describe, expect, test } from '@jest/globals';
import { MemoryHub } from '@skbus/bus';
import {
  buckets,
  decodeSkbList,
  devToPb,
  encodeSkbList,
  macFromBytes,
  macToBytes,
  neighUpdateFromPb,
  pb,
  subjects,
} from '@skbus/contracts';
import { readConfig, startLayer, type RunningLayer } from '@skbus/nest-kit';
import {
  ERRNO,
  ETH_P_ARP,
  ETH_P_IP,
  IFF_BROADCAST,
  IFF_UP,
  NUD_PERMANENT,
  parseIpv4,
  SkBuff,
  type NeighUpdate,
} from '@skbus/skb';
import { ARP_LEN, ARPOP_REPLY, ARPOP_REQUEST, emitArp, emitIpv4Header, parseArp, parseEthernet } from '@skbus/wire';
import fc from 'fast-check';
import { definition } from './index.ts';

const NS = 't';
const ip = (text: string): number => parseIpv4(text)!;
const US = ip('10.77.0.2');
const PEER = ip('10.77.0.1');
const OUR_MAC = 0x02000a4d0002;
const PEER_MAC = 0x02000a4d0001;
const running: RunningLayer[] = [];
afterEach(async () => {
  for (const r of running.splice(0)) await r.close();
});

class Bench {
  readonly hub = new MemoryHub();
  readonly sent: SkBuff[] = [];
  readonly updates: NeighUpdate[] = [];
  readonly registered: [number, string][] = [];
  layer!: RunningLayer;
  private seq = 0;

  async prepare(): Promise<this> {
    const bus = this.hub.bus();
    bus.respond(subjects.ctl(NS, 'nic', 'register'), (data) => {
      const r = pb.RegisterRequest.decode(data);
      this.registered.push([r.key, r.handler]);
      return pb.RegisterReply.encode({}).finish();
    });
    const dev = { ifindex: 2, name: 'skb0', mac: OUR_MAC, mtu: 1500, flags: IFF_UP | IFF_BROADCAST };
    await (await bus.kv(buckets.netdev(NS))).put('2', pb.NetDevice.encode(devToPb(dev)).finish());
    const addr = { ifindex: 2, local: US, prefixLen: 24, broadcast: ip('10.77.0.255'), label: 'skb0' };
    await (await bus.kv(buckets.addr(NS))).put('2.10.77.0.2.24', pb.IfAddr.encode(addr).finish());
    bus.subscribe(subjects.skb(NS, 'dev_queue_xmit', 2), (m) => this.sent.push(...decodeSkbList(m)!.skbs));
    bus.subscribe(subjects.neighUpdate(NS), (m) => this.updates.push(neighUpdateFromPb(pb.NeighUpdate.decode(m))));
    return this;
  }

  async boot(replay = false): Promise<this> {
    this.layer = await startLayer(
      definition,
      this.hub.bus(),
      readConfig({ SKBUS_NETNS: NS, SKBUS_LOG_LEVEL: 'silent' }),
    );
    running.push(this.layer);
    for (const name of ['neigh_init', 'arp_init']) {
      const answer = await this.ask('initcall', pb.InitcallRequest.encode({ name, replay }).finish());
      expect(pb.InitcallReply.decode(answer)).toMatchObject({ errno: 0, message: '' });
    }
    await this.rest();
    return this;
  }

  ask(verb: string, data: Uint8Array): Promise<Uint8Array> {
    return this.hub.bus().request(subjects.ctl(NS, 'neigh', verb), data, 1000);
  }

  async neigh(q: Parameters<typeof pb.NetRequest.encode>[0]): Promise<InstanceType<typeof pb.NetReply>> {
    return pb.NetReply.decode(await this.ask('neigh', pb.NetRequest.encode(q).finish()));
  }

  async output(): Promise<void> {
    const skb = SkBuff.alloc(32, 20);
    skb.networkHeader = skb.put(20);
    emitIpv4Header(
      {
        hlen: 20,
        tos: 0,
        totalLen: 20,
        id: 0,
        df: true,
        mf: false,
        fragOffset: 0,
        ttl: 64,
        proto: 17,
        saddr: US,
        daddr: PEER,
      },
      skb.buf,
      skb.networkHeader,
    );
    Object.assign(skb, { id: 1, protocol: ETH_P_IP, ifindex: 2, nextHop: PEER });
    await this.publish('neigh_output', skb);
  }

  async arp(op: number): Promise<void> {
    const skb = SkBuff.alloc(0, ARP_LEN);
    emitArp({ op, sha: PEER_MAC, spa: PEER, tha: OUR_MAC, tpa: US }, skb.buf, skb.put(ARP_LEN));
    Object.assign(skb, { id: 2, protocol: ETH_P_ARP, ifindex: 2, networkHeader: 0 });
    await this.publish('arp_rcv', skb);
  }

  async rest(): Promise<void> {
    for (let i = 0; i < 10; i++) await new Promise((go) => setImmediate(go));
  }

  private async publish(to: 'neigh_output' | 'arp_rcv', skb: SkBuff): Promise<void> {
    this.hub.bus().publish(subjects.skb(NS, to), encodeSkbList(7, this.seq++, 0, [skb]));
    await this.rest();
  }
}

describe('neigh', () => {
  test('boots, learns devices and addresses, asks for ARP and tells its epoch', async () => {
    const b = await (await new Bench().prepare()).boot();
    expect(b.registered).toEqual([[ETH_P_ARP, 'arp_rcv']]);
    expect(b.updates).toMatchObject([{ epoch: b.layer.kit.epoch, ifindex: 0 }]);
    expect(b.layer.kit.ready).toBe(true);
  });

  test('no nic: the initcall says so', async () => {
    const b = new Bench();
    running.push(
      (b.layer = await startLayer(definition, b.hub.bus(), readConfig({ SKBUS_NETNS: NS, SKBUS_LOG_LEVEL: 'silent' }))),
    );
    const r = pb.InitcallReply.decode(
      await b.ask('initcall', pb.InitcallRequest.encode({ name: 'arp_init' }).finish()),
    );
    expect(r).toMatchObject({ errno: ERRNO.ENODEV, message: expect.stringContaining('nic service does not answer') });
  });

  test('resolves: request, answer, the packet; then IP is told', async () => {
    const b = await (await new Bench().prepare()).boot();
    await b.output();
    expect(parseArp(b.sent[0]!.buf, b.sent[0]!.networkHeader, b.sent[0]!.tail)).toMatchObject({
      op: ARPOP_REQUEST,
      tpa: PEER,
      spa: US,
    });
    await b.arp(ARPOP_REPLY);
    expect(b.sent).toHaveLength(2);
    expect(parseEthernet(b.sent[1]!.buf, b.sent[1]!.data, b.sent[1]!.tail)).toMatchObject({
      dst: PEER_MAC,
      src: OUR_MAC,
      type: ETH_P_IP,
    });
    expect(b.updates.at(-1)).toMatchObject({ connected: true, addr: PEER, lladdr: PEER_MAC, devAddr: OUR_MAC });
    expect(b.layer.kit.env.ledger.imbalance).toBe(0);
    const shown = await b.neigh({});
    expect(shown.neighs).toMatchObject([{ ifindex: 2, addr: PEER }]);
    expect(macFromBytes(shown.neighs[0]!.lladdr)).toBe(PEER_MAC);
  });

  test('answers for an address that was added at run time', async () => {
    const b = await (await new Bench().prepare()).boot();
    const kv = await b.hub.bus().kv(buckets.addr(NS));
    await kv.delete('2.10.77.0.2.24');
    await b.rest();
    await b.arp(ARPOP_REQUEST);
    expect(b.sent).toHaveLength(0);
    await kv.put('2.10.77.0.2.24', pb.IfAddr.encode({ ifindex: 2, local: US, prefixLen: 24 }).finish());
    await b.rest();
    await b.arp(ARPOP_REQUEST);
    expect(b.sent).toHaveLength(1);
  });

  test('permanent neighbours survive a restart; others do not', async () => {
    const b = await (await new Bench().prepare()).boot();
    const { ADD, REPLACE, DEL, GET, FLUSH } = pb.NetRequest.Op;
    const entry = { ifindex: 2, addr: ip('10.77.0.9'), lladdr: macToBytes(0x020000000009) };
    expect((await b.neigh({ op: ADD, neigh: { ...entry, state: NUD_PERMANENT } })).errno).toBe(0);
    expect(await b.neigh({ op: ADD, neigh: entry })).toMatchObject({
      errno: ERRNO.EEXIST,
      message: '10.77.0.9: File exists',
    });
    expect((await b.neigh({ op: REPLACE, neigh: { ...entry, addr: PEER, state: 4 } })).errno).toBe(0);
    await running.pop()!.close();
    await b.boot(true);
    expect((await b.neigh({})).neighs).toMatchObject([{ addr: ip('10.77.0.9'), state: NUD_PERMANENT }]);
    expect((await b.neigh({ op: FLUSH })).errno).toBe(0);
    expect((await b.neigh({ op: GET, neigh: entry })).neighs).toHaveLength(1);
    expect((await b.neigh({ op: DEL, neigh: entry })).errno).toBe(0);
    expect((await b.neigh({ op: DEL, neigh: entry })).errno).toBe(ERRNO.ENOENT);
    expect((await b.neigh({ op: DEL, neigh: { addr: PEER } })).errno).toBe(ERRNO.EINVAL);
  });

  test('sysctls: read, written, kept', async () => {
    const b = await (await new Bench().prepare()).boot();
    const name = 'net.ipv4.neigh.default.gc_stale_time';
    const ask = async (n: string, value = ''): Promise<InstanceType<typeof pb.SysctlReply>> =>
      pb.SysctlReply.decode(await b.ask('sysctl', pb.SysctlRequest.encode({ name: n, value }).finish()));
    expect((await ask(name)).values).toEqual({ [name]: '60' });
    expect((await ask(name, '90')).values).toEqual({ [name]: '90' });
    expect((await ask(name, '-1')).errno).toBe(ERRNO.EINVAL);
    expect((await ask('net.ipv4.no_such')).errno).toBe(ERRNO.ENOENT);
    expect(Object.keys((await ask('')).values)).toHaveLength(17);
    await running.pop()!.close();
    await b.boot(true);
    expect((await ask(name)).values).toEqual({ [name]: '90' });
  });

  test('random bytes on its subjects are counted and change nothing', async () => {
    const b = await (await new Bench().prepare()).boot();
    const bus = b.hub.bus();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (raw) => {
        for (const s of [subjects.skb(NS, 'neigh_output'), subjects.skb(NS, 'arp_rcv'), subjects.neighHint(NS)]) {
          bus.publish(s, Uint8Array.from(raw));
        }
      }),
      { seed: 4, numRuns: 100 },
    );
    await b.rest();
    expect(b.layer.kit.env.ledger.imbalance).toBe(0);
    await b.arp(ARPOP_REQUEST);
    expect(b.sent.at(-1)!.protocol).toBe(ETH_P_ARP);
  });
});
