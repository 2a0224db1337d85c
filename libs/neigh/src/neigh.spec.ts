import { describe, expect, test } from '@jest/globals';
import {
  ETH_P_ARP,
  ETH_P_IP,
  MAC_BROADCAST,
  NUD_DELAY,
  NUD_FAILED,
  NUD_INCOMPLETE,
  NUD_NOARP,
  NUD_PERMANENT,
  NUD_PROBE,
  NUD_REACHABLE,
  PACKET_BROADCAST,
} from '@skbus/skb';
import { ARPOP_REQUEST } from '@skbus/wire';
import fc from 'fast-check';
import { isLegalNud, LEGAL_NUD } from './nud.ts';
import { Bench, ip, OTHER_MAC, OUR_MAC, PEER, PEER_MAC, US } from './testing/bench.ts';

describe('resolution', () => {
  test('a packet to an unknown neighbour waits for the answer to a broadcast, then goes out', () => {
    const b = new Bench();
    const skb = b.send();
    expect(b.state()).toBe('INCOMPLETE');
    expect(b.frames()).toEqual([
      {
        dst: MAC_BROADCAST,
        src: OUR_MAC,
        type: ETH_P_ARP,
        arp: { op: ARPOP_REQUEST, sha: OUR_MAC, spa: US, tha: 0, tpa: PEER },
      },
    ]);
    expect(b.env.ledger.queued).toBe(1);
    b.arp({});
    expect(b.state()).toBe('REACHABLE');
    expect(b.passed.at(-1)!.skb).toBe(skb);
    expect(b.frames().at(-1)).toMatchObject({ dst: PEER_MAC, src: OUR_MAC, type: ETH_P_IP });
    expect(b.updates).toMatchObject([
      { epoch: 5, ifindex: 2, addr: PEER, lladdr: PEER_MAC, devAddr: OUR_MAC, connected: true },
    ]);
    expect(b.env.ledger.imbalance).toBe(0);
  });

  test('the trace points of the kernel, in its order', () => {
    const b = new Bench();
    b.send();
    expect(b.points).toEqual([
      '__neigh_create',
      'neigh_output',
      'neigh_resolve_output',
      'neigh_event_send',
      '__neigh_event_send',
      'neigh_probe',
      'arp_solicit',
      'arp_send_dst',
      'arp_create',
      'arp_xmit',
      'arp_xmit_finish',
    ]);
    b.points.length = 0;
    b.arp({});
    expect(b.points).toEqual([
      'arp_rcv',
      'arp_process',
      'neigh_update',
      'neigh_resolve_output',
      'neigh_event_send',
      'eth_header',
      'consume_skb',
    ]);
  });

  test('a hint about a neighbour it does not know makes it ask: IP still has the header of the table before', () => {
    const b = new Bench();
    b.table.hint({ ifindex: 2, addr: PEER, confirm: false }, b.now);
    expect(b.state()).toBe('INCOMPLETE');
    expect(b.frames()).toHaveLength(1);
    b.arp({});
    expect(b.state()).toBe('REACHABLE');
    expect(b.updates.at(-1)).toMatchObject({ addr: PEER, connected: true });
    expect(b.env.ledger.imbalance).toBe(0);
  });

  test('no answer: three broadcasts a second apart, then every waiting packet is reported to IP', () => {
    const b = new Bench();
    b.send();
    b.send();
    b.sleep(2999);
    expect(b.frames()).toHaveLength(3);
    expect(b.state()).toBe('INCOMPLETE');
    b.sleep(2);
    expect(b.state()).toBe('FAILED');
    expect(b.passed.filter((p) => p.to === 'ipv4_link_failure')).toHaveLength(2);
    expect(b.table.stats.res_failed).toBe(1);
    expect(b.env.ledger.imbalance).toBe(0);
    b.send();
    expect(b.state()).toBe('INCOMPLETE'); // the next packet tries anew
  });

  test('the queue is bounded in bytes and drops the oldest', () => {
    const b = new Bench({ queueLenBytes: 5000 });
    const sent = Array.from({ length: 6 }, () => b.send(PEER, { size: 600 }));
    const dropped = b.env.ledger.drops.get('NEIGH_QUEUEFULL')!;
    expect(dropped).toBeGreaterThan(0);
    expect(b.table.stats.unresolved_discards).toBe(dropped);
    b.passed.length = 0;
    b.arp({});
    expect(b.passed.map((p) => p.skb)).toEqual(sent.slice(dropped));
    expect(b.env.ledger.imbalance).toBe(0);
  });

  test('no probes configured: dropped as NEIGH_FAILED', () => {
    const b = new Bench({ mcastSolicit: 0 });
    b.send();
    expect(b.env.ledger.drops.get('NEIGH_FAILED')).toBe(1);
    expect(b.state()).toBe('FAILED');
  });

  test('a device nobody knows: NEIGH_CREATEFAIL', () => {
    const b = new Bench();
    b.send(PEER, { ifindex: 9 });
    expect(b.env.ledger.drops.get('NEIGH_CREATEFAIL')).toBe(1);
    expect(b.env.ledger.imbalance).toBe(0);
  });

  test.each([
    ['limited broadcast', '255.255.255.255', MAC_BROADCAST],
    ['subnet broadcast', '10.77.0.255', MAC_BROADCAST],
    ['multicast (RFC 1112)', '224.129.2.3', 0x01005e010203],
  ])('%s needs no ARP', (_what, addr, mac) => {
    const b = new Bench();
    b.send(ip(addr));
    expect(b.frames()).toMatchObject([{ dst: mac, type: ETH_P_IP }]);
    expect(b.state(ip(addr))).toBe('NOARP');
  });

  test('the loopback device has one neighbour, without ARP', () => {
    const b = new Bench();
    b.send(ip('127.0.0.1'), { ifindex: 1 });
    b.send(ip('127.0.0.9'), { ifindex: 1 });
    expect(b.frames()).toMatchObject([
      { dst: 0, src: 0 },
      { dst: 0, src: 0 },
    ]);
    expect(b.table.entries()).toHaveLength(1);
  });
});

describe('states and timers', () => {
  test('unused, a reachable neighbour becomes stale within 15 to 45 s, and IP is told', () => {
    const b = new Bench();
    b.resolve();
    const start = b.now;
    while (b.state() === 'REACHABLE') b.sleep(100);
    expect(b.now - start).toBeGreaterThanOrEqual(15_000);
    expect(b.now - start).toBeLessThanOrEqual(45_200);
    expect(b.state()).toBe('STALE');
    expect(b.updates.at(-1)).toMatchObject({ connected: false, addr: PEER });
  });

  test('stale and used: DELAY for 5 s, then up to three unicast probes, then FAILED', () => {
    const b = new Bench();
    b.resolve();
    b.sleep(60_000);
    expect(b.state()).toBe('STALE');
    b.passed.length = 0;
    b.send();
    expect(b.state()).toBe('DELAY');
    expect(b.frames()).toMatchObject([{ dst: PEER_MAC, type: ETH_P_IP }]); // the old address is good enough meanwhile
    expect(b.updates.at(-1)).toMatchObject({ connected: true, validMs: 6000 });
    b.sleep(4999);
    expect(b.frames()).toHaveLength(1);
    b.sleep(2);
    expect(b.state()).toBe('PROBE');
    expect(b.updates.at(-1)).toMatchObject({ connected: false });
    expect(b.frames().at(-1)).toMatchObject({ dst: PEER_MAC, type: ETH_P_ARP });
    b.sleep(3000);
    expect(b.frames().filter((f) => f.type === ETH_P_ARP)).toHaveLength(3);
    expect(b.state()).toBe('FAILED');
  });

  test('an answer to a probe makes it reachable again', () => {
    const b = new Bench();
    b.resolve();
    b.sleep(60_000);
    b.send();
    b.sleep(5001);
    expect(b.state()).toBe('PROBE');
    b.arp({});
    expect(b.state()).toBe('REACHABLE');
    expect(b.updates.at(-1)).toMatchObject({ connected: true });
  });

  test('a transport that hears from the host saves the probe', () => {
    const b = new Bench();
    b.resolve();
    b.sleep(60_000);
    b.send();
    b.sleep(3000);
    b.table.hint({ ifindex: 2, addr: PEER, confirm: true }, b.now);
    b.passed.length = 0;
    b.sleep(2100);
    expect(b.state()).toBe('REACHABLE');
    expect(b.frames()).toHaveLength(0);
  });

  test('confirmed all the time it stays reachable, and IP is told again before its copy runs out', () => {
    const b = new Bench();
    b.resolve();
    let validUntil = b.now + 46_000;
    for (let i = 0; i < 200; i++) {
      b.sleep(1000);
      b.table.hint({ ifindex: 2, addr: PEER, confirm: true }, b.now);
      for (const u of b.updates.splice(0)) {
        expect(u.connected).toBe(true);
        validUntil = b.now + u.validMs;
      }
      expect(validUntil).toBeGreaterThan(b.now);
    }
    expect(b.state()).toBe('REACHABLE');
  });

  test('used within the last 5 s at the end of the reachable time: DELAY, not STALE', () => {
    const b = new Bench();
    b.resolve();
    for (let i = 0; i < 60 && b.state() === 'REACHABLE'; i++) {
      b.sleep(1000);
      b.table.hint({ ifindex: 2, addr: PEER, confirm: false }, b.now);
    }
    expect(b.state()).toBe('DELAY');
  });

  test('IP that asks although the neighbour is connected is told again, once per burst', () => {
    const b = new Bench();
    b.resolve();
    b.sleep(200);
    b.send();
    b.send();
    expect(b.updates).toHaveLength(1);
    expect(b.updates[0]).toMatchObject({ connected: true, lladdr: PEER_MAC });
  });

  test('a timeout that comes early does nothing', () => {
    const b = new Bench();
    b.resolve();
    const before = JSON.stringify(b.table.entries());
    b.table.handleTimeout(b.now);
    b.table.handleTimeout(b.now + 1);
    expect(JSON.stringify(b.table.entries())).toBe(before);
  });

  test('every transition of a long random life is in the table', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(6), fc.nat(12_000)), { maxLength: 60 }), fc.nat(), (events, seed) => {
        const b = new Bench({ mcastResolicit: seed % 2 });
        let last = b.state() ?? 'NONE';
        // Several steps may lie between two looks; the engine checks each and prints a line when it refuses one.
        const watch = (): void => {
          const now = b.state() ?? 'NONE';
          if (now !== last) seen.add(`${last}>${now}`);
          last = now;
        };
        for (const [kind, ms] of events) {
          if (kind === 0) b.send();
          else if (kind === 1) b.arp({});
          else if (kind === 2) b.arp({ op: ARPOP_REQUEST, tha: 0 }, PACKET_BROADCAST);
          else if (kind === 3) b.arp({ sha: OTHER_MAC });
          else if (kind === 4) b.table.hint({ ifindex: 2, addr: PEER, confirm: ms % 2 === 0 }, b.now);
          else if (kind === 5) b.sleep(ms * 5);
          else b.sleep(ms);
          watch();
        }
        expect(b.lines).toEqual([]);
        expect(b.env.ledger.imbalance).toBe(0);
      }),
      { seed: 42, numRuns: 150 },
    );
    for (const want of [
      'NONE>INCOMPLETE',
      'INCOMPLETE>REACHABLE',
      'REACHABLE>STALE',
      'STALE>DELAY',
      'INCOMPLETE>FAILED',
    ]) {
      expect([...seen]).toContain(want);
    }
  });

  test('the table of transitions: administrative states are left by nothing else', () => {
    for (const to of LEGAL_NUD.keys()) {
      expect(isLegalNud(NUD_PERMANENT, to)).toBe(false);
      expect(isLegalNud(NUD_NOARP, to)).toBe(false);
    }
    expect(isLegalNud(NUD_INCOMPLETE, NUD_DELAY)).toBe(false);
    expect(isLegalNud(NUD_REACHABLE, NUD_PROBE)).toBe(false);
    expect(isLegalNud(NUD_DELAY, NUD_FAILED)).toBe(false);
  });
});
