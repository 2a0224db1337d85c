import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { describe, expect, test } from '@jest/globals';
import type { RxMeta } from '@skbus/dev';
import { CHECKSUM_PARTIAL, MAC_BROADCAST, SKB_GSO_TCPV4, SkBuff } from '@skbus/skb';
import { emitEthernet } from '@skbus/wire';
import fc from 'fast-check';
import { ConfigError } from '@skbus/nest-kit';
import { readNicConfig } from '../config.ts';
import { createDriver } from './create.ts';
import type { NicConfig, RxSink } from './driver.ts';
import { FRAME_MAX, FrameRing } from './frame-ring.ts';
import { parseHostPort } from './hostport.ts';
import { UdpDriver } from './udp.ts';
import { readVnetHdr, writeVnetHdr } from './vnet-hdr.ts';
import { WireDriver, type WireFrame, type WireLink } from './wire.ts';

const MAC = 0x02000a4d0002;
const CONFIG: NicConfig = { backend: 'udp', ifname: 'skb0', kernelIfname: 'x', mac: MAC, mtu: 1500, offload: true };
const env = { printk: (): void => {}, fatal: (): void => {} };

const skbOf = (frame: Uint8Array, set: Partial<SkBuff> = {}): SkBuff =>
  Object.assign(new SkBuff(frame.slice(0, 66), 0, Math.min(66, frame.length), [frame.slice(66)]), set);

/** Collects what a driver hands up. */
class Sink implements RxSink {
  readonly frames: { bytes: Uint8Array; meta: RxMeta }[] = [];
  readonly batches: number[] = [];
  private inBatch = 0;

  frame(bytes: Uint8Array, meta: RxMeta): void {
    this.frames.push({ bytes: Uint8Array.from(bytes), meta: { ...meta } });
    this.inBatch++;
  }

  done(): void {
    this.batches.push(this.inBatch);
    this.inBatch = 0;
  }

  /** How often the driver said that frames had left. */
  sentCalls = 0;
  sent(): void {
    this.sentCalls++;
  }

  async until(n: number): Promise<void> {
    while (this.frames.length < n) await new Promise((go) => setImmediate(go));
  }
}

describe('virtio_net_hdr', () => {
  const tcp = (payload: number): Uint8Array => {
    const f = new Uint8Array(66 + payload);
    f[34 + 12] = 0x80; // 32 bytes of TCP header
    return f;
  };
  const sums = { ipSummed: CHECKSUM_PARTIAL, csumStart: 34, csumOffset: 16 };

  test.each<[string, SkBuff, boolean, number[]]>([
    ['nothing to do', skbOf(tcp(100)), true, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['checksum', skbOf(tcp(100), sums), true, [1, 0, 0, 0, 0, 0, 34, 0, 16, 0]],
    [
      'TSO',
      skbOf(tcp(5000), { ...sums, gsoSize: 1448, gsoType: SKB_GSO_TCPV4 }),
      true,
      [1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0],
    ],
    [
      'GSO of one segment',
      skbOf(tcp(1448), { ...sums, gsoSize: 1448, gsoType: SKB_GSO_TCPV4 }),
      true,
      [1, 0, 0, 0, 0, 0, 34, 0, 16, 0],
    ],
    [
      'no TSO',
      skbOf(tcp(5000), { ...sums, gsoSize: 1448, gsoType: SKB_GSO_TCPV4 }),
      false,
      [1, 0, 0, 0, 0, 0, 34, 0, 16, 0],
    ],
  ])('written: %s', (_name, skb, tso, expected) => {
    const b = new Uint8Array(12).fill(0xff);
    writeVnetHdr(skb, tso, b, 0);
    expect([...b.subarray(0, 10)]).toEqual(expected);
  });

  test.each<[string, number[], RxMeta]>([
    ['plain', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0], { csum: 'none' }],
    ['verified', [2, 0, 0, 0, 0, 0, 0, 0, 0, 0], { csum: 'valid' }],
    ['partial', [1, 0, 0, 0, 0, 0, 34, 0, 16, 0], { csum: 'partial', csumStart: 34, csumOffset: 16 }],
    [
      'TSO with ECN',
      [1, 0x81, 66, 0, 0xa8, 5, 34, 0, 16, 0],
      { csum: 'partial', csumStart: 34, csumOffset: 16, gsoSize: 1448, gsoType: 1 },
    ],
    [
      'UFO, never asked for',
      [1, 3, 42, 0, 0, 5, 34, 0, 6, 0],
      { csum: 'partial', csumStart: 34, csumOffset: 6, gsoSize: 1280, gsoType: 0 },
    ],
  ])('read: %s', (_name, bytes, meta) => {
    expect(readVnetHdr(Uint8Array.from(bytes), 0)).toEqual(meta);
  });
});

describe('FrameRing', () => {
  const SIZE = 512 * 1024;

  test('frames of any length come out as they went in', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.integer({ min: 1, max: FRAME_MAX }), { maxLength: 6 }), { maxLength: 40 }),
        (bursts) => {
          const tx = new FrameRing(SIZE);
          const rx = new FrameRing(tx.shared);
          let stamp = 0;
          let expected = 0;
          for (const burst of bursts) {
            for (const n of burst) {
              const at = tx.reserve();
              if (at < 0) break;
              tx.bytes[at] = stamp;
              tx.bytes[at + n - 1] = stamp;
              tx.commit(n);
              stamp = (stamp + 1) & 0xff;
            }
            tx.publish();
            for (let r = rx.next(); r; r = rx.next()) {
              expect(rx.bytes[r.at]).toBe(expected);
              expect(rx.bytes[r.at + r.n - 1]).toBe(expected);
              expected = (expected + 1) & 0xff;
            }
            rx.release();
            expect(expected).toBe(stamp);
          }
        },
      ),
      { seed: 2, numRuns: 50 },
    );
  });

  test('full: no room until something is released, and nothing unread is overwritten', () => {
    const tx = new FrameRing(SIZE);
    const rx = new FrameRing(tx.shared);
    let n = 0;
    for (let at = tx.reserve(); at >= 0; at = tx.reserve()) {
      tx.bytes[at] = n++;
      tx.commit(FRAME_MAX);
    }
    tx.publish();
    expect(n).toBeGreaterThanOrEqual(6);
    const first = rx.next()!;
    expect(rx.bytes[first.at]).toBe(0);
    expect(tx.reserve()).toBe(-1);
    rx.next();
    rx.release();
    expect(tx.reserve()).toBeGreaterThanOrEqual(0);
  });

  test('the consumer is told once until it looks', () => {
    const tx = new FrameRing(SIZE);
    const rx = new FrameRing(tx.shared);
    tx.reserve();
    tx.commit(10);
    expect([tx.publish(), tx.publish()]).toEqual([true, false]);
    rx.hush();
    expect(tx.publish()).toBe(true);
  });
});

describe('udp', () => {
  const peer = async (): Promise<{ socket: Socket; port: number }> => {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return { socket, port: socket.address().port };
  };
  const freePort = async (): Promise<number> => {
    const { socket, port } = await peer();
    socket.close();
    await once(socket, 'close');
    return port;
  };

  test('one frame per datagram, both ways, short ones padded', async () => {
    const { socket, port } = await peer();
    const own = await freePort();
    const driver = new UdpDriver({ ...CONFIG, udpLocal: `127.0.0.1:${own}`, udpPeer: `127.0.0.1:${port}` }, env);
    const sink = new Sink();
    await driver.start(sink);
    expect(driver.features).toEqual({ csum: false, tso: false });
    const long = Uint8Array.from({ length: 1514 }, (_, i) => i);
    expect(driver.xmit(skbOf(long))).toBe(true);
    expect(driver.xmit(skbOf(long.slice(0, 42)))).toBe(true);
    expect(driver.inRing).toBe(2);
    const got: Uint8Array[] = [];
    while (got.length < 2) got.push(Uint8Array.from((await once(socket, 'message'))[0] as Uint8Array));
    expect(got[0]).toEqual(long);
    expect(got[1]).toHaveLength(60);
    for (let i = 0; i < 5; i++) socket.send(long.subarray(0, 100 + i), own, '127.0.0.1');
    await sink.until(5);
    expect(sink.frames.map((f) => f.bytes.length).sort((x, y) => x - y)).toEqual([100, 101, 102, 103, 104]);
    expect([driver.inRing, sink.sentCalls > 0]).toEqual([0, true]);
    await driver.stop();
    socket.close();
  });

  test('a port in use is named, and what to do', async () => {
    const { socket, port } = await peer();
    const driver = new UdpDriver({ ...CONFIG, udpLocal: `127.0.0.1:${port}`, udpPeer: '127.0.0.1:9' }, env);
    await expect(driver.start(new Sink())).rejects.toThrow(`127.0.0.1:${port}: the port is in use; choose another`);
    await driver.stop();
    socket.close();
  });

  test.each([
    [undefined, 'missing'],
    ['1.2.3.4', 'not host:port'],
    ['1.2.3.4:5', 'not a loopback address'],
    ['127.0.0.1:0', 'not host:port'],
    ['127.0.0.1:99999', 'not host:port'],
    ['nosuch:80', 'not an IP address'],
  ])('%p is refused: %s', (text, why) => {
    expect(() => parseHostPort(text, 'nic udp peer', false)).toThrow(why);
  });

  test('told so, other hosts are fine; so are names of this one', () => {
    expect(parseHostPort('10.1.2.3:5', 'x', true)).toEqual({ host: '10.1.2.3', port: 5 });
    expect(parseHostPort('localhost:5', 'x', false)).toEqual({ host: '127.0.0.1', port: 5 });
    expect(parseHostPort('[::1]:5', 'x', false)).toEqual({ host: '::1', port: 5 });
  });
});

describe('wire', () => {
  const frame = (dst: number, n = 100): Uint8Array => {
    const f = new Uint8Array(n);
    emitEthernet({ dst, src: 1, type: 0x800 }, f, 0);
    return f;
  };
  /** A cable of two ports without a bus. */
  const cable = (): { a: WireLink; b: WireLink; messages: WireFrame[][] } => {
    const takes = new Map<number, (f: readonly WireFrame[]) => void>();
    const messages: WireFrame[][] = [];
    const port = (me: number): WireLink => ({
      send: (frames) => {
        messages.push(frames);
        for (const [i, take] of takes) if (i !== me) take(frames);
      },
      onFrames: (take) => {
        takes.set(me, take);
        return Promise.resolve(() => Promise.resolve(void takes.delete(me)));
      },
    });
    return { a: port(0), b: port(1), messages };
  };

  test('a batch is one message; a port keeps its own and broadcasts', async () => {
    const { a, b, messages } = cable();
    const left = new WireDriver({ ...CONFIG, mac: 7 * 2 }, a);
    const right = new WireDriver(CONFIG, b);
    const sink = new Sink();
    await right.start(sink);
    left.xmit(skbOf(frame(MAC)));
    left.xmit(skbOf(frame(MAC_BROADCAST)));
    left.xmit(skbOf(frame(0x020000000009)));
    expect(messages).toHaveLength(0);
    left.flush();
    left.flush();
    expect(messages).toHaveLength(1);
    expect(sink.frames.map((f) => f.bytes)).toEqual([frame(MAC), frame(MAC_BROADCAST)]);
    expect(sink.batches).toEqual([2]);
    expect(right.counters()).toMatchObject({ rx_filtered: 1 });
    await right.stop();
    left.xmit(skbOf(frame(MAC)));
    left.flush();
    expect(sink.frames).toHaveLength(2);
  });

  test('a GSO frame crosses whole, with what the other end must know', async () => {
    const { a, b } = cable();
    const left = new WireDriver(CONFIG, a);
    const right = new WireDriver(CONFIG, b);
    const sink = new Sink();
    await right.start(sink);
    left.xmit(
      skbOf(frame(MAC, 40_000), {
        ipSummed: CHECKSUM_PARTIAL,
        csumStart: 34,
        csumOffset: 16,
        gsoSize: 1448,
        gsoType: SKB_GSO_TCPV4,
      }),
    );
    left.flush();
    expect(sink.frames[0]!.meta).toEqual({
      csum: 'partial',
      csumStart: 34,
      csumOffset: 16,
      gsoSize: 1448,
      gsoType: SKB_GSO_TCPV4,
    });
  });

  test('big batches go out before the end', async () => {
    const { a, messages } = cable();
    const driver = await createDriver({ ...CONFIG, backend: 'wire' }, env, () => a);
    for (let i = 0; i < 70; i++) driver.xmit(skbOf(frame(MAC)));
    expect(messages.map((m) => m.length)).toEqual([64]);
    for (let i = 0; i < 5; i++) driver.xmit(skbOf(frame(MAC, 65_000)));
    expect(messages).toHaveLength(2);
  });
});

describe('configuration', () => {
  test('defaults, and a MAC that a stack keeps', () => {
    const c = readNicConfig({}, 'a');
    expect(c).toMatchObject({ backend: 'wire', ifname: 'skb0', mtu: 1500, offload: true, cable: 'lan' });
    expect(readNicConfig({}, 'a').mac).toBe(c.mac);
    expect(readNicConfig({}, 'b').mac).not.toBe(c.mac);
    expect(readNicConfig({ SKBUS_NIC_MAC: '02:00:0a:4d:00:02', SKBUS_NIC_NETNS: '' }, 'a')).toMatchObject({ mac: MAC });
  });

  test.each([
    ['BACKEND', 'tun'],
    ['MTU', '12'],
    ['MTU', 'x'],
    ['MAC', 'nonsense'],
    ['MAC', 'ff:ff:ff:ff:ff:ff'],
    ['IFNAME', 'a b'],
    ['KERNEL_IFNAME', 'far-too-long-a-name'],
    ['OFFLOAD', 'maybe'],
    ['CABLE', 'a.b'],
  ])('SKBUS_NIC_%s=%s is refused by name', (name, value) => {
    const read = (): unknown => readNicConfig({ [`SKBUS_NIC_${name}`]: value }, 'a');
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(`SKBUS_NIC_${name}`);
  });

  test('udp needs both ends', () => {
    expect(() => readNicConfig({ SKBUS_NIC_BACKEND: 'udp' }, 'a')).toThrow('SKBUS_NIC_UDP_LOCAL: missing');
  });
});
