import { describe, expect, test } from '@jest/globals';
import { ERRNO } from '@skbus/skb';
import { get16, parseIpv4Header } from '@skbus/wire';
import { Host, icmp, ip, outgoing, packet, pattern, PEER } from './testing/host.ts';

describe('link failure', () => {
  test('of a packet of ours comes back to us through lo as host unreachable', () => {
    const h = new Host();
    h.xmit(outgoing(pattern(40), { proto: 6 }), 'ipQueueXmit');
    const failed = h.take()[0]!.skb;
    h.env.ledger.received++;
    h.ip.linkFailure(failed, h.now);
    const back = h.take()[0]!;
    expect(back).toMatchObject({ to: 'dev_queue_xmit', instance: 1 });
    back.skb.pull(14);
    h.rcv(back.skb);
    const [err] = h.take();
    expect(err).toMatchObject({ to: 'tcp_v4_err', skb: { mark: (3 << 8) | 1 } });
    expect(get16(err!.skb.buf, err!.skb.data + 2)).toBe(60);
    expect(h.env.ledger.imbalance).toBe(0);
  });
});

describe('ping', () => {
  test('gets its reply', () => {
    const h = new Host().resolved();
    const got: unknown[] = [];
    h.ip.ping({ id: 9, seq: 3, daddr: PEER, size: 56 }, h.now, (r) => got.push(r), 1000);
    const out = h.take()[0]!.skb;
    expect(parseIpv4Header(out.buf, out.networkHeader, out.tail)).toMatchObject({
      daddr: PEER,
      proto: 1,
      totalLen: 84,
    });
    const message = out.bytes().slice(34);
    message[0] = 0;
    message[2] = message[3] = 0;
    h.now += 5;
    h.rcv(packet({ proto: 1, ttl: 61 }, icmp({ type: 0, id: 9, seq: 3 }, message.subarray(8))));
    expect(got).toEqual([{ errno: 0, from: PEER, ttl: 61, rttMs: 5, type: 0, code: 0, bytes: 64, seq: 3 }]);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('times out, and hears of errors and missing routes', () => {
    const h = new Host().resolved();
    const got: { errno: number; code: number }[] = [];
    const ping = (seq: number, daddr = PEER): void =>
      h.ip.ping({ id: 9, seq, daddr, size: 8 }, h.now, (r) => got.push(r), 1000);
    ping(1);
    expect(h.ip.pollTimeout()).toBe(h.now + 1000);
    h.now += 1000;
    h.ip.handleTimeout(h.now);
    expect(got.pop()).toMatchObject({ errno: ERRNO.ETIMEDOUT, seq: 1 });
    ping(2);
    const quoted = h.take().at(-1)!.skb.bytes().slice(14);
    h.rcv(packet({ proto: 1, saddr: ip('10.77.0.9') }, icmp({ type: 11, code: 0, id: 0, seq: 0 }, quoted)));
    expect(got.pop()).toMatchObject({ errno: ERRNO.EHOSTUNREACH, type: 11, from: ip('10.77.0.9') });
    h.ip.delRoute({ dst: 0, dstLen: 0 });
    ping(3, ip('192.0.2.1'));
    expect(got.pop()).toMatchObject({ errno: ERRNO.ENETUNREACH });
    expect(h.env.ledger.imbalance).toBe(0);
  });
});
