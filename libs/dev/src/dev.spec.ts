import { describe, expect, test } from '@jest/globals';
import {
  CHECKSUM_PARTIAL,
  CHECKSUM_UNNECESSARY,
  ERRNO,
  ETH_P_IP,
  MAC_BROADCAST,
  PACKET_BROADCAST,
  PACKET_HOST,
  PACKET_MULTICAST,
  PACKET_OTHERHOST,
  SKB_GSO_TCPV4,
} from '@skbus/skb';
import { emitEthernet, put16, TCP_ACK, TCP_PSH } from '@skbus/wire';
import fc from 'fast-check';
import { flatStats, type RxMeta } from './netdevice.ts';
import { ALL, Bench, bytes, DEV, NONE, OUR_MAC, PEER_MAC, PLAIN, tcpFrame, TS } from './testing/bench.ts';

describe('devices', () => {
  test('registration refuses doubles and nonsense', () => {
    const b = new Bench();
    expect(b.core.registerNetdevice({ ...DEV, features: NONE }, b.driver())).toBe(ERRNO.EEXIST);
    expect(b.core.registerNetdevice({ ...DEV, ifindex: 3, features: NONE }, b.driver())).toBe(ERRNO.EEXIST);
    expect(b.core.registerNetdevice({ ...DEV, ifindex: 3, name: 'x', mtu: 67, features: NONE }, b.driver())).toBe(
      ERRNO.EINVAL,
    );
    expect(b.core.devices().map((d) => d.name)).toEqual(['lo', 'skb0']);
  });

  test('MTU and up/down', () => {
    const b = new Bench();
    expect(b.core.setMtu(2, 1400)).toMatchObject({ mtu: 1400 });
    expect(b.core.setMtu(2, 60)).toBe(ERRNO.EINVAL);
    expect(b.core.setMtu(9, 1400)).toBe(ERRNO.ENODEV);
    b.core.setUp(2, false);
    b.rx(tcpFrame({ seq: 1, payload: bytes(10) }));
    b.xmit(tcpFrame({ seq: 1, payload: bytes(10) }, 'out'));
    b.end();
    expect(b.env.ledger.drops.get('DEV_READY')).toBe(2);
    expect(flatStats(b.core.stats(2)!)).toMatchObject({ rx_dropped: 1, tx_dropped: 1, rx_packets: 0 });
    b.core.setUp(2, true);
    b.rx(tcpFrame({ seq: 1, payload: bytes(10) }));
    b.end();
    expect(b.passed).toHaveLength(1);
  });
});

describe('receive', () => {
  test('a frame reaches the registered protocol, with data at its header', () => {
    const b = new Bench();
    const f = tcpFrame({ seq: 1, payload: bytes(300) });
    b.rx(f, { csum: 'valid' });
    b.end();
    const { to, skb } = b.passed[0]!;
    expect(to).toBe('ip_rcv');
    expect(skb.protocol).toBe(ETH_P_IP);
    expect([skb.macHeader, skb.networkHeader, skb.data]).toEqual([0, 14, 14]);
    expect(skb.ipSummed).toBe(CHECKSUM_UNNECESSARY);
    expect(skb.headLen).toBe(20 + 20 + TS);
    expect(skb.bytes()).toEqual(f.subarray(14));
    expect(skb.pktType).toBe(PACKET_HOST);
    expect(flatStats(b.core.stats(2)!)).toMatchObject({ rx_packets: 1, rx_bytes: f.length });
  });

  test('the trace points of a received segment', () => {
    const b = new Bench();
    b.rx(tcpFrame({ seq: 1, payload: bytes(3), flags: TCP_ACK | TCP_PSH }));
    expect(b.points).toEqual([
      'tun_get_user',
      'eth_type_trans',
      'napi_gro_receive',
      'netif_receive_skb',
      '__netif_receive_skb_core',
    ]);
  });

  test.each([
    [OUR_MAC, PACKET_HOST],
    [MAC_BROADCAST, PACKET_BROADCAST],
    [0x01005e000001, PACKET_MULTICAST],
    [0x020000000001, PACKET_OTHERHOST],
  ])('eth_type_trans: %p', (dst, pktType) => {
    const b = new Bench();
    const f = tcpFrame({ seq: 1, payload: bytes(1) });
    emitEthernet({ dst, src: PEER_MAC, type: ETH_P_IP }, f, 0);
    b.rx(f);
    b.end();
    expect(b.passed[0]!.skb.pktType).toBe(pktType);
  });

  test('nobody registered: UNHANDLED_PROTO; a length instead of a type, too', () => {
    const b = new Bench();
    const f = new Uint8Array(60);
    emitEthernet({ dst: OUR_MAC, src: PEER_MAC, type: 0x86dd }, f, 0);
    b.rx(f);
    emitEthernet({ dst: OUR_MAC, src: PEER_MAC, type: 46 }, f, 0);
    b.rx(f);
    b.core.devRemovePack(ETH_P_IP);
    b.rx(tcpFrame({ seq: 1, payload: bytes(1) }));
    b.end();
    expect(b.env.ledger.drops.get('UNHANDLED_PROTO')).toBe(3);
    expect(b.core.stats(2)!.rx.dropped).toBe(3);
  });

  test('too short for an Ethernet header: HDR_TRUNC', () => {
    const b = new Bench();
    b.rx(new Uint8Array(13));
    b.rx(new Uint8Array(0));
    b.end();
    expect(b.env.ledger.drops.get('HDR_TRUNC')).toBe(2);
    expect(b.core.stats(2)!.rx.errors).toBe(2);
  });

  test('checksum left to us by a sender on this machine: good, and its place is noted', () => {
    const b = new Bench(ALL);
    b.rx(tcpFrame({ seq: 1, payload: bytes(100) }, 'in', false), { csum: 'partial', csumStart: 34, csumOffset: 16 });
    b.end();
    expect(b.passed[0]!.skb).toMatchObject({ ipSummed: CHECKSUM_UNNECESSARY, csumStart: 34, csumOffset: 16 });
  });

  test('a GSO frame passes whole', () => {
    const b = new Bench(ALL);
    const f = tcpFrame({ seq: 1, payload: bytes(60_000) }, 'in', false);
    b.rx(f, { csum: 'partial', csumStart: 34, csumOffset: 16, gsoSize: 1448, gsoType: SKB_GSO_TCPV4 });
    expect(b.passed[0]!.skb).toMatchObject({ gsoSize: 1448, gsoSegs: 42, gsoType: SKB_GSO_TCPV4 });
    b.end();
  });

  test.each<[string, RxMeta]>([
    ['a GSO kind nobody asked for', { csum: 'partial', csumStart: 34, csumOffset: 16, gsoSize: 1448, gsoType: 0 }],
    ['a checksum outside of the frame', { csum: 'partial', csumStart: 9000, csumOffset: 16 }],
    ['a checksum in the Ethernet header', { csum: 'partial', csumStart: 2, csumOffset: 2 }],
  ])('%s: SKB_BAD_GSO', (_name, meta) => {
    const b = new Bench(ALL);
    b.rx(tcpFrame({ seq: 1, payload: bytes(100) }), meta);
    b.end();
    expect(b.env.ledger.drops.get('SKB_BAD_GSO')).toBe(1);
  });

  test('random frames never throw, and every skb is accounted for', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 0, max: 3 })), { maxLength: 8 }),
        fc.record({ csumStart: fc.nat(300), csumOffset: fc.nat(300), gsoSize: fc.nat(3000), gsoType: fc.nat(2) }),
        (frames, meta) => {
          const b = new Bench();
          for (const [raw, kind] of frames) {
            const f = Uint8Array.from(raw);
            if (kind > 0 && f.length >= 14) emitEthernet({ dst: OUR_MAC, src: PEER_MAC, type: ETH_P_IP }, f, 0);
            if (kind > 1 && f.length >= 34) {
              f[14] = 0x45;
              f[23] = 6;
              put16(f, 20, 0);
              put16(f, 16, f.length - 14);
              put16(f, 24, 0);
            }
            b.rx(f, kind === 3 ? { csum: 'partial', ...meta } : PLAIN);
          }
          b.end();
        },
      ),
      { seed: 3, numRuns: 400 },
    );
  });
});

describe('loopback', () => {
  const local = (n: number): Uint8Array => {
    const f = tcpFrame({ seq: 1, payload: bytes(n) }, 'out', false);
    emitEthernet({ dst: 0, src: 0, type: ETH_P_IP }, f, 0);
    return f;
  };

  test('what is sent comes back in at the end of the batch, GSO whole', () => {
    const b = new Bench();
    const set = {
      ifindex: 1,
      ipSummed: CHECKSUM_PARTIAL,
      csumStart: 34,
      csumOffset: 16,
      gsoSize: 1448,
      gsoType: SKB_GSO_TCPV4,
    };
    const skb = b.xmit(local(30_000), set);
    expect(b.passed).toEqual([]);
    expect(b.env.ledger.queued).toBe(1);
    b.end();
    expect(b.passed).toEqual([{ to: 'ip_rcv', skb, instance: 0 }]);
    expect(skb).toMatchObject({
      pktType: PACKET_HOST,
      data: 14,
      ipSummed: CHECKSUM_UNNECESSARY,
      gsoSize: 1448,
      ifindex: 1,
    });
    expect(b.points.slice(-6)).toEqual([
      'loopback_xmit',
      'eth_type_trans',
      'netif_rx',
      'net_dev_xmit',
      'netif_receive_skb',
      '__netif_receive_skb_core',
    ]);
    expect(flatStats(b.core.stats(1)!)).toMatchObject({ rx_packets: 1, tx_packets: 1 });
  });

  test('the backlog is bounded: CPU_BACKLOG', () => {
    const b = new Bench(NONE, { backlogMax: 3 });
    for (let i = 0; i < 5; i++) b.xmit(local(10), { ifindex: 1 });
    b.end();
    expect(b.env.ledger.drops.get('CPU_BACKLOG')).toBe(2);
    expect(b.passed).toHaveLength(3);
  });
});
