import { describe, expect, test } from '@jest/globals';
import {
  ETH_P_ARP,
  ETH_P_IP,
  MAC_BROADCAST,
  PACKET_BROADCAST,
  PACKET_HOST,
  PACKET_OTHERHOST,
  SkBuff,
} from '@skbus/skb';
import { ARPOP_REPLY, ARPOP_REQUEST, type ArpRepr } from '@skbus/wire';
import fc from 'fast-check';
import { ADDR, Bench, ip, OTHER_MAC, OUR_MAC, PEER, PEER_MAC, US } from './testing/bench.ts';

describe('arp_process', () => {
  test('a request for us is answered, and the asker learnt as stale', () => {
    const b = new Bench();
    b.arp({ op: ARPOP_REQUEST, tha: 0 }, PACKET_BROADCAST);
    expect(b.frames()).toEqual([
      {
        dst: PEER_MAC,
        src: OUR_MAC,
        type: ETH_P_ARP,
        arp: { op: ARPOP_REPLY, sha: OUR_MAC, spa: US, tha: PEER_MAC, tpa: PEER },
      },
    ]);
    expect(b.state()).toBe('STALE');
    expect(b.points.filter((p) => p.startsWith('neigh_event') || p.startsWith('arp_s'))).toEqual([
      'neigh_event_ns',
      'arp_send_dst',
    ]);
  });

  test.each<[string, Partial<ArpRepr>, number, number, string | undefined]>([
    ['request for somebody else', { op: ARPOP_REQUEST, tpa: ip('10.77.0.7') }, PACKET_BROADCAST, 0, undefined],
    ['probe before use of our address (RFC 5227)', { op: ARPOP_REQUEST, spa: 0 }, PACKET_BROADCAST, 1, undefined],
    ['probe for somebody else', { op: ARPOP_REQUEST, spa: 0, tpa: ip('10.77.0.7') }, PACKET_BROADCAST, 0, undefined],
    ['unsolicited reply', {}, PACKET_HOST, 0, undefined],
    ['gratuitous request', { op: ARPOP_REQUEST, tpa: PEER }, PACKET_BROADCAST, 0, undefined],
    ['multicast target', { op: ARPOP_REQUEST, tpa: ip('224.0.0.1') }, PACKET_BROADCAST, 0, undefined],
    ['loopback target', { op: ARPOP_REQUEST, tpa: ip('127.0.0.1') }, PACKET_BROADCAST, 0, undefined],
    ['martian sender', { op: ARPOP_REQUEST, spa: ip('224.0.0.1') }, PACKET_BROADCAST, 0, undefined],
    ['for another host', { op: ARPOP_REQUEST }, PACKET_OTHERHOST, 0, undefined],
  ])('%s', (_name, arp, pktType, replies, state) => {
    const b = new Bench();
    b.arp(arp, pktType);
    expect(b.frames()).toHaveLength(replies);
    expect(b.state()).toBe(state);
    expect(b.env.ledger.consumed).toBe(1);
    expect(b.env.ledger.imbalance).toBe(0);
  });

  test('arp_accept makes entries of announcements', () => {
    const b = new Bench({ arpAccept: true });
    b.arp({ op: ARPOP_REQUEST, tpa: PEER, tha: 0 }, PACKET_BROADCAST);
    expect(b.state()).toBe('STALE');
  });

  test('a second, different answer within locktime is ignored; later it takes over', () => {
    const b = new Bench();
    b.resolve();
    b.sleep(500);
    b.arp({ sha: OTHER_MAC });
    expect(b.table.entries()[0]!.lladdr).toBe(PEER_MAC);
    b.sleep(1000);
    b.arp({ sha: OTHER_MAC });
    expect(b.table.entries()[0]!.lladdr).toBe(OTHER_MAC);
    expect(b.updates.at(-1)).toMatchObject({ connected: true, lladdr: OTHER_MAC });
  });

  test('an announcement overrides at once', () => {
    const b = new Bench();
    b.resolve();
    b.arp({ op: ARPOP_REQUEST, sha: OTHER_MAC, tpa: PEER, tha: 0 }, PACKET_BROADCAST);
    expect(b.table.entries()[0]!.lladdr).toBe(OTHER_MAC);
    expect(b.state()).toBe('STALE');
    expect(b.updates.at(-1)).toMatchObject({ connected: false });
  });

  test('a broadcast reply does not prove reachability', () => {
    const b = new Bench();
    b.send();
    b.arp({}, PACKET_BROADCAST);
    expect(b.state()).toBe('DELAY'); // stale, and used at once by the packet that waited
    expect(b.frames().at(-1)).toMatchObject({ dst: PEER_MAC, type: ETH_P_IP });
  });

  test('somebody claims our address: reported, nothing learnt', () => {
    const b = new Bench();
    b.arp({ op: ARPOP_REQUEST, spa: US, tpa: US, sha: OTHER_MAC }, PACKET_BROADCAST);
    expect(b.conflicts).toEqual([[US, OTHER_MAC]]);
    expect(b.table.entries()).toEqual([]);
    b.arp({ op: ARPOP_REQUEST, spa: US, tpa: US, sha: OUR_MAC }, PACKET_BROADCAST); // our own, come back from a hub
    expect(b.conflicts).toHaveLength(1);
  });

  test.each([
    [0, true],
    [1, true],
    [2, true],
    [3, true],
    [8, false],
  ])('arp_ignore %i', (arpIgnore, answered) => {
    const b = new Bench({ arpIgnore });
    b.arp({ op: ARPOP_REQUEST }, PACKET_BROADCAST);
    expect(b.frames()).toHaveLength(answered ? 1 : 0);
  });

  test('arp_ignore 1: not for an address of another device', () => {
    const b = new Bench({ arpIgnore: 1 });
    b.table.setLocalAddrs([ADDR, { ...ADDR, ifindex: 3, local: ip('10.88.0.2'), label: 'x' }], b.now);
    b.arp({ op: ARPOP_REQUEST, tpa: ip('10.88.0.2') }, PACKET_BROADCAST);
    expect(b.frames()).toHaveLength(0);
  });

  test('arp_notify announces a new address, once', () => {
    const b = new Bench({ arpNotify: true });
    expect(b.frames()).toMatchObject([{ dst: MAC_BROADCAST, arp: { op: ARPOP_REQUEST, spa: US, tpa: US, tha: 0 } }]);
    b.table.setLocalAddrs([ADDR], b.now);
    expect(b.frames()).toHaveLength(1);
  });

  test.each([
    ['announce 0', 0, ip('10.77.0.2')],
    ['announce 2', 2, ip('10.77.0.2')],
  ])("the request shows an address of the target's subnet (%s)", (_n, arpAnnounce, spa) => {
    const b = new Bench({ arpAnnounce });
    b.table.setLocalAddrs([{ ...ADDR, local: ip('192.168.1.2'), broadcast: 0 }, ADDR], b.now);
    b.send();
    expect(b.frames()[0]!.arp!.spa).toBe(spa);
  });

  test('random bytes never throw, and every skb is accounted for', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.boolean(), (bytes, wellFormed) => {
        const b = new Bench();
        const data = Uint8Array.from(bytes);
        if (wellFormed && data.length >= 8) data.set([0, 1, 8, 0, 6, 4, 0, 1 + (data[7]! & 1)]);
        const skb = new SkBuff(data, 0, data.length);
        skb.ifindex = 2;
        b.env.ledger.received++;
        b.table.arpRcv(skb, b.now);
        expect(b.env.ledger.imbalance).toBe(0);
      }),
      { seed: 1, numRuns: 500 },
    );
  });
});
