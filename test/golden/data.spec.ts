import { expect, test } from '@jest/globals';
import { pattern } from '../sim/program.ts';
import { established } from './established.ts';
import { ofSkb, passed, path } from './golden.ts';

const OUT = `
    ip: ip_queue_xmit __ip_queue_xmit ip_local_out __ip_local_out dst_output ip_output ip_finish_output ip_finish_output2
      neigh_hh_output
    nic: dev_queue_xmit net_dev_queue validate_xmit_skb dev_hard_start_xmit net_dev_start_xmit
      ndo_start_xmit tun_net_xmit net_dev_xmit`;

test('send: one segment down to ndo_start_xmit', () => {
  const { net, a, onA, fdA } = established();
  onA.must({ call: 'sendto', fd: fdA, data: [pattern(0, 100)], flags: 0, to: undefined });
  net.runFor(0);
  const { hits } = a;
  const id = hits.find((h) => h.point === 'tcp_transmit_skb')!.skb;
  const journey = hits.filter(ofSkb(id)).map((h) => h.layer);
  expect(passed(a)).toEqual(path`
    socket: __sys_sendto __sock_sendmsg inet_sendmsg tcp_sendmsg tcp_sendmsg_locked
    tcp: __tcp_push_pending_frames tcp_write_xmit tcp_transmit_skb tcp_event_new_data_sent
    ${OUT}
  `);
  // One skb all the way: the id it got in TCP is the id the driver sees.
  expect([...new Set(journey)]).toEqual(['tcp', 'ip', 'nic']);
});
