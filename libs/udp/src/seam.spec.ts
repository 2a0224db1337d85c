import { describe, expect, test } from '@jest/globals';
import { below, ERRNO, SeededRng, type SkCmd } from '@skbus/skb';
import { Host, PEER, text } from './testing/host.ts';

describe('operations are numbered', () => {
  test('a repeated operation is not run again, and answered again', () => {
    const h = new Host();
    const bind: SkCmd = { sk: 2, opSeq: 1, bind: { addr: 0, port: 0 } };
    const first = h.cmd(bind);
    const again = h.cmd(bind);
    expect(again).toEqual(first);
    expect(h.points.filter((p) => p === 'udp_v4_get_port').length).toBe(1);
  });

  test('an operation that waits for a route answers once it is done', () => {
    const h = new Host();
    h.autoRoute = false;
    const connect: SkCmd = { sk: 2, opSeq: 1, connect: { addr: PEER, port: 7 } };
    expect(h.cmd(connect)).toEqual([]);
    expect(h.cmd(connect)).toEqual([]);
    expect(h.queries.length).toBe(1);
    const events = h.batch(() => h.answer());
    expect(events).toEqual([expect.objectContaining({ sk: 2, opAck: 1, opErrno: 0 })]);
  });

  test('an old operation that comes late is answered with the newest and changes nothing', () => {
    const h = new Host();
    h.cmd({ sk: 2, opSeq: 1, bind: { addr: 0, port: 53 } });
    h.cmd({ sk: 2, opSeq: 2, connect: { addr: PEER, port: 7 } });
    expect(h.cmd({ sk: 2, opSeq: 1, bind: { addr: 0, port: 53 } })).toEqual([
      expect.objectContaining({ opAck: 2, opErrno: 0 }),
    ]);
  });

  test('closing while an operation waits for its route', () => {
    const h = new Host();
    h.autoRoute = false;
    h.cmd({ sk: 2, opSeq: 1, connect: { addr: PEER, port: 7 } });
    expect(h.cmd({ sk: 2, opSeq: 2, close: { abort: false } })).toEqual([{ sk: 2, opAck: 2, opErrno: 0 }]);
    expect(h.batch(() => h.answer())).toEqual([]);
    expect(h.udp.sockets()).toEqual([]);
  });
});

describe('sockets that are not known', () => {
  test.each<[string, SkCmd]>([
    ['a later operation', { sk: 2, opSeq: 5, connect: { addr: PEER, port: 7 } }],
    [
      'a view',
      { sk: 2, opSeq: 0, view: { sndTo: 0, rcvGot: 0, rcvRead: 0, finGot: false, haveChild: false, accepted: false } },
    ],
    ['a datagram', { sk: 2, opSeq: 0, sendto: { addr: PEER, port: 7, data: text('x') } }],
    ['a close', { sk: 2, opSeq: 1, close: { abort: false } }],
    ['an odd id', { sk: 3, opSeq: 1, bind: { addr: 0, port: 53 } }],
  ])('%s', (_what, cmd) => {
    const h = new Host();
    expect(h.cmd(cmd)).toEqual([{ sk: cmd.sk, opAck: 0, opErrno: 0, unknown: true }]);
    expect(h.udp.sockets()).toEqual([]);
    expect(h.sent).toEqual([]);
  });

  test('a closed one answers its close again; what is older raises nothing', () => {
    const h = new Host();
    h.cmd({ sk: 2, opSeq: 1, bind: { addr: 0, port: 53 } });
    h.cmd({ sk: 2, opSeq: 2, close: { abort: false } });
    expect(h.cmd({ sk: 2, opSeq: 2, close: { abort: false } })).toEqual([{ sk: 2, opAck: 2, opErrno: 0 }]);
    expect(h.cmd({ sk: 2, opSeq: 1, bind: { addr: 0, port: 53 } })).toEqual([{ sk: 2, opAck: 2, opErrno: 0 }]);
    expect(h.cmd({ sk: 2, opSeq: 3, bind: { addr: 0, port: 53 } })[0]!.unknown).toBe(true);
    expect(h.udp.sockets()).toEqual([]);
  });
});

/** A socket layer that repeats what is not acknowledged, over a link that loses, doubles and reorders. */
function session(seed: number): Host {
  const h = new Host({}, seed);
  const rng = new SeededRng(seed + 1000);
  const ops: Omit<SkCmd, 'sk' | 'opSeq'>[] = [
    { options: { reuseAddr: true } },
    { bind: { addr: 0, port: 53 } },
    { connect: { addr: PEER, port: 7 } },
    { connect: { addr: 0, port: 0 } },
    { connect: { addr: PEER, port: 8 } },
    { close: { abort: false } },
  ];
  let inFlight: SkCmd[] = [];
  let acked = 0;
  for (let round = 0; acked < ops.length; round++) {
    expect(round).toBeLessThan(1000);
    inFlight.push({ sk: 2, opSeq: acked + 1, ...ops[acked] });
    const deliver = inFlight.filter(() => below(rng, 3) > 0);
    if (below(rng, 4) === 0) deliver.reverse();
    // some stay on the way, to arrive late
    inFlight = inFlight.filter(() => below(rng, 2) === 0);
    for (const cmd of deliver) {
      for (const e of h.cmd(cmd)) {
        if (below(rng, 3) > 0 && e.opAck === acked + 1) {
          acked++;
          expect(e.opErrno).toBe(0);
        }
      }
      if (below(rng, 3) === 0) h.receive({ dport: 53, sport: 7 });
    }
  }
  return h;
}

test('each operation runs exactly once over a bad link', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const h = session(seed);
    expect(h.udp.sockets()).toEqual([]);
    expect(h.points.filter((p) => p === 'udp_v4_get_port').length).toBe(1);
    expect(h.points.filter((p) => p === 'ip4_datagram_connect').length).toBe(2);
    expect(h.points.filter((p) => p === '__udp_disconnect').length).toBe(1);
    expect(h.env.ledger.imbalance).toBe(0);
  }
});

test('the same error twice falls in between, so that the other side sees two', () => {
  const h = new Host();
  h.op(2, { connect: { addr: PEER, port: 7 } });
  const at = { lport: h.port(2), rport: 7 };
  const errs = [...h.icmp(3, 3, at), ...h.icmp(3, 3, at)].map((e) => e.view!.err);
  expect(errs).toEqual([ERRNO.ECONNREFUSED, 0, ERRNO.ECONNREFUSED]);
});

test('a socket layer that speaks of a socket as before was never gone: it keeps it, and has what came meanwhile', () => {
  const h = new Host();
  h.cmd({ sk: 2, opSeq: 1, owner: 4711, bind: { addr: 0, port: 53 } });
  h.cmd({ sk: 4, opSeq: 1, owner: 4711, bind: { addr: 0, port: 54 } });
  h.udp.onGatewayRestart(0);
  expect(h.receive({ dport: 53, data: text('x') })).toEqual([]);
  const view = { sndTo: 0, rcvGot: 0, rcvRead: 0, finGot: false, haveChild: false, accepted: false };
  const events = h.cmd({ sk: 2, opSeq: 0, view });
  expect(events.find((e) => e.dgram)?.dgram?.data).toEqual(text('x'));
  h.udp.handleTimeout(11_000);
  expect(h.udp.sockets().map((s) => s.lport)).toEqual([53]);
});
