import { describe, expect, test } from '@jest/globals';
import { errnoName, FIONREAD, MSG_OOB, POLLPRI, SIOCATMARK } from '@skbus/skb';
import { twoHosts, type Program } from '@skbus/sim';
import { TCP_ACK, TCP_URG } from '@skbus/wire';
import { dataSent, established, injectRaw, SK, type Scripted } from './peer.ts';

/** The application writes `n` bytes at `offset` with MSG_OOB: the last of them is urgent. */
function writeUrgent(t: Scripted, offset: number, n: number): void {
  const at = { rcvGot: 0, rcvRead: 0, finGot: false, haveChild: true, accepted: true };
  const data = { offset, data: new Uint8Array(n).fill(7) };
  t.cmd({ sk: SK, data, view: { ...at, sndTo: offset + n, urgTo: offset + n } });
}

/** Two programs that are connected. */
function pair(): { a: Program; b: Program; c: number; s: number } {
  const two = twoHosts();
  const l = two.onB.listen(80);
  const { fd: c } = two.onA.connect('10.77.0.2', 80);
  return { a: two.onA, b: two.onB, c, s: two.onB.must({ call: 'accept', fd: l, flags: 0 }) };
}

const bytes = (text: string): Uint8Array[] => [new TextEncoder().encode(text)];

describe('urgent data (RFC 9293 3.8.5)', () => {
  test('MUST-30: what is sent urgently arrives as such', () => {
    const { a, b, c, s } = pair();
    a.must({ call: 'sendto', fd: c, data: bytes('abc!'), flags: MSG_OOB, to: undefined });
    a.net.runFor(50);
    const urgent = b.sys({ call: 'recvfrom', fd: s, len: 10, flags: MSG_OOB });
    expect(urgent).toMatchObject({ errno: 0, result: 1, data: bytes('!') });
    expect(b.must({ call: 'recvfrom', fd: s, len: 10, flags: 0 })).toBe(3);
  });

  test('MUST-31: it may be longer than the pointer reaches: all of it is sent as urgent, and the mark moves on', () => {
    const t = established({ mss: 1000 }, 65_535);
    writeUrgent(t, 0, 100_000);
    let una = 1;
    let urgent = 0;
    for (let i = 0; i < 60 && una < 100_001; i++) {
      for (const s of dataSent(t)) {
        una = Math.max(una, s.seq + s.len);
        expect(s.flags).toContain('U');
        expect(s.seq + s.urgent).toBeLessThanOrEqual(100_001);
        urgent += s.len;
      }
      t.inject('.', 1, una, { win: 65_535 });
    }
    expect(urgent).toBe(100_000);
    const r = established();
    for (let i = 0; i < 5; i++) {
      injectRaw(r, { flags: TCP_ACK | TCP_URG, seq: 1 + 100 * i, ack: 1, urgent: 60_000, data: new Uint8Array(100) });
      expect(r.lastView(SK).urgAt).toBe(60_000 + 100 * i);
    }
  });

  test('MUST-62: the pointer points to the octet behind the urgent data', () => {
    const t = established({ mss: 1000 });
    writeUrgent(t, 0, 50);
    const [seg] = dataSent(t);
    expect(seg).toMatchObject({ seq: 1, len: 50, urgent: 50 });
    const r = established();
    injectRaw(r, { flags: TCP_ACK | TCP_URG, seq: 1, ack: 1, urgent: 5, data: Uint8Array.from([1, 2, 3, 4, 99, 6]) });
    expect(r.lastView(SK)).toMatchObject({ urgAt: 5, urgByte: 100 });
  });

  test('MUST-32, MUST-66: the application is told at once, also when the mark moves, and while the window is closed', () => {
    const { a, b, c, s } = pair();
    const poll = (): unknown => b.sys({ call: 'poll', fds: [{ fd: s, events: POLLPRI }], timeoutMs: -1 }).revents;
    a.must({ call: 'sendto', fd: c, data: bytes('a1'), flags: MSG_OOB, to: undefined });
    expect(poll()).toEqual([POLLPRI]);
    b.must({ call: 'recvfrom', fd: s, len: 1, flags: MSG_OOB });
    a.must({ call: 'sendto', fd: c, data: bytes('b2'), flags: MSG_OOB, to: undefined });
    expect(poll()).toEqual([POLLPRI]);

    const t = established({ mss: 1000 });
    t.cmd({ sk: SK, opSeq: 2, options: { rcvbuf: 4608 } });
    let offset = 0;
    for (let w = t.tcp.tcpInfo(SK)!.rcvWnd; w > 0; w = t.tcp.tcpInfo(SK)!.rcvWnd) {
      t.inject('.', 1 + offset, 1, { len: Math.min(w, 1000) });
      t.view(SK, { rcvGot: (offset += Math.min(w, 1000)), rcvRead: 0 });
      t.wait(500);
    }
    injectRaw(t, { flags: TCP_ACK | TCP_URG, seq: 1 + offset, ack: 1, urgent: 10 });
    expect(t.lastView(SK).urgAt).toBe(offset + 10);
  });

  test('MUST-33: how much is left before the mark can be asked', () => {
    const { a, b, c, s } = pair();
    const ask = (request: number): unknown => b.sys({ call: 'ioctl', fd: s, request, arg: 0 }).value;
    a.must({ call: 'sendto', fd: c, data: bytes('abcdef!'), flags: MSG_OOB, to: undefined });
    a.must({ call: 'sendto', fd: c, data: bytes('later'), flags: 0, to: undefined });
    a.net.runFor(50);
    expect([ask(FIONREAD), ask(SIOCATMARK)]).toEqual([6, 0]);
    expect(b.must({ call: 'recvfrom', fd: s, len: 4, flags: 0 })).toBe(4);
    expect([ask(FIONREAD), ask(SIOCATMARK)]).toEqual([2, 0]);
    expect(b.must({ call: 'recvfrom', fd: s, len: 100, flags: 0 })).toBe(2);
    expect(ask(SIOCATMARK)).toBe(1);
    expect(b.must({ call: 'recvfrom', fd: s, len: 100, flags: 0 })).toBe(5);
    expect(errnoName(b.sys({ call: 'recvfrom', fd: s, len: 1, flags: MSG_OOB }).errno)).toBe('EINVAL');
  });
});
