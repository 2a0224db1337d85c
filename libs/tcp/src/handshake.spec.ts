import { describe, expect, test } from '@jest/globals';
import { ERRNO, TCP_CLOSE, TCP_ESTABLISHED, TCP_SYN_RECV, TCP_SYN_SENT } from '@skbus/skb';
import { activeOpen, calling, handshake, passiveOpen, Scripted, SK, THEM } from './testing/peer.ts';

const FULL = { mss: 1460, sackPermitted: true, tsVal: 100, tsEcr: 0, wscale: 7 };

function balanced(t: Scripted): void {
  expect(t.env.ledger.imbalance).toBe(0);
  expect(t.tcp.illegalTransitions).toBe(0);
}

describe('active open', () => {
  test("SYN has Linux's options; SYN-ACK is acknowledged; trace in the kernel's order", () => {
    const t = new Scripted();
    t.theirPort = 8080;
    t.startTrace();
    t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    expect(t.trace).toEqual([
      'tcp_v4_init_sock',
      'tcp_init_sock',
      'tcp_v4_connect',
      'ip_route_connect',
      'tcp_set_state',
      'inet_sock_set_state',
      'inet_hash_connect',
      '__inet_hash_connect',
      'secure_tcp_seq_and_ts_off',
      'tcp_connect',
      'tcp_connect_init',
      'tcp_connect_queue_skb',
      'tcp_transmit_skb',
    ]);
    expect(t.events.at(-1)).toMatchObject({ sk: SK, opAck: 1, opErrno: 0, view: { state: TCP_SYN_SENT } });
    const [syn] = t.sent();
    expect(syn).toMatchObject({ flags: 'S', seq: 0, win: 64_240, opts: { mss: 1460, wscale: 7, sackPermitted: true } });
    t.startTrace();
    t.inject('S.', 0, 1, { opts: { ...FULL, tsEcr: syn!.opts.tsVal! } });
    expect(t.trace).toEqual([
      'tcp_v4_rcv',
      '__inet_lookup_skb',
      'tcp_v4_do_rcv',
      'tcp_rcv_state_process',
      'tcp_rcv_synsent_state_process',
      'tcp_ack',
      'tcp_ack_update_window',
      'tcp_clean_rtx_queue',
      'tcp_cong_control',
      'tcp_finish_connect',
      'tcp_set_state',
      'inet_sock_set_state',
      'sk_state_change',
      'tcp_send_ack',
      'tcp_transmit_skb',
      'consume_skb',
    ]);
    expect(t.sentText()).toEqual(['. 1:1 ack 1']);
    expect(t.lastView(SK).state).toBe(TCP_ESTABLISHED);
    balanced(t);
  });

  test('SYN again at 1, 2, 3, 4, 5, 7, 11 … s, then ETIMEDOUT', () => {
    const t = new Scripted();
    t.theirPort = 8080;
    const start = t.now;
    t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    const at: number[] = [];
    t.sent();
    for (let i = 0; i < 200 && t.state(SK) === TCP_SYN_SENT; i++) {
      t.wait(1000);
      for (const s of t.sent()) if (s.flags === 'S') at.push((t.now - start) / 1000);
    }
    expect(at).toEqual([1, 2, 3, 4, 5, 7, 11, 19, 35, 67]);
    expect(t.lastView(SK)).toMatchObject({ state: TCP_CLOSE, err: ERRNO.ETIMEDOUT });
    expect(t.env.mib.get('TcpAttemptFails')).toBe(1);
  });

  test('RST in SYN_SENT refuses; only with an acceptable ACK', () => {
    const t = new Scripted();
    calling(t);
    t.inject('R', 0, 0);
    expect(t.state(SK)).toBe(TCP_SYN_SENT);
    t.inject('R.', 0, 99);
    expect(t.state(SK)).toBe(TCP_SYN_SENT);
    t.inject('R.', 0, 1);
    expect(t.lastView(SK)).toMatchObject({ state: TCP_CLOSE, err: ERRNO.ECONNREFUSED });
    expect(t.sent()).toEqual([]);
    balanced(t);
  });

  test('an ACK of something else is reset, and the connection may still come', () => {
    const t = new Scripted();
    calling(t);
    t.inject('S.', 0, 77);
    expect(t.sentText()).toEqual(['R 77:77']);
    t.inject('S.', 0, 1);
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
    balanced(t);
  });

  test('simultaneous open', () => {
    const t = new Scripted();
    calling(t);
    t.inject('S', 0, 0, { opts: { mss: 1000 } });
    expect(t.state(SK)).toBe(TCP_SYN_RECV);
    expect(t.sentText()).toEqual(['S. 0:0 ack 1']);
    t.inject('S.', 0, 1);
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
    balanced(t);
  });

  test('no route: the errno comes as the answer to connect', () => {
    const t = new Scripted();
    t.routeErrno = ERRNO.ENETUNREACH;
    t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    expect(t.events.at(-1)).toMatchObject({ opAck: 1, opErrno: ERRNO.ENETUNREACH, view: { state: TCP_CLOSE } });
    expect(t.sent()).toEqual([]);
  });

  test.each([
    ['host unreachable', 3, 1, ERRNO.EHOSTUNREACH],
    ['port unreachable', 3, 3, ERRNO.ECONNREFUSED],
    ['time exceeded', 11, 0, ERRNO.EHOSTUNREACH],
  ])('ICMP %s ends a connect', (_name, type, code, errno) => {
    const t = new Scripted();
    calling(t);
    t.icmp(type, code, 5);
    expect(t.state(SK)).toBe(TCP_SYN_SENT);
    expect(t.env.mib.get('TcpExtOutOfWindowIcmps')).toBe(1);
    t.icmp(type, code, 0);
    expect(t.lastView(SK)).toMatchObject({ state: TCP_CLOSE, err: errno });
    balanced(t);
  });
});

describe('passive open', () => {
  test("trace in the kernel's order; the child is announced until it is known", () => {
    const t = new Scripted();
    t.ourPort = 80;
    t.startTrace();
    t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 5 } });
    expect(t.trace).toEqual([
      'tcp_v4_init_sock',
      'tcp_init_sock',
      'inet_csk_get_port',
      'inet_csk_listen_start',
      'inet_sock_set_state',
      'inet_hash',
    ]);
    t.startTrace();
    t.inject('S', 0, 0, { opts: FULL });
    expect(t.trace).toEqual([
      'tcp_v4_rcv',
      '__inet_lookup_skb',
      'tcp_v4_do_rcv',
      'tcp_rcv_state_process',
      'tcp_v4_conn_request',
      'tcp_conn_request',
      'inet_reqsk_alloc',
      'inet_csk_reqsk_queue_hash_add',
      'tcp_v4_send_synack',
      'tcp_make_synack',
      'ip_build_and_send_pkt',
      'consume_skb',
    ]);
    const [synAck] = t.sent();
    expect(synAck).toMatchObject({
      flags: 'S.',
      seq: 0,
      ack: 1,
      win: 65_160,
      opts: { mss: 1460, wscale: 7, tsEcr: 100 },
    });
    t.startTrace();
    t.inject('.', 1, 1, { opts: { tsVal: 101, tsEcr: synAck!.opts.tsVal! } });
    expect(t.trace.slice(0, 11)).toEqual([
      'tcp_v4_rcv',
      '__inet_lookup_skb',
      'tcp_check_req',
      'tcp_v4_syn_recv_sock',
      'tcp_create_openreq_child',
      'inet_sock_set_state',
      'inet_csk_complete_hashdance',
      'inet_csk_reqsk_queue_add',
      'tcp_child_process',
      'tcp_rcv_state_process',
      'tcp_validate_incoming',
    ]);
    const announced = (): number => t.events.filter((e) => e.child).length;
    expect(t.events.find((e) => e.child)).toMatchObject({
      sk: 1,
      child: { listener: SK },
      view: { state: TCP_ESTABLISHED },
    });
    t.wait(3000);
    expect(announced()).toBeGreaterThanOrEqual(4);
    t.view(1, { accepted: false });
    const known = announced();
    t.wait(10_000);
    expect(announced()).toBe(known);
    balanced(t);
  });

  test('SYN-ACK again at 1, 3, 7, 15, 31 s, then the request is forgotten', () => {
    const t = new Scripted();
    t.ourPort = 80;
    t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 5 } });
    t.inject('S', 0, 0);
    t.sent();
    const at: number[] = [];
    for (let i = 1; i < 100; i++) {
      t.wait(1000);
      if (t.sent().length > 0) at.push(i);
    }
    expect(at).toEqual([1, 3, 7, 15, 31]);
    expect(t.tcp.sockets()).toHaveLength(1);
    expect(t.tcp.pollTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  test('a lost SYN-ACK is sent again for a repeated SYN', () => {
    const t = new Scripted();
    t.ourPort = 80;
    t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 5 } });
    t.inject('S', 0, 0);
    t.inject('S', 0, 0);
    expect(t.sentText()).toEqual(['S. 0:0 ack 1', 'S. 0:0 ack 1']);
    balanced(t);
  });

  test('a wrong ACK is reset, a RST forgets the request, a SYN in the window resets it', () => {
    const t = new Scripted();
    t.ourPort = 80;
    t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 5 } });
    t.inject('S', 0, 0);
    t.sent();
    t.inject('.', 1, 50);
    expect(t.sentText()).toEqual(['R 50:50']);
    t.inject('R', 1, 0);
    expect(t.tcp.sockets()).toHaveLength(1);
    t.inject('S', 0, 0);
    t.sent();
    t.inject('S', 5, 0);
    expect(t.sentText()).toEqual(
      ['R. 0:0 ack 6'].map((x) => x.replace('R. 0:0', `R. ${-t.ourIsn | 0}:${-t.ourIsn | 0}`)),
    );
    expect(t.env.mib.get('TcpExtEmbryonicRsts')).toBe(2);
    balanced(t);
  });

  test('listener: ACK is reset, RST and FIN are dropped', () => {
    const t = new Scripted();
    t.ourPort = 80;
    t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 5 } });
    t.inject('.', 1, 7);
    expect(t.sent().map((s) => s.flags)).toEqual(['R']);
    t.inject('R', 1, 7);
    t.inject('F', 1, 7);
    t.inject('SF', 1, 7);
    expect(t.sent()).toEqual([]);
    balanced(t);
  });

  test('data with the third segment goes to the child', () => {
    const t = new Scripted();
    t.ourPort = 80;
    t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 5 } });
    t.inject('S', 0, 0);
    t.inject('P.', 1, 1, { len: 5 });
    expect(t.data(1)).toMatchObject([{ offset: 0 }]);
    balanced(t);
  });

  test('accept queue: backlog + 1 connections, then the ACK is dropped and comes again', () => {
    const t = new Scripted();
    t.ourPort = 80;
    t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 1 } });
    const kids: number[] = [];
    for (let i = 0; i < 3; i++) {
      t.theirPort = 50_000 + i;
      t.inject('S', 0, 0);
      const s = t.sent();
      if (s.length === 0) break;
      t.forgetIsn();
      t.inject('.', 1, s[0]!.seq + 1);
      const kid = t.events.findLast((e) => e.child);
      if (kid && !kids.includes(kid.sk)) kids.push(kid.sk);
    }
    expect(kids).toHaveLength(2);
    expect(t.env.mib.get('TcpExtListenOverflows')).toBe(1);
    expect(t.env.mib.get('TcpExtListenDrops')).toBe(1);
    expect(t.tcp.tcpInfo(SK)).toMatchObject({ ackBacklog: 2, maxAckBacklog: 1 });
    t.view(kids[0]!, { accepted: true });
    expect(t.tcp.tcpInfo(SK)).toMatchObject({ ackBacklog: 1 });
    balanced(t);
  });

  test('closing the listener leaves its children to the socket layer: which of them are accepted is not known here yet', () => {
    const t = new Scripted();
    passiveOpen(t);
    t.theirPort = 40_001;
    t.forgetIsn();
    t.inject('S', 0, 0);
    t.forgetIsn();
    const s = t.sent();
    t.inject('.', 1, s[0]!.seq + 1);
    const child = t.events.findLast((e) => e.child)!.sk;
    t.cmd({ sk: SK, opSeq: 2, close: { abort: false } });
    expect(t.events.at(-1)).toMatchObject({ sk: SK, opAck: 2, view: { state: TCP_CLOSE } });
    expect(t.sent()).toEqual([]);
    // Not announced in vain: one that the socket layer has not heard of it is told again, and says so.
    const told = t.events.length;
    t.wait(1_000);
    expect(t.events.slice(told).find((e) => e.sk === child)?.child).toEqual({ listener: SK });
    expect(t.state(child)).toBe(TCP_ESTABLISHED);
    t.cmd({ sk: child, opSeq: 1, close: { abort: true } });
    expect(t.sent().map((x) => x.flags)).toEqual(['R.']);
    balanced(t);
  });

  test('a second socket cannot have the port; with SO_REUSEADDR it can once the listener is gone', () => {
    const t = new Scripted();
    passiveOpen(t);
    t.cmd({ sk: 4, opSeq: 1, bind: { addr: 0, port: 80 } });
    expect(t.events.at(-1)).toMatchObject({ sk: 4, opAck: 1, opErrno: ERRNO.EADDRINUSE });
    t.cmd({ sk: SK, opSeq: 2, close: { abort: false } });
    t.cmd({ sk: 6, opSeq: 1, bind: { addr: 0, port: 80 } });
    expect(t.events.at(-1)).toMatchObject({ sk: 6, opErrno: ERRNO.EADDRINUSE });
  });

  test('bind wants an address of ours, and finds a port', () => {
    const t = new Scripted();
    t.cmd({ sk: 4, opSeq: 1, bind: { addr: THEM, port: 0 } });
    expect(t.events.at(-1)).toMatchObject({ opErrno: ERRNO.EADDRNOTAVAIL });
    t.cmd({ sk: 4, opSeq: 2, bind: { addr: 0x0a4d0002, port: 0 } });
    expect(t.events.at(-1)).toMatchObject({ opAck: 2, opErrno: 0 });
    const { lport } = t.lastView(4);
    expect(lport).toBeGreaterThanOrEqual(32_768);
    expect(lport).toBeLessThanOrEqual(60_999);
  });

  test('two connections in a row', () => {
    const t = new Scripted();
    const one = passiveOpen(t, FULL);
    t.theirPort++;
    t.forgetIsn();
    const two = handshake(t, FULL);
    expect([one, two]).toEqual([1, 3]);
  });

  test('established: nothing is armed', () => {
    const t = new Scripted();
    activeOpen(t);
    // the record of the connection, which this socket layer never confirms, is repeated for a while
    t.wait(10_000);
    expect(t.tcp.pollTimeout()).toBe(Number.POSITIVE_INFINITY);
  });
});
