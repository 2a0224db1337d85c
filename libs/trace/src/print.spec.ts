import { describe, expect, test } from '@jest/globals';
import { pb } from '@skbus/contracts';
import { formatFtrace, formatJsonLine, formatPwru, formatPwruHeader, type PrintedEvent } from './index.ts';

const TUPLE = '10.77.0.1:4000->10.77.0.2:80(tcp)';

function event(timeMs: number, layer: string, point: string, more: PrintedEvent = {}): PrintedEvent {
  return { timeMs, layer, point, skb: 0x10000001, len: 60, protocol: 0x0800, ifindex: 2, tuple: TUPLE, ...more };
}

const opts = { netns: 'a', ifname: (i: number) => (i === 2 ? 'skb0' : undefined) };

describe('pwru', () => {
  test('header and line share their columns', () => {
    const header = formatPwruHeader();
    expect(header.split(/ +/)).toEqual('SKB CPU PROCESS NETNS MARK/x IFACE PROTO MTU LEN TUPLE FUNC'.split(' '));
    const line = formatPwru(event(1, 'ip', 'ip_rcv', { mark: 255 }), { ...opts, mtuOf: () => 1500 });
    expect(line.split(/ +/)).toEqual([
      '0x10000001',
      'ip',
      'skbus-ip[a]',
      'a',
      'ff',
      'skb0:2',
      '0x0800',
      '1500',
      '60',
      TUPLE,
      'ip_rcv',
    ]);
    for (const c of ['CPU', 'PROCESS', 'NETNS', 'MARK/x', 'PROTO', 'MTU', 'LEN', 'TUPLE', 'FUNC']) {
      const at = header.indexOf(c);
      expect([c, line[at - 1], line[at]]).toEqual([c, ' ', expect.stringMatching(/\S/)]);
    }
  });

  test.each<[string, PrintedEvent, string]>([
    ['a drop', { point: 'kfree_skb', detail: { reason: 'IP_CSUM' } }, 'kfree_skb(SKB_DROP_REASON_IP_CSUM)'],
    [
      'a lookup',
      { point: 'fib_table_lookup', detail: { prefix: '10.77.0.0/24', oif: '2' } },
      'fib_table_lookup(prefix=10.77.0.0/24, oif=2)',
    ],
    ['another kind of reason', { point: 'tcp_send_reset', detail: { reason: 'x' } }, 'tcp_send_reset(reason=x)'],
    ['no detail', { point: 'ip_rcv' }, 'ip_rcv'],
  ])('FUNC of %s', (_what, e, func) => {
    expect(formatPwru({ ...event(1, 'ip', ''), ...e }).endsWith(` ${func}`)).toBe(true);
  });

  test('what is not known keeps its column', () => {
    const columns = formatPwru({ layer: 'orchestrator', point: 'start_kernel' }).split(/ +/);
    expect(columns).toEqual([
      '0x0',
      'orchestrator',
      'skbus-orchestrator',
      '-',
      '0',
      '0',
      '0x0000',
      '0',
      '0',
      '-',
      'start_kernel',
    ]);
  });

  test('a time column on request', () => {
    expect(formatPwruHeader({ sinceMs: 0 }).split(/ +/)[3]).toBe('TIMESTAMP');
    expect(formatPwru(event(1000.25, 'ip', 'ip_rcv'), { sinceMs: 1000 }).split(/ +/)[3]).toBe('250');
  });

  test('nothing in an event moves the cursor', () => {
    const line = formatPwru(event(1, '\u001b[2Jip', 'ip_rcv\n', { tuple: '\u009b', detail: { 'a\r': '\u0007' } }), {
      ...opts,
      ifname: () => 'x\ty',
    });
    expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
  });

  test('a decoded event prints like the one that was encoded', () => {
    const e = event(1, 'tcp', 'tcp_v4_rcv', { detail: { seq: '1' } });
    const decoded = pb.TraceEvent.decode(pb.TraceEvent.encode(e).finish());
    expect(formatPwru(decoded, opts)).toBe(formatPwru(e, opts));
    expect(formatJsonLine(decoded, opts)).toBe(formatJsonLine(e, opts));
  });
});

describe('ftrace', () => {
  const body = (events: PrintedEvent[], o = {}): string[] => formatFtrace(events, o).slice(4);

  test('layers nest, functions follow each other', () => {
    expect(
      body(
        [
          event(1, 'nic', 'netif_receive_skb'),
          event(1.0005, 'nic', '__netif_receive_skb_core'),
          event(1.1, 'ip', 'ip_rcv'),
          event(1.102, 'ip', 'ip_rcv_core'),
          event(1.115, 'ip', 'ip_local_deliver'),
          event(1.2, 'tcp', 'tcp_v4_rcv'),
          event(1.201, 'tcp', 'consume_skb'),
        ],
        opts,
      ),
    ).toEqual([
      `/* skb 0x10000001, netns a, ${TUPLE} */`,
      '    nic)                 |  netif_receive_skb() {',
      '    nic)                 |    __netif_receive_skb_core();',
      '     ip)                 |    ip_rcv() {',
      '     ip) +     13.000 us |      ip_rcv_core();',
      '     ip)                 |      ip_local_deliver();',
      '    tcp)                 |      tcp_v4_rcv() {',
      '    tcp)                 |        consume_skb();',
      '    tcp)        1.000 us |      } /* tcp_v4_rcv */',
      '     ip) !    101.000 us |    } /* ip_rcv */',
      '    nic) !    201.000 us |  } /* netif_receive_skb */',
    ]);
  });

  test('journeys are told one by one, in the order in which they began; a child names its parent', () => {
    const lines = body([
      event(3, 'ip', 'ip_rcv', { skb: 2, parent: 1 }),
      event(1, 'ip', 'ip_rcv', { skb: 1 }),
      event(4, 'ip', 'ip_rcv_core', { skb: 1 }),
    ]);
    expect(lines.filter((l) => l.startsWith('/*'))).toEqual([
      `/* skb 0x1, ${TUPLE} */`,
      `/* skb 0x2, of 0x1, ${TUPLE} */`,
    ]);
    expect(lines[2]).toContain('ip_rcv_core();');
  });

  test('what has no skb stands alone', () => {
    expect(
      body([
        { timeMs: 1, layer: 'socket', point: '__sys_connect' },
        { timeMs: 2, layer: 'tcp', point: 'tcp_v4_connect' },
      ]),
    ).toEqual([' socket)                 |  __sys_connect();', '    tcp)                 |  tcp_v4_connect();']);
  });

  test('details and drop reasons are shown', () => {
    const lines = body([event(1, 'udp', 'udp_rcv'), event(2, 'udp', 'kfree_skb', { detail: { reason: 'NO_SOCKET' } })]);
    expect(lines[2]).toContain('|    kfree_skb(SKB_DROP_REASON_NO_SOCKET);');
    expect(lines[3]).toContain('!   1000.000 us');
  });

  test('braces balance whatever comes', () => {
    const layers = ['nic', 'ip', 'tcp', 'neigh'];
    const events = Array.from({ length: 500 }, (_, i) =>
      event((i * 7919) % 1000, layers[(i * 31) % 4]!, 'ip_rcv', { skb: (i * 17) % 5 }),
    );
    const text = formatFtrace(events).join('\n');
    expect(text.split('{').length).toBe(text.split('}').length);
    expect(formatFtrace([])).toHaveLength(4);
  });
});

test('JSON lines', () => {
  const e = event(12.5, 'udp', 'kfree_skb', { parent: 16, detail: { reason: 'NO_SOCKET' } });
  expect(JSON.parse(formatJsonLine(e, opts))).toEqual({
    time: 12.5,
    skb: '0x10000001',
    parent: '0x10',
    layer: 'udp',
    netns: 'a',
    iface: 'skb0',
    ifindex: 2,
    proto: 0x0800,
    len: 60,
    tuple: TUPLE,
    func: 'kfree_skb',
    detail: { reason: 'SKB_DROP_REASON_NO_SOCKET' },
  });
  expect(JSON.parse(formatJsonLine({ timeMs: 1, layer: 'socket', point: '__sys_bind' }))).toEqual({
    time: 1,
    layer: 'socket',
    func: '__sys_bind',
  });
  expect(formatJsonLine(event(1, 'ip', 'a\nb'))).not.toContain('\n');
});
