import { describe, expect, test } from '@jest/globals';
import { TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_FIN_WAIT1, type SkRestore, type SkView } from '@skbus/skb';
import { activeOpen, Scripted, SK } from './testing/peer.ts';

/** A connection whose TCP dies, and the TCP after it, before it is told of anything. */
function successor(): { t: Scripted; record: Uint8Array } {
  const before = new Scripted({});
  activeOpen(before);
  const record = before.events.findLast((e) => e.record)!.record!.data;
  const t = new Scripted({});
  t.now = before.now + 100;
  t.ourIsn = before.ourIsn;
  t.ourPort = before.ourPort;
  t.theirIsn = before.theirIsn;
  t.theirPort = before.theirPort;
  t.tcp.startRestoring();
  t.tcp.askForRestore(t.now);
  return { t, record };
}

function giveBack(t: Scripted, record: Uint8Array, over: Partial<SkRestore> = {}, view: Partial<SkView> = {}): void {
  const to = t.events.find((e) => e.hello)!.hello!;
  const bare = { sndUna: 0, sndMax: 0, sndbuf: 0, shutdown: 0, closed: false, finAcked: false };
  const restore: SkRestore = { to, opSeq: 1, record, state: TCP_ESTABLISHED, ...bare, ...over };
  const v = {
    sndTo: restore.sndMax,
    rcvGot: 0,
    rcvRead: 0,
    finGot: false,
    haveChild: true,
    accepted: true,
    recordSeq: 2,
  };
  t.cmd({ sk: SK, restore, view: { ...v, ...view }, owner: 9 });
}

const end = (t: Scripted): void => t.cmd({ sk: 0, restoreEnd: t.events.find((e) => e.hello)!.hello! });

describe('a TCP in the place of one that died', () => {
  test('goes on where the socket layer is, and asks the peer at once', () => {
    const { t, record } = successor();
    giveBack(t, record, { sndUna: 1000, sndMax: 5000 }, { rcvGot: 300, rcvRead: 300 });
    expect(t.sentText()).toEqual(['. 1001:1001 ack 301', '. 1000:1000 ack 301']);
    expect(t.events.at(-1)).toMatchObject({ sk: SK, opAck: 1, restored: true, view: { sndUna: 1000, rcvNxt: 300 } });
  });

  test('an ACK of what only the dead one sent moves sndNxt; beyond that it is of nothing', () => {
    const { t, record } = successor();
    giveBack(t, record, { sndUna: 1000, sndMax: 5000 });
    t.sent();
    t.inject('.', 1, 4001);
    expect(t.lastView(SK)).toMatchObject({ sndUna: 4000, sndGot: 4000 });
    t.inject('.', 1, 5002);
    expect(t.lastView(SK)).toMatchObject({ sndUna: 4000 });
    // the bytes after it go from there
    t.cmd({ sk: SK, data: { offset: 1000, data: new Uint8Array(4000) } });
    expect(t.sentText().at(-1)).toBe('P. 4001:5001 ack 1');
  });

  test('nobody is denied anything before the socket layer has said that this was all', () => {
    const { t, record } = successor();
    t.inject('.', 1, 1, { len: 10 });
    t.cmd({ sk: SK, view: { sndTo: 0, rcvGot: 0, rcvRead: 0, finGot: false, haveChild: true, accepted: true } });
    t.cmd({ sk: 40, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 5 } });
    expect(t.sent()).toEqual([]);
    expect(t.events.filter((e) => e.sk !== 0)).toEqual([]);
    expect(t.env.ledger.drops.get('TCP_RESTORING')).toBe(1);
    giveBack(t, record);
    end(t);
    expect(t.events.at(-1)).toMatchObject({ sk: 40, opAck: 1, opErrno: 0 });
    t.sent();
    t.inject('.', 1, 1, { sport: 5 });
    expect(t.sent().map((s) => s.flags)).toEqual(['R']);
  });

  test('what was meant for another is not taken, and what comes too late is refused', () => {
    const { t, record } = successor();
    giveBack(t, record, { to: 1 });
    t.cmd({ sk: 0, restoreEnd: 1 });
    expect(t.tcp.sockets()).toEqual([]);
    end(t);
    giveBack(t, record);
    expect(t.events.at(-1)).toMatchObject({ sk: SK, unknown: true });
  });

  test('a record of another version, or none, is a connection that is lost', () => {
    const { t, record } = successor();
    giveBack(t, new Uint8Array(record).fill(99, 0, 1));
    expect(t.events.at(-1)).toMatchObject({ sk: SK, unknown: true });
    giveBack(t, new Uint8Array(0));
    expect(t.events.at(-1)).toMatchObject({ sk: SK, unknown: true });
    expect(t.tcp.restored.failed).toBe(2);
  });

  test('the FINs say which state it is in', () => {
    const a = successor();
    giveBack(a.t, a.record, { shutdown: 2, sndUna: 7, sndMax: 7 });
    expect(a.t.state(SK)).toBe(TCP_FIN_WAIT1);
    expect(a.t.sentText()).toEqual(['. 8:8 ack 1', '. 7:7 ack 1', 'F. 8:8 ack 1']);
    const b = successor();
    giveBack(b.t, b.record, {}, { rcvGot: 5, rcvRead: 5, finGot: true });
    expect(b.t.state(SK)).toBe(TCP_CLOSE_WAIT);
    expect(b.t.sentText()).toEqual(['. 1:1 ack 7', '. 0:0 ack 7']);
  });

  test('it keeps unread bytes for the death of the socket layer', () => {
    const { t, record } = successor();
    giveBack(t, record, {}, { rcvGot: 10, rcvRead: 4 });
    t.cmd({ sk: SK, unread: { offset: 4, data: Uint8Array.of(5, 6, 7, 8, 9, 10) } });
    end(t);
    t.tcp.onGatewayRestart(t.now);
    t.cmd({ sk: SK, adopt: { owner: 9, rcvRead: 4 } });
    expect(t.data(SK).map((d) => [d.offset, ...d.data])).toEqual([[4, 5, 6, 7, 8, 9, 10]]);
  });
});

test('a record that is confirmed is not said again', () => {
  const t = new Scripted({});
  activeOpen(t);
  t.view(SK, { recordSeq: 2 });
  t.events.length = 0;
  t.wait(5_000);
  expect(t.events.filter((e) => e.record)).toEqual([]);
});
