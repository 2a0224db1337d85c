import { describe, expect, test } from '@jest/globals';
import {
  ERRNO,
  ETH_P_IP,
  MAC_BROADCAST,
  NUD_DELAY,
  NUD_FAILED,
  NUD_NOARP,
  NUD_PERMANENT,
  NUD_PROBE,
  NUD_STALE,
} from '@skbus/skb';
import { nudName } from './nud.ts';
import { ADDR, Bench, DEV, ip, OTHER_MAC, PEER, PEER_MAC } from './testing/bench.ts';

describe('administration and garbage collection', () => {
  test('a permanent entry is used at once, not changed by ARP and not collected', () => {
    const b = new Bench({ gcThresh1: 0 });
    expect(b.table.set(2, PEER, PEER_MAC, NUD_PERMANENT, b.now)).toBe(0);
    b.send();
    expect(b.frames()).toMatchObject([{ dst: PEER_MAC, type: ETH_P_IP }]);
    b.sleep(2000);
    b.arp({ sha: OTHER_MAC });
    b.sleep(600_000);
    expect(b.table.entries()).toMatchObject([{ addr: PEER, lladdr: PEER_MAC, state: NUD_PERMANENT }]);
    expect(b.updates.filter((u) => !u.connected)).toEqual([]);
    expect(b.table.flushEntries(0, b.now)).toBe(0);
    expect(b.table.del(2, PEER, b.now)).toBe(0);
    expect(b.table.entries()).toEqual([]);
    expect(b.updates.at(-1)).toMatchObject({ connected: false });
  });

  test("errors are Linux's", () => {
    const b = new Bench();
    expect(b.table.set(9, PEER, PEER_MAC, NUD_PERMANENT, b.now)).toBe(ERRNO.ENODEV);
    expect(b.table.set(2, PEER, undefined, NUD_PERMANENT, b.now)).toBe(ERRNO.EINVAL);
    expect(b.table.set(2, PEER, PEER_MAC, 3, b.now)).toBe(ERRNO.EINVAL);
    expect(b.table.del(2, PEER, b.now)).toBe(ERRNO.ENOENT);
  });

  test('deleting an entry reports what waited for it', () => {
    const b = new Bench();
    b.send();
    b.table.del(2, PEER, b.now);
    expect(b.passed.at(-1)!.to).toBe('ipv4_link_failure');
    expect(b.env.ledger.imbalance).toBe(0);
  });

  test('a device that goes away takes its entries and their packets with it', () => {
    const b = new Bench();
    b.send();
    b.table.addDevice({ ...DEV, flags: 0 }, b.now);
    expect(b.table.entries()).toEqual([]);
    expect(b.env.ledger.drops.get('NEIGH_DEAD')).toBe(1);
    expect(b.env.ledger.imbalance).toBe(0);
    expect(b.env.ledger.queued).toBe(0);
  });

  test('a new MAC of the device empties the table; a new MTU does not', () => {
    const b = new Bench();
    b.resolve();
    b.table.addDevice({ ...DEV, mtu: 1400 }, b.now);
    expect(b.table.entries()).toHaveLength(1);
    b.table.addDevice({ ...DEV, mac: OTHER_MAC }, b.now);
    expect(b.table.entries()).toHaveLength(0);
  });

  test('the periodic collection removes failed and long unused entries above gc_thresh1', () => {
    const b = new Bench({ gcThresh1: 1 });
    b.resolve();
    b.send(ip('10.77.0.9')); // never answers
    b.sleep(40_000);
    expect(b.state(ip('10.77.0.9'))).toBeUndefined();
    expect(b.table.stats.periodic_gc_runs).toBeGreaterThan(0);
  });

  test('the table is full: a collection is forced; nothing to collect: refused and counted', () => {
    const b = new Bench({ gcThresh2: 4, gcThresh3: 8, queueLenBytes: 1_000_000 });
    for (let i = 10; i < 30; i++) b.send(ip(`10.77.0.${i}`));
    // INCOMPLETE entries have a running timer and stay.
    expect(b.table.stats.entries).toBe(8);
    expect(b.table.stats.table_fulls).toBe(12);
    expect(b.env.ledger.drops.get('NEIGH_CREATEFAIL')).toBe(12);
    expect(b.lines).toEqual(['neighbour: arp_cache: neighbor table overflow!']);
    b.sleep(10_000); // they fail, and can go
    b.send(ip('10.77.0.200'));
    expect(b.state(ip('10.77.0.200'))).toBe('INCOMPLETE');
    expect(b.env.ledger.imbalance).toBe(0);
  });

  test("an entry that becomes the subnet's broadcast address is forgotten", () => {
    const b = new Bench();
    b.send(ip('10.77.0.127'));
    b.arp({ spa: ip('10.77.0.127') });
    b.table.setLocalAddrs([{ ...ADDR, prefixLen: 25, broadcast: ip('10.77.0.127') }], b.now);
    b.passed.length = 0;
    b.send(ip('10.77.0.127'));
    expect(b.frames()).toMatchObject([{ dst: MAC_BROADCAST }]);
  });

  test('states by name', () => {
    expect([NUD_STALE, NUD_DELAY, NUD_PROBE, NUD_FAILED, NUD_NOARP].map(nudName)).toEqual([
      'STALE',
      'DELAY',
      'PROBE',
      'FAILED',
      'NOARP',
    ]);
  });
});
