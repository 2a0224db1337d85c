import { describe, expect, test } from '@jest/globals';
import {
  ERRNO,
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCP_LAST_ACK,
  TCP_TIME_WAIT,
} from '@skbus/skb';
import { activeOpen, Scripted, SK } from './testing/peer.ts';

/** Fixtures: a connection in each synchronized state. Our sequence number is 1 (2 after our FIN), the peer's likewise. */
const STATES: Record<string, (t: Scripted) => void> = {
  ESTABLISHED: (t) => void activeOpen(t),
  FIN_WAIT1: (t) => {
    activeOpen(t);
    t.cmd({ sk: SK, opSeq: 2, shutdown: { how: 1 } });
  },
  FIN_WAIT2: (t) => {
    STATES['FIN_WAIT1']!(t);
    t.inject('.', 1, 2);
  },
  CLOSING: (t) => {
    STATES['FIN_WAIT1']!(t);
    t.inject('F.', 1, 1);
    t.view(SK, { finGot: true });
  },
  CLOSE_WAIT: (t) => {
    activeOpen(t);
    t.inject('F.', 1, 1);
    t.view(SK, { finGot: true });
    t.wait(50);
  },
  LAST_ACK: (t) => {
    STATES['CLOSE_WAIT']!(t);
    t.cmd({ sk: SK, opSeq: 2, shutdown: { how: 1 } });
  },
};

const NUMBER: Record<string, number> = {
  ESTABLISHED: TCP_ESTABLISHED,
  FIN_WAIT1: TCP_FIN_WAIT1,
  FIN_WAIT2: TCP_FIN_WAIT2,
  CLOSING: TCP_CLOSING,
  CLOSE_WAIT: TCP_CLOSE_WAIT,
  LAST_ACK: TCP_LAST_ACK,
};
const RCV_NXT: Record<string, number> = {
  ESTABLISHED: 1,
  FIN_WAIT1: 1,
  FIN_WAIT2: 1,
  CLOSING: 2,
  CLOSE_WAIT: 2,
  LAST_ACK: 2,
};

function at(name: string): Scripted {
  const t = new Scripted();
  STATES[name]!(t);
  expect(t.state(SK)).toBe(NUMBER[name]);
  t.sent();
  return t;
}

function balanced(t: Scripted): void {
  expect(t.env.ledger.imbalance).toBe(0);
  expect(t.tcp.illegalTransitions).toBe(0);
}

describe.each(Object.keys(STATES))('%s', (name) => {
  const nxt = RCV_NXT[name]!;

  test('RST with exactly the next number resets', () => {
    const t = at(name);
    t.inject('R', nxt, 0);
    expect(t.lastView(SK)).toMatchObject({
      state: TCP_CLOSE,
      err: name === 'CLOSE_WAIT' ? ERRNO.EPIPE : ERRNO.ECONNRESET,
    });
    expect(t.sent()).toEqual([]);
    balanced(t);
  });

  test('RST elsewhere in the window is challenged (RFC 5961 3.2)', () => {
    const t = at(name);
    t.inject('R', nxt + 10, 0);
    expect(t.state(SK)).toBe(NUMBER[name]);
    expect(t.sent()).toMatchObject([{ flags: '.', ack: nxt }]);
    expect(t.env.mib.get('TcpExtTCPChallengeACK')).toBe(1);
    balanced(t);
  });

  test('RST outside the window is ignored', () => {
    const t = at(name);
    t.inject('R', nxt + 200_000, 0);
    expect(t.state(SK)).toBe(NUMBER[name]);
    expect(t.sent()).toEqual([]);
    balanced(t);
  });

  test('SYN is challenged, twice within half a second only once (RFC 5961 4.2)', () => {
    const t = at(name);
    t.inject('S', nxt, 0);
    t.inject('S', nxt + 7, 0);
    expect(t.state(SK)).toBe(NUMBER[name]);
    expect(t.sent()).toMatchObject([{ flags: '.', ack: nxt }]);
    expect(t.env.mib.get('TcpExtTCPSYNChallenge')).toBe(2);
    t.wait(501);
    t.sent();
    t.inject('S', nxt, 0);
    expect(t.sent().length).toBe(1);
    balanced(t);
  });

  test('an ACK of what was not sent changes nothing', () => {
    const t = at(name);
    t.inject('.', nxt, 5000);
    expect(t.state(SK)).toBe(NUMBER[name]);
    expect(t.env.ledger.drops.get('TCP_ACK_UNSENT_DATA')).toBe(1);
    balanced(t);
  });

  test('no ACK bit: dropped', () => {
    const t = at(name);
    t.inject('', nxt, 0, { len: 3 });
    expect(t.env.ledger.drops.get('TCP_FLAGS')).toBe(1);
    expect(t.sent()).toEqual([]);
    balanced(t);
  });

  test('a segment beyond the window is answered with an ACK', () => {
    const t = at(name);
    t.inject('.', nxt + 500_000, 1, { len: 10 });
    expect(t.sent()).toMatchObject([{ flags: '.', ack: nxt }]);
    expect(t.env.ledger.drops.get('TCP_INVALID_SEQUENCE')).toBe(1);
    balanced(t);
  });

  test('abort sends a reset where there is somebody to tell', () => {
    const t = at(name);
    const opSeq = (t.events.at(-1)?.opAck ?? 0) + 1;
    t.cmd({ sk: SK, opSeq, close: { abort: true } });
    expect(t.sent().map((s) => s.flags)).toEqual(name === 'CLOSING' || name === 'LAST_ACK' ? [] : ['R.']);
    expect(t.lastView(SK).state).toBe(TCP_CLOSE);
    expect(t.tcp.sockets()).toEqual([]);
    balanced(t);
  });
});

const viewsOf = (t: Scripted): unknown[] => t.events.filter((e) => e.sk === SK && e.view);

describe('closing', () => {
  test('active close to TIME_WAIT; 60 s later nothing is left', () => {
    const t = at('FIN_WAIT2');
    t.inject('F.', 1, 2);
    expect(t.state(SK)).toBe(TCP_FIN_WAIT2); // the FIN counts when the socket layer has it
    expect(t.lastView(SK)).toMatchObject({ finRcvd: true, finAcked: true });
    expect(t.sent()).toEqual([]);
    t.view(SK, { finGot: true });
    expect(t.sentText()).toEqual(['. 2:2 ack 2']);
    expect(t.lastView(SK).state).toBe(TCP_TIME_WAIT);
    expect(
      t.tcp
        .sockets()
        .map((s) => s.state)
        .toSorted((a, b) => a - b),
    ).toEqual([TCP_TIME_WAIT, TCP_CLOSE]);
    t.inject('F.', 1, 2); // our ACK was lost
    expect(t.sentText()).toEqual(['. 2:2 ack 2']);
    t.wait(61_000);
    expect(t.tcp.sockets().map((s) => s.state)).toEqual([TCP_CLOSE]);
    t.cmd({ sk: SK, opSeq: 3, close: { abort: false } });
    expect(t.tcp.sockets()).toEqual([]);
    balanced(t);
  });

  test('FIN and ACK of our FIN in one segment', () => {
    const t = at('FIN_WAIT1');
    t.inject('F.', 1, 2);
    t.view(SK, { finGot: true });
    expect(t.sentText()).toEqual(['. 2:2 ack 2']);
    expect(t.lastView(SK).state).toBe(TCP_TIME_WAIT);
    balanced(t);
  });

  test('simultaneous close', () => {
    const t = at('CLOSING');
    t.inject('.', 2, 2);
    expect(t.lastView(SK).state).toBe(TCP_TIME_WAIT);
    balanced(t);
  });

  test('LAST_ACK ends with the ACK of our FIN', () => {
    const t = at('LAST_ACK');
    t.inject('.', 2, 2);
    expect(t.lastView(SK)).toMatchObject({ state: TCP_CLOSE, err: 0, finAcked: true });
    balanced(t);
  });

  test("half-close: we may send after the peer's FIN", () => {
    const t = at('CLOSE_WAIT');
    t.cmd({ sk: SK, opSeq: 0, data: { offset: 0, data: new Uint8Array(5) } });
    expect(t.sentText()).toEqual(['P. 1:6 ack 2']);
    balanced(t);
  });

  test('half-close: we may receive after our FIN', () => {
    const t = at('FIN_WAIT2');
    t.inject('P.', 1, 2, { len: 5 });
    expect(t.data(SK)).toMatchObject([{ offset: 0 }]);
    t.view(SK, { rcvGot: 5, rcvRead: 5 });
    expect(t.sentText()).toEqual(['. 2:2 ack 6']);
    balanced(t);
  });

  test('an orphan in FIN_WAIT2 becomes a small TIME-WAIT for tcp_fin_timeout', () => {
    const t = at('ESTABLISHED');
    t.cmd({ sk: SK, opSeq: 2, close: { abort: false } });
    expect(t.sentText()).toEqual(['F. 1:1 ack 1']);
    t.inject('.', 1, 2);
    expect(t.lastView(SK).state).toBe(TCP_TIME_WAIT);
    expect(t.tcp.sockets().map((s) => s.state)).toEqual([TCP_FIN_WAIT2]);
    t.inject('F.', 1, 2);
    expect(t.sentText()).toEqual(['. 2:2 ack 2']);
    expect(t.tcp.sockets().map((s) => s.state)).toEqual([TCP_TIME_WAIT]);
    t.wait(60_001);
    expect(t.tcp.sockets()).toEqual([]);
    balanced(t);
  });

  test('of an orphan that has all its bytes the socket layer hears once: at the end, or soon', () => {
    const t = at('ESTABLISHED');
    t.cmd({ sk: SK, opSeq: 2, data: { offset: 0, data: new Uint8Array(5) }, close: { abort: false } });
    expect(t.sentText()).toEqual(['FP. 1:6 ack 1']);
    const heard = viewsOf(t).length;
    t.inject('.', 1, 6);
    expect(viewsOf(t)).toHaveLength(heard);
    t.wait(40);
    expect(viewsOf(t)).toHaveLength(heard + 1);
    expect(t.lastView(SK)).toMatchObject({ state: TCP_FIN_WAIT1, sndUna: 5 });
    t.inject('.', 1, 7);
    expect(t.lastView(SK)).toMatchObject({ finAcked: true });
    balanced(t);
  });

  test('data for an orphan is answered with a reset', () => {
    const t = at('ESTABLISHED');
    t.cmd({ sk: SK, opSeq: 2, close: { abort: false } });
    t.sent();
    t.inject('P.', 1, 1, { len: 10 });
    expect(t.sent().map((s) => s.flags)).toEqual(['R']);
    expect(t.env.ledger.drops.get('TCP_ABORT_ON_DATA')).toBe(1);
    expect(t.tcp.sockets()).toEqual([]);
    balanced(t);
  });

  test('close with bytes that were never confirmed resets', () => {
    const t = at('ESTABLISHED');
    t.inject('P.', 1, 1, { len: 10 });
    t.cmd({ sk: SK, opSeq: 2, close: { abort: false } });
    expect(t.sent().map((s) => s.flags)).toEqual(['R.']);
    balanced(t);
  });

  test('the FIN waits for bytes that are still on their way to us', () => {
    const t = at('ESTABLISHED');
    const view = { sndTo: 6, rcvGot: 0, rcvRead: 0, finGot: false, haveChild: true, accepted: true };
    t.cmd({ sk: SK, opSeq: 2, close: { abort: false }, view });
    expect(t.sent()).toEqual([]);
    t.cmd({ sk: SK, opSeq: 0, data: { offset: 0, data: new Uint8Array(4) } });
    expect(t.sentText()).toEqual(['P. 1:5 ack 1']);
    t.cmd({ sk: SK, opSeq: 0, data: { offset: 2, data: new Uint8Array(4) } });
    expect(t.sentText()).toEqual(['FP. 5:7 ack 1']);
    balanced(t);
  });

  test('an operation on a sock that is gone is answered', () => {
    const t = at('ESTABLISHED');
    t.cmd({ sk: SK, opSeq: 2, close: { abort: true } });
    t.events.length = 0;
    t.cmd({ sk: SK, opSeq: 2, close: { abort: true } });
    t.cmd({ sk: SK, opSeq: 3, shutdown: { how: 2 } });
    expect(t.events.map((e) => [e.opAck, e.opErrno])).toEqual([
      [2, 0],
      [3, 0],
    ]);
    t.cmd({ sk: 998, opSeq: 3, shutdown: { how: 2 } });
    expect(t.events.at(-1)).toMatchObject({ sk: 998, unknown: true, opAck: 0 });
  });

  test('no socket: ACK is answered with a reset, RST with nothing', () => {
    const t = new Scripted();
    t.ourPort = 99;
    t.inject('.', 5, 77, { len: 3 });
    expect(t.sentText()).toEqual(['R 77:77']);
    t.inject('S', 5, 0);
    expect(t.sentText()).toEqual(['R. 0:0 ack 6']);
    t.inject('R', 5, 0);
    expect(t.sent()).toEqual([]);
    expect(t.env.ledger.drops.get('NO_SOCKET')).toBe(3);
    balanced(t);
  });
});

describe('TIME_WAIT', () => {
  function timeWait(): Scripted {
    const t = new Scripted();
    t.ourPort = 80;
    t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 5 } });
    t.inject('S', 0, 0, { opts: { mss: 1000, tsVal: 1000, tsEcr: 0 } });
    const [s] = t.sent();
    const ecr = s!.opts.tsVal!;
    t.inject('.', 1, 1, { opts: { tsVal: 1001, tsEcr: ecr } });
    t.view(1, {});
    t.cmd({ sk: 1, opSeq: 1, close: { abort: false } });
    t.inject('.', 1, 2, { opts: { tsVal: 1002, tsEcr: ecr } });
    t.inject('F.', 1, 2, { opts: { tsVal: 1003, tsEcr: ecr } });
    t.sent();
    return t;
  }

  test('a SYN with a later timestamp takes its place (RFC 6191)', () => {
    const t = timeWait();
    t.inject('S', 0, 0, { opts: { mss: 1000, tsVal: 2000, tsEcr: 0 } });
    expect(t.sent()).toMatchObject([{ flags: 'S.', seq: 65_539 }]);
    balanced(t);
  });

  test('an older SYN is answered with an ACK', () => {
    const t = timeWait();
    t.inject('S', 0, 0, { opts: { mss: 1000, tsVal: 500, tsEcr: 0 } });
    expect(t.sent()).toMatchObject([{ flags: '.', seq: 2, ack: 2 }]);
    expect(t.env.mib.get('TcpExtPAWSTimewait')).toBe(1);
    balanced(t);
  });

  test('RST with the exact number ends it', () => {
    const t = timeWait();
    t.inject('R', 2, 0);
    expect(t.tcp.sockets().map((s) => s.lport)).toEqual([80]);
    balanced(t);
  });
});
