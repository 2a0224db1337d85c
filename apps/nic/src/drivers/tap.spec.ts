import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { NetdevCore, type RxMeta } from '@skbus/dev';
import { ETH_P_ARP, ETH_P_IP, IFF_BROADCAST, IFF_UP, LayerEnv, SeededRng, SkBuff, type HandOver } from '@skbus/skb';
import {
  ARPOP_REPLY,
  emitArp,
  emitEthernet,
  emitIcmp,
  emitIpv4Header,
  getMac,
  ICMP_HLEN,
  parseArp,
  parseIpv4Header,
} from '@skbus/wire';
import { inNetns, openTun, sys } from '@skbus/libc';
import type { NicConfig } from './driver.ts';
import { TapDriver } from './tap.ts';
import { removeTap } from './tun.ts';

// Needs a kernel: attaches to a TAP device in a network namespace that it makes and removes itself.

const NETNS = `skbus-test-${process.pid}`;
const US = 0x0a4d0002;
const OUR_MAC = 0x02000a4d0002;

/** Why the kernel part cannot run here; `undefined`: it can. */
function obstacle(): string | undefined {
  if (process.platform !== 'linux') return 'not Linux';
  if (process.getuid?.() !== 0) return 'not root';
  if (!existsSync(new URL('../../dist/drivers/tap-reader.js', import.meta.url))) return 'not built yet (npm run build)';
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    execFileSync('ip', ['netns', 'list'], { stdio: 'ignore' });
  } catch {
    return 'no /dev/net/tun or no iproute2';
  }
  return undefined;
}

const why = obstacle();
const withKernel = why === undefined ? describe : describe.skip;

const sh = (cmd: string, ...args: string[]): string => execFileSync(cmd, args, { encoding: 'utf8' });
const inPeer = (...args: string[]): string => sh('ip', 'netns', 'exec', NETNS, ...args);

const config = (offload: boolean): NicConfig => ({
  backend: 'tap',
  ifname: 'skb0',
  kernelIfname: 'skbtest0',
  netnsPath: `/run/netns/${NETNS}`,
  mac: OUR_MAC,
  mtu: 1500,
  offload,
});

/** The device layer with a TAP, and in place of the stack above it something that answers ARP and echo requests. */
class Host {
  readonly core: NetdevCore;
  readonly env: LayerEnv;
  readonly driver: TapDriver;
  readonly lines: string[] = [];
  readonly metas: RxMeta[] = [];
  readonly passed: { to: HandOver; skb: SkBuff }[] = [];
  private waiting: (() => void) | undefined = undefined;
  arps = 0;
  echos = 0;
  /** Longest payload of UDP and TCP packets that came in. */
  largest = 0;

  constructor(offload: boolean, tapFd?: number) {
    this.env = new LayerEnv({
      layer: 'nic',
      rng: new SeededRng(1),
      out: { pass: (to, skb) => void this.passed.push({ to, skb }) },
    });
    this.core = new NetdevCore(this.env);
    this.driver = new TapDriver(tapFd === undefined ? config(offload) : { ...config(offload), tapFd }, {
      printk: (l) => this.lines.push(l),
      fatal: (l) => this.lines.push(`fatal ${l}`),
    });
  }

  async up(): Promise<this> {
    await this.driver.start({
      frame: (bytes, meta) => {
        this.metas.push({ ...meta });
        this.core.receive(bytes, 2, meta, performance.now());
      },
      done: () => {
        this.core.flush(performance.now());
        for (const { to, skb } of this.passed.splice(0)) this.answer(to, skb);
        this.core.flush(performance.now());
        this.waiting?.();
      },
      sent: () => {},
    });
    const { features } = this.driver;
    this.core.registerNetdevice(
      { ifindex: 2, name: 'skb0', mac: OUR_MAC, mtu: 1500, flags: IFF_UP | IFF_BROADCAST, features },
      this.driver,
    );
    this.core.devAddPack(ETH_P_IP, 'ip_rcv');
    this.core.devAddPack(ETH_P_ARP, 'arp_rcv');
    inPeer('sysctl', '-qw', 'net.ipv6.conf.skbtest0.disable_ipv6=1');
    sh('ip', '-n', NETNS, 'link', 'set', 'skbtest0', 'up');
    return this;
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise<void>((go) => (this.waiting = go));
  }

  /** A finished bottom half for frames of our own making. */
  xmit(f: Uint8Array): void {
    const skb = new SkBuff(f, 0, f.length);
    skb.ifindex = 2;
    this.env.adopt(skb, 0);
    this.core.xmit(skb, 0);
  }

  private answer(to: HandOver, skb: SkBuff): void {
    this.env.ledger.received++;
    this.env.consume(skb);
    if (to === 'arp_rcv') this.answerArp(skb);
    else this.answerIp(skb);
  }

  private answerArp(skb: SkBuff): void {
    const arp = parseArp(skb.buf, skb.data, skb.tail);
    if (arp?.tpa !== US) return;
    this.arps++;
    const f = new Uint8Array(42);
    emitEthernet({ dst: arp.sha, src: OUR_MAC, type: ETH_P_ARP }, f, 0);
    emitArp({ op: ARPOP_REPLY, sha: OUR_MAC, spa: US, tha: arp.sha, tpa: arp.spa }, f, 14);
    this.xmit(f);
  }

  private answerIp(skb: SkBuff): void {
    const packet = skb.bytes();
    const ip = parseIpv4Header(packet, 0, packet.length)!;
    if (ip.proto !== 1) {
      this.largest = Math.max(this.largest, packet.length);
      return;
    }
    if (packet[ip.hlen] !== 8) return;
    this.echos++;
    const f = new Uint8Array(14 + packet.length);
    emitEthernet({ dst: getMac(skb.buf, skb.macHeader + 6), src: OUR_MAC, type: ETH_P_IP }, f, 0);
    f.set(packet, 14);
    emitIpv4Header({ ...ip, saddr: ip.daddr, daddr: ip.saddr }, f, 14);
    const at = 14 + ip.hlen;
    const id = (packet[ip.hlen + 4]! << 8) | packet[ip.hlen + 5]!;
    const seq = (packet[ip.hlen + 6]! << 8) | packet[ip.hlen + 7]!;
    emitIcmp({ type: 0, code: 0, id, seq }, f, at, [f.subarray(at + ICMP_HLEN)]);
    this.xmit(f);
  }
}

const ping = (count: number, ...more: string[]): Promise<string> =>
  import('node:child_process').then(
    ({ execFile }) =>
      new Promise((done) => {
        const args = [
          'netns',
          'exec',
          NETNS,
          'ping',
          '-n',
          '-c',
          String(count),
          '-i',
          '0.01',
          '-W',
          '2',
          ...more,
          '10.77.0.2',
        ];
        execFile('ip', args, (_e, stdout) => done(stdout));
      }),
  );

test('the kernel part of these tests', () => {
  if (why !== undefined) process.stderr.write(`tap: tests against a kernel are skipped: ${why}\n`);
  expect(true).toBe(true);
});

withKernel('a TAP device', () => {
  beforeAll(() => {
    sh('ip', 'netns', 'add', NETNS);
  });
  afterAll(() => {
    sh('ip', 'netns', 'del', NETNS);
  });

  test.each([true, false])('the kernel pings us, and again after a restart (offload %p)', async (offload) => {
    const first = await new Host(offload).up();
    expect(first.driver.features).toEqual({ csum: offload, tso: offload });
    sh('ip', '-n', NETNS, 'addr', 'replace', '10.77.0.1/24', 'dev', 'skbtest0');
    expect(await ping(20)).toContain('20 packets transmitted, 20 received, 0% packet loss');
    expect(first.arps).toBeGreaterThan(0);
    expect(first.echos).toBe(20);
    expect(first.env.ledger.imbalance).toBe(0);
    const index = (): number =>
      (JSON.parse(sh('ip', '-j', '-n', NETNS, 'link', 'show', 'skbtest0')) as { ifindex: number }[])[0]!.ifindex;
    const before = index();
    await first.driver.stop();
    expect(index()).toBe(before); // persistent: the kernel's side and its address stay

    const second = await new Host(offload).up();
    expect(index()).toBe(before);
    expect(await ping(5, '-s', '1400')).toContain('5 packets transmitted, 5 received, 0% packet loss');
    await second.driver.stop();
    expect(removeTap({ ifname: 'skbtest0', netnsPath: `/run/netns/${NETNS}` })).toBe(true);
    expect([...first.lines, ...second.lines]).toEqual([]);
  });

  test.each([true, false])(
    'kept open by another, it waits with its queue for the next (offload %p)',
    async (offload) => {
      const tapFd = inNetns(`/run/netns/${NETNS}`, openTun);
      const first = await new Host(offload, tapFd).up();
      sh('ip', '-n', NETNS, 'addr', 'replace', '10.77.0.1/24', 'dev', 'skbtest0');
      expect(await ping(3)).toContain(' 0% packet loss');
      await first.driver.stop();

      const link = (): { ifindex: number; flags: string[] } =>
        (
          JSON.parse(sh('ip', '-j', '-n', NETNS, 'link', 'show', 'skbtest0')) as [{ ifindex: number; flags: string[] }]
        )[0];
      const { ifindex, flags } = link();
      expect(flags).toContain('LOWER_UP');
      expect(sh('ip', '-n', NETNS, 'neigh', 'show', '10.77.0.2')).toContain('lladdr');
      // Sent while nobody is there.
      inPeer(
        'python3',
        '-c',
        'import socket; socket.socket(socket.AF_INET,socket.SOCK_DGRAM).sendto(b"e"*1200,("10.77.0.2",9))',
      );
      const second = await new Host(offload, tapFd).up();
      await second.until(() => second.largest === 1228);
      expect(await ping(3)).toContain('3 packets transmitted, 3 received, 0% packet loss');
      expect(link().ifindex).toBe(ifindex);

      // Deleted by somebody, and made again with the same descriptor.
      sh('ip', '-n', NETNS, 'link', 'del', 'skbtest0');
      await second.driver.stop();
      const third = await new Host(offload, tapFd).up();
      expect(link().ifindex).not.toBe(ifindex);
      await third.driver.stop();
      sys.close(tapFd);
      expect(() => sh('ip', '-n', NETNS, 'link', 'show', 'skbtest0')).toThrow();
      expect([...first.lines, ...third.lines]).toEqual([]);
    },
  );

  test('bursts arrive whole and in order', async () => {
    const host = await new Host(true).up();
    sh('ip', '-n', NETNS, 'addr', 'replace', '10.77.0.1/24', 'dev', 'skbtest0');
    expect(await ping(3)).toContain(' 0% packet loss');
    const script = [
      'import socket',
      's=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)',
      'for i in range(300): s.sendto(bytes([i%256])*1000,("10.77.0.2",9))',
      's.sendto(b"e"*1200,("10.77.0.2",9))',
    ].join('\n');
    inPeer('python3', '-c', script);
    await host.until(() => host.largest === 1228);
    // The kernel left the UDP checksum to us.
    expect(host.metas.some((m) => m.csum === 'partial')).toBe(true);
    expect(host.env.ledger.imbalance).toBe(0);
    await host.driver.stop();
    removeTap({ ifname: 'skbtest0', netnsPath: `/run/netns/${NETNS}` });
  });

  test('a second program on the same device is told so; a bad name, too', async () => {
    const host = await new Host(true).up();
    await expect(new Host(true).up()).rejects.toThrow('another program is attached');
    await host.driver.stop();
    const bad = new TapDriver(
      { ...config(true), kernelIfname: 'much-too-long-a-name' },
      { printk: () => {}, fatal: () => {} },
    );
    await expect(bad.start({ frame: () => {}, done: () => {}, sent: () => {} })).rejects.toThrow(
      'not a valid interface name',
    );
    const gone = new TapDriver(
      { ...config(true), netnsPath: '/run/netns/no-such' },
      { printk: () => {}, fatal: () => {} },
    );
    await expect(gone.start({ frame: () => {}, done: () => {}, sent: () => {} })).rejects.toThrow(
      '/run/netns/no-such: No such file',
    );
    removeTap({ ifname: 'skbtest0', netnsPath: `/run/netns/${NETNS}` });
  });

  test('the device deleted under us: said once', async () => {
    const lines: string[] = [];
    const fatal = new Promise<string>((done) => {
      const driver = new TapDriver(config(true), { printk: (l) => lines.push(l), fatal: done });
      void driver
        .start({ frame: () => {}, done: () => {}, sent: () => {} })
        .then(() => sh('ip', '-n', NETNS, 'link', 'del', 'skbtest0'));
    });
    expect(await fatal).toContain('skbtest0: the TAP device is gone');
    expect(lines).toEqual([]);
  });
});
