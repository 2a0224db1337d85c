import { describe, expect, test } from '@jest/globals';
import { ERRNO, TCP_CLOSE, TCP_ESTABLISHED, TCP_SYN_RECV } from '@skbus/skb';
import { accepted, established, handshake, Scripted, SK, THEM, write, type Seg } from './peer.ts';

const challenged = (s: readonly Seg[]): boolean => s.length === 1 && s[0]!.flags === '.' && s[0]!.len === 0;

describe('a reset by somebody who guesses (RFC 5961 3.2)', () => {
  test('1: outside the window it is dropped in silence', () => {
    const t = established();
    const { rcvWnd } = t.tcp.tcpInfo(SK)!;
    for (const seq of [rcvWnd + 100, -1, -100_000, 2 ** 31]) t.inject('R', seq, 0);
    expect(t.sent()).toEqual([]);
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
  });

  test('2: exactly the next number resets', () => {
    const t = established();
    t.inject('R', 1, 0);
    expect(t.lastView(SK)).toMatchObject({ state: TCP_CLOSE, err: ERRNO.ECONNRESET });
  });

  test('3: elsewhere in the window it is answered with an ACK, and dropped', () => {
    const t = established();
    t.inject('R', 2, 0);
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
    expect(challenged(t.sent())).toBe(true);
    t.inject('R', 1, 0); // what a peer that has really gone answers to it
    expect(t.lastView(SK).state).toBe(TCP_CLOSE);
  });

  test('3.2: in SYN-RECEIVED the same rules hold', () => {
    const t = new Scripted();
    t.theirPort = 8080;
    t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    t.inject('S', 0, 0, { opts: { mss: 1000 } });
    t.sent();
    t.inject('R', 500, 0);
    expect(t.state(SK)).toBe(TCP_SYN_RECV);
    expect(challenged(t.sent())).toBe(true);
  });
});

describe('a SYN by somebody who guesses (RFC 5961 4.2)', () => {
  test.each([1, 500, -100, 200_000])('with sequence number %i it is answered with an ACK, and dropped', (seq) => {
    const t = established();
    t.inject('S', seq, 0, { opts: { mss: 1000 } });
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
    const sent = t.sent();
    expect(challenged(sent)).toBe(true);
    expect(sent[0]).toMatchObject({ seq: 1, ack: 1 });
  });

  test('a peer that did restart answers the challenge with a reset, and can connect then', () => {
    const [t, child] = accepted();
    t.inject('S', 5000, 0, { opts: { mss: 1000 } });
    expect(challenged(t.sent())).toBe(true);
    t.inject('R', 1, 0);
    expect(t.lastView(child).state).toBe(TCP_CLOSE);
    t.forgetIsn();
    t.theirIsn = 77_777;
    expect(handshake(t)).not.toBe(child);
  });
});

describe('data by somebody who guesses (RFC 5961 5.2)', () => {
  test('an ACK older than the largest window ever offered: the segment is dropped and answered', () => {
    const t = established({ mss: 1000 }, 32_792);
    t.inject('P.', 1, -40_000, { len: 10 });
    expect(t.data(SK)).toEqual([]);
    expect(challenged(t.sent())).toBe(true);
  });

  test('an ACK for what was never sent: the segment is dropped and answered', () => {
    const t = established();
    t.inject('P.', 1, 5, { len: 10 });
    expect(t.data(SK)).toEqual([]);
    expect(challenged(t.sent())).toBe(true);
    expect(t.env.ledger.drops.get('TCP_ACK_UNSENT_DATA')).toBe(1);
    t.wait(600); // challenge ACKs are throttled
    t.cmd({ sk: SK, opSeq: 2, shutdown: { how: 1 } });
    t.sent();
    t.inject('P.', 1, 50, { len: 10 });
    expect(t.data(SK)).toEqual([]);
    expect(challenged(t.sent())).toBe(true);
  });

  test('within the largest window it is merely old', () => {
    const t = established({ mss: 1000 }, 32_792);
    write(t, 0, 1000);
    t.inject('.', 1, 1001);
    t.inject('P.', 1, 1, { len: 10 });
    expect(t.data(SK)).toHaveLength(1);
    t.sent();
    t.inject('P.', 11, -32_000, { len: 10 });
    expect(t.data(SK)).toHaveLength(1);
    expect(challenged(t.sent())).toBe(true);
  });
});

describe('throttling (RFC 5961 7)', () => {
  test('one connection is answered twice a second', () => {
    const t = established();
    for (let i = 0; i < 100; i++) t.inject('S', 1 + i, 0);
    expect(t.sent()).toHaveLength(1);
    t.wait(600);
    t.sent();
    t.inject('S', 1, 0);
    expect(t.sent()).toHaveLength(1);
  });

  test('and all together as often as tcp_challenge_ack_limit says', () => {
    const t = new Scripted({ sysctl: { tcpChallengeAckLimit: 3 } });
    t.ourPort = 80;
    t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 50 } });
    const isns: number[] = [];
    for (let i = 0; i < 20; i++) {
      t.theirPort = 40_000 + i;
      t.forgetIsn();
      handshake(t);
      isns.push(t.ourIsn);
    }
    t.sent();
    const burst = (): number => {
      for (let i = 0; i < 20; i++) {
        t.theirPort = 40_000 + i;
        t.ourIsn = isns[i]!;
        t.inject('S', 500, 0);
      }
      return t.sent().length;
    };
    expect(burst()).toBe(3);
    t.wait(1100);
    expect(burst()).toBe(3);
  });
});
