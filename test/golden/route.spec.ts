import { expect, test } from '@jest/globals';
import { parseIpv4 } from '@skbus/skb';
import { Net } from '@skbus/sim';
import type { Host } from '@skbus/sim';
import { passed, path } from './golden.ts';

/** A host with a connected network, a more specific route inside it, and a default route. */
function host(): Host {
  const net = new Net(1);
  const h = net.host('h');
  h.attach(net.link(), '10.77.0.2/24');
  h.attach(net.link(), '10.88.0.2/16');
  h.route('10.77.0.128/25', '10.88.0.9');
  h.route('default', '10.77.0.1');
  net.runFor(0);
  return h.trace();
}

const ask = (h: Host, daddr: string) =>
  h.shells.ip.run((now) => h.ip.getRoute({ id: 1, daddr: parseIpv4(daddr)!, saddr: 0, oif: 0, tos: 0 }, now));

test('the points of a lookup on output', () => {
  const h = host();
  ask(h, '10.77.0.7');
  expect(passed(h)).toEqual(path`
    ip: ip_route_output_flow ip_route_output_key_hash_rcu fib_lookup fib_table_lookup fib_select_path __mkroute_output
  `);
});

// The longest prefix wins; the next hop is the destination itself where it is on the link.
test.each([
  ['10.77.0.7', { prefix: '10.77.0.0/24', gw: '0.0.0.0', dev: 'skb0', table: 254, type: 1, err: 0 }],
  ['10.77.0.200', { prefix: '10.77.0.128/25', gw: '10.88.0.9', dev: 'skb1', table: 254, type: 1, err: 0 }],
  ['10.88.200.1', { prefix: '10.88.0.0/16', gw: '0.0.0.0', dev: 'skb1', table: 254, type: 1, err: 0 }],
  ['192.0.2.1', { prefix: '0.0.0.0/0', gw: '10.77.0.1', dev: 'skb0', table: 254, type: 1, err: 0 }],
  ['10.77.0.2', { prefix: '10.77.0.2/32', dev: 'skb0', table: 255, type: 2, err: 0 }],
  ['10.77.0.255', { prefix: '10.77.0.255/32', dev: 'skb0', table: 255, type: 3, err: 0 }],
  ['127.0.0.9', { prefix: '127.0.0.0/8', dev: 'lo', table: 255, type: 2, err: 0 }],
])('fib_table_lookup of %s', (daddr, want) => {
  const h = host();
  ask(h, daddr);
  const { detail } = h.hits.find((hit) => hit.point === 'fib_table_lookup')!;
  expect(detail).toMatchObject({ dst: daddr, ...want });
});

test('no route: ENETUNREACH, as the trace says', () => {
  const net = new Net(1);
  const h = net.host('h');
  h.attach(net.link(), '10.77.0.2/24');
  h.trace();
  expect(ask(h, '192.0.2.1').errno).toBe(101);
  expect(h.hits.find((hit) => hit.point === 'fib_table_lookup')!.detail).toMatchObject({ dst: '192.0.2.1', err: -101 });
});

test('a route that is added is used at once', () => {
  const h = host();
  ask(h, '192.0.2.1');
  passed(h);
  h.route('192.0.2.0/24', '10.88.0.9');
  expect(passed(h)).toEqual(path`
    ip: ip_route_output_flow ip_route_output_key_hash_rcu fib_lookup fib_table_lookup fib_select_path __mkroute_output
      inet_rtm_newroute fib_table_insert fib_create_info
      fib_lookup fib_table_lookup // fib_check_nh(): the gateway has to be on a link
      rt_cache_flush
  `);
  expect(ask(h, '192.0.2.1').gateway).toBe(parseIpv4('10.88.0.9'));
});
