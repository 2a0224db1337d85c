import { describe, expect, test } from '@jest/globals';
import { errnoName, SOCK_DGRAM, SOCK_STREAM, type MibName } from '@skbus/skb';
import { outcome, sockAddr, transfer, twoHosts, whole, type Host, type Two } from '@skbus/sim';

const SIZE = 400_000;

function moves(two: Two): void {
  const t = transfer(two, SIZE);
  expect([t.toServer, t.toClient]).toEqual([whole(SIZE), whole(SIZE)]);
  expect(two.net.check()).toEqual([]);
}

const mib = ({ shells }: Host, layer: 'tcp' | 'udp' | 'ip', name: MibName): number => shells[layer].env.mib.get(name);

describe('a packet ends inside a layer', () => {
  test.each([
    'at nic:netif_receive_skb drop every 7',
    'at nic:dev_queue_xmit drop QDISC_DROP every 7',
    'at nic:dev_hard_start_xmit drop every 7',
    'at neigh:arp_rcv drop first 1',
    'at neigh:neigh_resolve_output drop first 1',
    'at neigh:arp_send_dst drop NOMEM first 1',
    'at ip:ip_rcv drop every 7',
    'at ip:ip_rcv_finish drop IP_RPFILTER every 7',
    'at ip:ip_local_deliver drop every 7',
    'at ip:ip_local_out drop every 7',
    'at ip:ip_finish_output drop every 7',
    'at ip:ip_finish_output2 drop every 7',
    'at tcp:tcp_v4_rcv drop NOMEM every 7',
    'at tcp:tcp_v4_do_rcv drop SOCKET_FILTER every 7',
    'at tcp:tcp_rcv_established drop every 7',
    'at tcp:tcp_data_queue drop PROTO_MEM every 7',
    'at tcp:inet_reqsk_alloc drop NOMEM first 2',
    'at tcp:tcp_v4_syn_recv_sock drop NOMEM first 1',
    'at tcp:tcp_make_synack drop NOMEM first 1',
    'at tcp:tcp_transmit_skb drop NOMEM every 7',
    `at tcp:tcp_v4_do_rcv match 'sk.state == "ESTABLISHED"' drop SOCKET_FILTER every 10`,
    `at tcp:tcp_transmit_skb match 'sk.state == "ESTABLISHED" && tcp.len > 0' drop NOMEM every 3`,
  ])('%s: the streams are whole', (rule) => {
    const two = twoHosts();
    two.b.fault(rule);
    moves(two);
    const reason = / drop (\w+)/.exec(rule)![1]!;
    const log = two.b.faultLog();
    expect(log.length).toBeGreaterThan(0);
    expect(log[0]!.seam.func).toBe(rule.split(' ')[1]!.replace(/^\w+/, ''));
    if (/^[A-Z]/.test(reason) && !/send_dst|synack|syn_recv/.test(rule)) expect(two.b.drops).toHaveProperty(reason);
  });

  test('by the state of its socket: the first ACK of the handshake is lost, data brings it', () => {
    const two = twoHosts();
    two.b.fault('at tcp rx match \'sk.state == "NEW_SYN_RECV"\' drop first 1');
    two.b.fault('at tcp:tcp_v4_rcv match \'sk.state == "LISTEN"\' set skb.mark=9');
    two.b.fault("at tcp:tcp_conn_request match 'skb.mark == 9 && tcp.flags.syn == 1' set skb.mark=10", 'marked');
    two.b.fault('at tcp tx match \'sk.state == "ESTABLISHED" && tcp.len > 0\' drop first 1', 'out');
    moves(two);
    const hits = Object.fromEntries(two.b.shells.tcp.faults.status().map((r) => [r.rule.id, r.hits]));
    expect(hits).toEqual({ f1: 1, f2: 1, marked: 1, out: 1 });
  });

  test('what a rule drops is not at the seams behind it, and a log replays', () => {
    const run = (rule: string): string[] => {
      const two = twoHosts();
      two.b.fault(rule, 'x');
      moves(two);
      return two.b.faultLog().map((d) => `${d.ordinal} ${d.op.op}`);
    };
    const first = run('at tcp:tcp_v4_rcv drop NOMEM probability 40% seed 3');
    expect(first.length).toBeGreaterThan(2);
    expect(run(`at tcp:tcp_v4_rcv script '${first.map((d) => `${d.split(' ')[0]}: drop NOMEM`).join('; ')}'`)).toEqual(
      first,
    );
  });
});

describe('no memory, as programs see it', () => {
  test('ENOBUFS: socket(), connect() without room for a SYN, and sendto() of UDP', () => {
    const two = twoHosts();
    const { a, b, onA } = two;
    a.fault('at socket:inet_create drop NOMEM nth 2');
    a.fault('at tcp:tcp_connect drop NOMEM first 1');
    a.fault('at socket:udp_sendmsg drop NOMEM first 1');
    const fd = onA.socket(SOCK_DGRAM);
    expect(outcome(onA.sys({ call: 'socket', domain: 2, type: SOCK_STREAM, protocol: 0 }))).toBe('ENOBUFS');
    const send = { call: 'sendto', fd, data: [new Uint8Array(3)], flags: 0, to: sockAddr(b.addr, 9) } as const;
    expect([outcome(onA.sys(send)), outcome(onA.sys(send))]).toEqual(['ENOBUFS', 'ok']);
    const c = onA.connect(b.addr, 80);
    expect(errnoName(c.errno)).toBe('ENOBUFS');
    expect(a.tcp.sockets().map((s) => s.state)).not.toContain(2);
    onA.close(c.fd);
    two.net.runUntilIdle();
    moves(two);
  });

  test('UDP: what cannot be put together is told with the next call (sk_err), and counted', () => {
    const two = twoHosts();
    const { a, b, onA } = two;
    a.fault('at udp:ip_make_skb drop NOMEM first 1');
    const fd = onA.socket(SOCK_DGRAM);
    const send = { call: 'sendto', fd, data: [new Uint8Array(3)], flags: 0, to: sockAddr(b.addr, 9) } as const;
    expect(outcome(onA.sys(send))).toBe('ok');
    two.net.runFor(10);
    expect(outcome(onA.sys(send))).toBe('ENOBUFS');
    expect(mib(a, 'udp', 'UdpSndbufErrors')).toBe(1);
    expect(a.drops).toMatchObject({ NOMEM: 1 });
  });

  test('a fragment cannot be made: IpFragFails; no neighbour can be made: NEIGH_CREATEFAIL; no ICMP: silence', () => {
    const two = twoHosts();
    const { a, b, onA } = two;
    a.fault('at ip:ip_do_fragment drop NOMEM first 1');
    a.fault('at neigh:__neigh_create drop NOMEM nth 1');
    b.fault('at ip:icmp_send drop NOMEM');
    const fd = onA.socket(SOCK_DGRAM);
    const to = sockAddr(b.addr, 9);
    const send = (n: number): string => {
      const r = outcome(onA.sys({ call: 'sendto', fd, data: [new Uint8Array(n)], flags: 0, to }));
      two.net.runFor(100);
      return r;
    };
    expect([send(4000), send(10), send(10), send(10)]).toEqual(['ok', 'ok', 'ok', 'ok']);
    expect(mib(a, 'ip', 'IpFragFails')).toBe(1);
    expect(a.drops).toMatchObject({ NOMEM: 1, NEIGH_CREATEFAIL: 1 });
    expect(b.drops).toMatchObject({ NOMEM: 2, NO_SOCKET: 2 });
  });
});

test('netem with ecn marks what can be marked, and loses the rest (sch_netem.c: INET_ECN_set_ce)', () => {
  for (const ecn of [0, 1] as const) {
    const two = twoHosts({}, { tcp: { tcpEcn: ecn } });
    two.b.fault('at nic rx loss 5% ecn seed 3');
    two.b.fault('at tcp tx loss 5% ecn seed 4');
    moves(two);
    const ops = two.b.faultLog().map((d) => d.op);
    const marked = ops.filter((o) => o.op === 'send' && o.copies.some((c) => c.ce === true)).length;
    const lost = ops.filter((o) => o.op === 'drop').length;
    expect([marked > 0, marked + lost > 0]).toEqual([ecn === 1, true]);
  }
});
