import { expect, test } from '@jest/globals';
import { twoHosts } from '@skbus/sim';
import { passed, path } from './golden.ts';

const XMIT = `nic: dev_queue_xmit net_dev_queue validate_xmit_skb dev_hard_start_xmit net_dev_start_xmit
  ndo_start_xmit tun_net_xmit net_dev_xmit`;
const RECEIVE = `nic: tun_get_user eth_type_trans napi_gro_receive netif_receive_skb __netif_receive_skb_core`;

/** Two datagrams to a neighbour nobody has talked to. */
function twoDatagrams() {
  const two = twoHosts();
  const { net, a, b, onA } = two;
  const fd = onA.udp(5000);
  net.runUntilIdle();
  const to = { family: 2, addr: b.addr, port: 9 };
  onA.must({ call: 'connect', fd, addr: to });
  a.trace();
  b.trace();
  const send = (): void => {
    onA.must({ call: 'sendto', fd, data: [Uint8Array.of(1)], flags: 0, to: undefined });
    net.runFor(0);
  };
  return { ...two, send };
}

test('from neigh_resolve_output to the question', () => {
  const { a, send } = twoDatagrams();
  send();
  const neighOnly = (h: { layer: string }): boolean => h.layer === 'neigh' || h.layer === 'nic';
  expect(passed(a, neighOnly)).toEqual(path`
    neigh: __neigh_create neigh_output neigh_resolve_output neigh_event_send __neigh_event_send
      neigh_probe arp_solicit arp_send_dst arp_create arp_xmit arp_xmit_finish
    ${XMIT}
  `);
  send();
  // The second waits behind the first; no second question.
  expect(passed(a, neighOnly)).toEqual(path`
    neigh: neigh_output neigh_resolve_output neigh_event_send __neigh_event_send
  `);
  expect(a.shells.neigh.env.ledger.queued).toBe(2);
});

test('the one who is asked learns who asks, and answers', () => {
  const { net, b, send } = twoDatagrams();
  send();
  net.runFor(1);
  expect(passed(b)).toEqual(path`
    ${RECEIVE}
    neigh: arp_rcv arp_process neigh_event_ns __neigh_create neigh_update arp_send_dst arp_create arp_xmit arp_xmit_finish
    ${XMIT}
  `);
});

test('the answer drains the queue, in order', () => {
  const { net, a, send } = twoDatagrams();
  send();
  send();
  const waiting = a.hits.filter((h) => h.point === '__neigh_event_send').map((h) => h.skb);
  passed(a);
  net.runFor(2);
  const sent = a.hits.filter((h) => h.point === 'ndo_start_xmit').map((h) => h.skb);
  expect(passed(a)).toEqual(path`
    ${RECEIVE}
    neigh: arp_rcv arp_process neigh_update
      neigh_resolve_output neigh_event_send eth_header
      neigh_resolve_output neigh_event_send eth_header
    ${XMIT}
    ${XMIT}
  `);
  expect(sent).toEqual(waiting);
  expect(a.shells.neigh.env.ledger.queued).toBe(0);
});

test('no answer: three questions, then every packet is reported', () => {
  const { net, a, link, send } = twoDatagrams();
  link.drop = () => true;
  send();
  send();
  passed(a);
  net.runFor(3_100);
  const ASK = `neigh_probe arp_solicit arp_send_dst arp_create arp_xmit arp_xmit_finish`;
  expect(passed(a, (h) => h.layer === 'neigh')).toEqual(path`
    neigh: ${ASK} neigh_timer_handler // the event is at the function's end
      ${ASK} neigh_timer_handler
      neigh_invalidate arp_error_report arp_error_report neigh_timer_handler
  `);
  expect(a.drops).toMatchObject({ NEIGH_FAILED: 2 });
});
