import { expect, test } from '@jest/globals';
import { TCP_ESTABLISHED, type SkEvt } from '@skbus/skb';
import { handshake, Scripted, SK } from './testing/peer.ts';

// The socket layer dies: docs/adr/0010-gateway-death.md.

const OWNER = 4711;
const text = (s: string): Uint8Array => new TextEncoder().encode(s);

/** A child of an owned listener that the program has accepted, with "abcdef" received, confirmed up to 4, read up to 2. */
function accepted(): { t: Scripted; child: number } {
  const t = new Scripted();
  t.ourPort = 80;
  t.cmd({ sk: SK, opSeq: 1, owner: OWNER, bind: { addr: 0, port: 80 }, listen: { backlog: 8 } });
  const child = handshake(t, { mss: 1000 });
  t.view(child, {});
  t.inject('P.', 1, 1, { data: text('abcd') });
  t.view(child, { rcvGot: 4, rcvRead: 2 });
  t.inject('P.', 5, 1, { data: text('ef') });
  return { t, child };
}

function restart(t: Scripted): void {
  t.events.length = 0;
  t.tcp.onGatewayRestart(t.now);
  t.tcp.flush(t.now);
  t.sent();
}

const stream = (events: SkEvt[], sk: number): Record<number, string> =>
  Object.fromEntries(
    events.filter((e) => e.sk === sk && e.data).map((e) => [e.data!.offset, new TextDecoder().decode(e.data!.data)]),
  );

test('a socket is silent until it is adopted, then tells all that is unread and in flight', () => {
  const { t, child } = accepted();
  t.cmd({ sk: child, data: { offset: 0, data: text('xyz') } });
  restart(t);
  t.inject('P.', 7, 1, { data: text('gh') });
  t.wait(3_000);
  expect(t.events).toEqual([]);
  t.cmd({ sk: child, adopt: { owner: OWNER, rcvRead: 3 } });
  const adopted = t.events.find((e) => e.adopted)!;
  expect(adopted.adopted).toEqual({ orphan: false, rcvFrom: 3 });
  expect(adopted.view).toMatchObject({ state: TCP_ESTABLISHED, sndUna: 0, sndGot: 3, rcvNxt: 8 });
  expect(t.events.filter((e) => e.sent).map((e) => [e.sent!.offset, e.sent!.data.length])).toEqual([[0, 3]]);
  expect(stream(t.events, child)).toEqual({ 3: 'd', 4: 'ef', 6: 'gh' });
  // what only the dead one had confirmed is repeated until this one has
  t.events.length = 0;
  t.wait(250);
  expect(stream(t.events, child)).toEqual({ 3: 'd', 4: 'ef', 6: 'gh' });
  t.view(child, { rcvGot: 8, rcvRead: 8 });
  t.events.length = 0;
  t.wait(3_000);
  expect(stream(t.events, child)).toEqual({});
  expect(t.env.ledger.imbalance).toBe(0);
});

test('one that speaks of a socket as before was never gone, and hears what it missed', () => {
  const { t, child } = accepted();
  restart(t);
  t.inject('P.', 7, 1, { data: text('gh') });
  t.wait(3_000);
  expect(t.events).toEqual([]);
  t.view(child, { rcvGot: 6, rcvRead: 6, haveChild: true, accepted: true });
  t.tcp.flush(t.now);
  expect(stream(t.events, child)[6]).toBe('gh');
  t.view(SK, {});
  t.view(child, { rcvGot: 8, rcvRead: 8, haveChild: true, accepted: true });
  // what was not spoken of goes with the time that a new one has; this one stays
  t.wait(11_000);
  t.events.length = 0;
  t.inject('P.', 9, 1, { data: text('ij') });
  expect(stream(t.events, child)).toEqual({ 8: 'ij' });
  expect(t.env.ledger.imbalance).toBe(0);
});

test('to another owner there is no such socket', () => {
  const { t, child } = accepted();
  restart(t);
  t.cmd({ sk: child, adopt: { owner: OWNER + 1, rcvRead: 0 } });
  expect(t.events).toEqual([expect.objectContaining({ sk: child, unknown: true })]);
});

test('a listener announces the children that nobody has adopted, with their bytes', () => {
  const { t, child } = accepted();
  restart(t);
  t.cmd({ sk: SK, adopt: { owner: OWNER, rcvRead: 0 } });
  t.events.length = 0;
  t.cmd({ sk: SK, adopt: { owner: OWNER, rcvRead: 0, children: true } });
  expect(t.events[0]).toMatchObject({ sk: child, child: { listener: SK } });
  expect(stream(t.events, child)).toEqual({ 2: 'cd', 4: 'ef' });
  expect(t.events.at(-1)).toMatchObject({ sk: SK, adopted: { orphan: false } });
});

test('what nobody adopts is reset after ten seconds, what nobody owns at once', () => {
  const { t, child } = accepted();
  restart(t);
  t.wait(9_900);
  expect(t.state(child)).toBe(TCP_ESTABLISHED);
  expect(t.sentText().filter((s) => s.startsWith('R'))).toEqual([]);
  t.wait(200);
  expect(t.tcp.tcpInfo(child)).toBeUndefined();
  expect(t.sentText().filter((s) => s.startsWith('R'))).toHaveLength(1);

  const u = new Scripted();
  u.ourPort = 80;
  u.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 8 } });
  handshake(u, { mss: 1000 });
  u.sent();
  u.tcp.onGatewayRestart(u.now);
  u.tcp.flush(u.now);
  expect(u.sentText()).toEqual([expect.stringMatching(/^R/)]);
  expect(u.tcp.sockets()).toEqual([]);
});

test('an orphan ends as it would have', () => {
  const { t, child } = accepted();
  t.view(child, { rcvGot: 6, rcvRead: 6 });
  t.cmd({ sk: child, opSeq: 1, close: { abort: false } });
  restart(t);
  t.wait(11_000);
  expect(t.sentText().filter((s) => s.startsWith('R'))).toEqual([]);
  t.inject('F.', 7, 2);
  expect(t.sentText().at(-1)).toMatch(/ack 8$/);
});
